//! What a destination knows of each page.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::page::{PageIndex, PageRange, to_u64, to_usize};

/// State of one page.
///
/// ```text
/// Missing --fault--> Requested
///    |                   |
///    +-------------------+--installed--> Present
///    +-------------------+--listed-----> Absent <--given up-- Present
///    +-------------------+--given up---> GivenUp --installed or listed--> Absent
/// ```
/// Before the guest is handed over, rounds of pre-copy lead from any state to any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PageState {
    /// Not here, and nobody asked for it.
    Missing,
    /// Not here, and asked for.
    Requested,
    /// Here.
    Present,
    /// All zero: made when it is touched, without asking anyone.
    Absent,
    /// The same, because the guest gave it up; what still comes of it is counted and dropped.
    GivenUp,
}

/// What is to be done with a page that comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Install,
    Drop,
}

/// The states of all pages. Threads use it without locks; each transition is atomic, and exactly
/// one thread sees a page leave `Missing` or `Requested`.
#[derive(Debug)]
pub(super) struct PageTable(Vec<AtomicU8>);

impl PageTable {
    pub(super) fn new(pages: u64) -> Self {
        let states = std::iter::repeat_with(|| AtomicU8::new(PageState::Missing.code()));
        Self(states.take(to_usize(pages)).collect())
    }

    /// Turns a missing page into a requested one; the state it was in decides who must act.
    pub(super) fn request(&self, page: PageIndex) -> PageState {
        let (missing, requested) = (PageState::Missing.code(), PageState::Requested.code());
        let exchanged = self.0[page.subscript()].compare_exchange(
            missing,
            requested,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        PageState::from_code(exchanged.unwrap_or_else(|state| state))
    }

    /// Notes that the guest gave the page up; gives the state it was in.
    pub(super) fn give_up(&self, page: PageIndex) -> PageState {
        self.update(page, |state| match state {
            PageState::Missing | PageState::Requested => Some(PageState::GivenUp),
            PageState::Present => Some(PageState::Absent),
            PageState::Absent | PageState::GivenUp => None,
        })
    }

    /// Notes that the page has been installed; gives the state it was in.
    pub(super) fn set_present(&self, page: PageIndex) -> PageState {
        self.settle(page, PageState::Present)
    }

    /// Notes that the page is all zero; gives the state it was in. A page that is here stays so.
    pub(super) fn set_absent(&self, page: PageIndex) -> PageState {
        self.settle(page, PageState::Absent)
    }

    /// Notes what a round of pre-copy did to the page; gives the state it was in.
    pub(super) fn set(&self, page: PageIndex, state: PageState) -> PageState {
        PageState::from_code(self.0[page.subscript()].swap(state.code(), Ordering::AcqRel))
    }

    /// The pages at the beginning of `range` that are in the same state, and that state.
    pub(super) fn first_run(&self, range: PageRange) -> (PageRange, PageState) {
        let state = self.state(range.first());
        let end = range
            .iter()
            .find(|page| self.state(*page) != state)
            .map_or(range.end(), PageIndex::get);
        let run = PageRange::between(range.first().get(), end).expect("the first page is in it");
        (run, state)
    }

    /// The first run in `range` of pages that are awaited, all of them given up or none.
    pub(super) fn next_awaited(&self, range: PageRange) -> Option<(PageRange, Use)> {
        let mut awaited = range
            .iter()
            .map(|page| (page, self.state(page).awaited_for()));
        let (first, purpose) = awaited.find_map(|(page, purpose)| Some((page, purpose?)))?;
        let end = awaited
            .find(|(_, other)| *other != Some(purpose))
            .map_or(range.end(), |(page, _)| page.get());
        Some((PageRange::between(first.get(), end)?, purpose))
    }

    /// Whether somebody waits for the page.
    pub(super) fn is_requested(&self, page: PageIndex) -> bool {
        self.state(page) == PageState::Requested
    }

    /// The first page from `from` on that somebody waits for.
    pub(super) fn next_requested(&self, from: u64) -> Option<PageIndex> {
        let rest = PageRange::between(from, to_u64(self.0.len()))?;
        rest.iter().find(|&page| self.is_requested(page))
    }

    fn state(&self, page: PageIndex) -> PageState {
        PageState::from_code(self.0[page.subscript()].load(Ordering::Acquire))
    }

    fn settle(&self, page: PageIndex, settled: PageState) -> PageState {
        self.update(page, |state| match state.awaited_for()? {
            Use::Install => Some(settled),
            Use::Drop => Some(PageState::Absent),
        })
    }

    /// Changes a state as `change` says; gives the one before.
    fn update(
        &self,
        page: PageIndex,
        change: impl Fn(PageState) -> Option<PageState>,
    ) -> PageState {
        let before =
            self.0[page.subscript()].fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| {
                change(PageState::from_code(state)).map(PageState::code)
            });
        PageState::from_code(before.unwrap_or_else(|state| state))
    }
}

impl PageState {
    pub(super) fn is_awaited(self) -> bool {
        self.awaited_for().is_some()
    }

    /// What is to be done with the page when it comes, if it has not come yet.
    fn awaited_for(self) -> Option<Use> {
        match self {
            Self::Missing | Self::Requested => Some(Use::Install),
            Self::GivenUp => Some(Use::Drop),
            Self::Present | Self::Absent => None,
        }
    }

    const fn code(self) -> u8 {
        match self {
            Self::Missing => 0,
            Self::Requested => 1,
            Self::Present => 2,
            Self::Absent => 3,
            Self::GivenUp => 4,
        }
    }

    const fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Missing,
            1 => Self::Requested,
            2 => Self::Present,
            3 => Self::Absent,
            _ => Self::GivenUp,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn page_is_requested_once_and_settled_once() {
        let (table, page) = (PageTable::new(2), PageIndex::new(1));
        assert_eq!(table.request(page), PageState::Missing);
        assert_eq!(table.request(page), PageState::Requested);
        assert_eq!(table.set_present(page), PageState::Requested);
        assert_eq!(table.set_absent(page), PageState::Present);
        assert_eq!(table.request(page), PageState::Present);
    }

    #[test]
    fn page_given_up_never_becomes_present_however_it_is_settled() {
        let page = PageIndex::new(0);
        for (prepare, before) in [
            (None, PageState::Missing),
            (Some(PageState::Requested), PageState::Requested),
        ] {
            let table = PageTable::new(1);
            prepare.map(|_| table.request(page));
            assert_eq!(table.give_up(page), before);
            assert_eq!(table.request(page), PageState::GivenUp);
            assert_eq!(table.set_present(page), PageState::GivenUp);
            assert_eq!(table.request(page), PageState::Absent);
        }
        let table = PageTable::new(1);
        table.set_present(page);
        assert_eq!(table.give_up(page), PageState::Present);
        assert_eq!(table.give_up(page), PageState::Absent);
        assert_eq!(table.request(page), PageState::Absent);
    }

    proptest! {
        #[test]
        fn awaited_runs_cover_exactly_what_is_not_settled(
            settled in prop::collection::vec(0u8..5, 1..200)
        ) {
            let pages = u64::try_from(settled.len()).unwrap();
            let table = PageTable::new(pages);
            for (page, &state) in (0..).map(PageIndex::new).zip(&settled) {
                match state {
                    0 => {}
                    1 => { table.request(page); }
                    2 => { table.set_present(page); }
                    3 => { table.set_absent(page); }
                    _ => { table.give_up(page); }
                }
            }
            let mut seen = Vec::new();
            let mut rest = PageRange::between(0, pages);
            while let Some((run, purpose)) = rest.and_then(|rest| table.next_awaited(rest)) {
                let wanted = if purpose == Use::Drop { 4..5 } else { 0..2 };
                prop_assert!(run.iter().all(|page| wanted.contains(&settled[page.subscript()])));
                seen.extend(run.iter());
                rest = PageRange::between(run.end(), pages);
            }
            let awaited: Vec<_> =
                (0..pages).map(PageIndex::new).filter(|p| ![2, 3].contains(&settled[p.subscript()])).collect();
            prop_assert_eq!(seen, awaited);
        }
    }
}
