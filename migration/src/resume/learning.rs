//! Which pages come together, which come first, and what is learned of those that are touched:
//! nothing here does I/O.

use std::time::Duration;

use crate::bitmap::PageBitmap;
use crate::destination::HUGE_PAGES;
use crate::order::{Order, Prepaging, Recency, SendPlan};
use crate::page::{PageIndex, PageRange};
use crate::resume::Prefetch;
use crate::snapshot::WorkingSet;

/// How long after a guest runs touched pages belong to its working set. Our choice: a guest has done
/// by then what it does first each time.
pub(super) const WINDOW: Duration = Duration::from_secs(1);

/// How long without a fault pages are held back at most, so that all of the set is seen. Our choice:
/// what comes later comes by chance.
pub(super) const QUIET: Duration = Duration::from_millis(200);

/// Pages that come with one that is waited for, where there is no huge page to come. Our choice: to
/// install them takes less time than the fault does, and a disk reads so much ahead anyway.
const NEAR_PAGES: u64 = 32;

/// How much comes along with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Nothing.
    Alone,
    /// Some pages.
    Near,
    /// All of its huge page, where that is stored whole; huge pages can be installed whole.
    Huge,
}

/// The pages of a memory that come together with one of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Neighbourhood {
    /// Pages of the memory.
    pub(super) pages: u64,
    pub(super) reach: Reach,
}

impl Neighbourhood {
    /// What comes with `page`, of all that is `stored`. A whole huge page costs less than its parts.
    pub(super) fn of(self, page: PageIndex, stored: &PageBitmap) -> PageRange {
        let huge = self.aligned(page, HUGE_PAGES);
        let is_whole =
            || is_huge(huge) && stored.next_run(huge.first().get(), huge.end()) == Some(huge);
        match self.reach {
            Reach::Alone => self.aligned(page, 1),
            Reach::Huge if is_whole() => huge,
            Reach::Near | Reach::Huge => self.aligned(page, NEAR_PAGES),
        }
    }

    fn aligned(self, page: PageIndex, unit: u64) -> PageRange {
        let first = page.get() / unit * unit;
        let end = self.pages.min(first + unit);
        PageRange::between(first, end).expect("the page is in it")
    }
}

/// Whether the pages are those of a huge page.
pub(super) fn is_huge(range: PageRange) -> bool {
    range.pages() == HUGE_PAGES && range.first().get().is_multiple_of(HUGE_PAGES)
}

/// The pages that come first: those of `set` that are `stored`, with all that come together with
/// them.
pub(super) fn ahead(
    set: &WorkingSet,
    stored: &PageBitmap,
    neighbourhood: Neighbourhood,
) -> PageBitmap {
    let mut ahead = PageBitmap::empty(stored.pages());
    let mut at = 0;
    while let Some(run) = set.pages().next_run(at, stored.pages()) {
        let around = neighbourhood.of(run.first(), stored);
        ahead.insert_range(around);
        at = around.end();
    }
    ahead.retain_all(stored);
    ahead
}

/// The order in which pages come that nobody waits for.
pub(super) fn plan(prefetch: &Prefetch, ahead: Option<&PageBitmap>) -> (SendPlan, Recency) {
    let mut recency = Recency::new();
    let plan = match (prefetch, ahead) {
        (Prefetch::Around, _) => SendPlan::default(),
        (Prefetch::Nothing, _) | (Prefetch::Learned(_), None) => SendPlan::new(Prepaging::None),
        (Prefetch::Learned(_), Some(ahead)) => {
            recency.add_round(ahead.clone());
            SendPlan {
                order: Order::Recency,
                ..SendPlan::default()
            }
        }
    };
    (plan, recency)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u64, end: u64) -> PageRange {
        PageRange::between(first, end).unwrap()
    }

    fn stored() -> PageBitmap {
        let mut stored = PageBitmap::empty(1600);
        stored.insert_range(range(512, 1030));
        stored.insert_range(range(1590, 1600));
        stored
    }

    #[test]
    fn huge_page_comes_whole_if_it_is_stored_whole_and_can_be_moved() {
        let of = |page, reach| {
            let neighbourhood = Neighbourhood { pages: 1600, reach };
            neighbourhood.of(PageIndex::new(page), &stored())
        };
        assert_eq!(of(700, Reach::Huge), range(512, 1024));
        assert_eq!(of(700, Reach::Near), range(672, 704));
        assert_eq!(of(700, Reach::Alone), range(700, 701));
        assert_eq!(of(1029, Reach::Huge), range(1024, 1056));
        assert_eq!(of(1599, Reach::Huge), range(1568, 1600));
    }

    #[test]
    fn set_comes_first_with_what_comes_along_and_without_what_is_not_stored() {
        let mut touched = PageBitmap::empty(1600);
        for page in [3, 530, 900, 1025] {
            touched.insert(PageIndex::new(page));
        }
        let mut set = WorkingSet::empty(1600);
        let neighbourhood = Neighbourhood {
            pages: 1600,
            reach: Reach::Huge,
        };
        assert_eq!(ahead(&set, &stored(), neighbourhood).count(), 0);
        for prefetch in [Prefetch::Learned(set.clone()), Prefetch::Nothing] {
            assert_eq!(plan(&prefetch, None).0.prepaging, Prepaging::None);
        }
        assert_eq!(plan(&Prefetch::Around, None).0, SendPlan::default());
        set.learn(&touched);
        let first = ahead(&set, &stored(), neighbourhood);
        assert_eq!(first.next_run(0, 1600), Some(range(512, 1030)));
        assert_eq!(first.count(), 518);
        let (plan, recency) = plan(&Prefetch::Learned(set), Some(&first));
        assert_eq!((plan.order, recency.is_empty()), (Order::Recency, false));
    }
}
