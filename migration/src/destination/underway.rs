//! Pages whose content is being received on a background connection: who touches one is no network
//! fault. The source is told all the same, because its order follows the guest.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::page::{PageIndex, PageRange};
use crate::wire::MAX_FRAME_PAGES;

/// Bits of a slot for the number of pages; those above are the number of the first one.
const COUNT_BITS: u32 = 16;
const _: () = assert!(MAX_FRAME_PAGES < 1 << COUNT_BITS);

/// How a page comes to who touches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The source has to send it first.
    Network,
    /// It is being received.
    Underway,
}

/// What is being received on each connection; 0 is nothing.
#[derive(Debug)]
pub(super) struct Underway(Vec<AtomicU64>);

/// The place of one connection, empty again when dropped.
#[derive(Debug)]
pub(super) struct Slot<'a>(Option<&'a AtomicU64>);

impl Underway {
    pub(super) fn new(streams: u16) -> Self {
        Self((0..streams).map(|_| AtomicU64::new(0)).collect())
    }

    /// The place of connection `number` of its lap.
    pub(super) fn slot(&self, number: u16) -> Slot<'_> {
        Slot(self.0.get(usize::from(number)))
    }

    /// How a page comes that is missing.
    pub(super) fn way_of(&self, page: PageIndex) -> Way {
        let is_underway = self.0.iter().any(|slot| {
            let slot = slot.load(Ordering::Acquire);
            let (first, pages) = (slot >> COUNT_BITS, slot & ((1 << COUNT_BITS) - 1));
            page.get().wrapping_sub(first) < pages
        });
        if is_underway {
            Way::Underway
        } else {
            Way::Network
        }
    }
}

impl Slot<'_> {
    /// The pages of `range` are being received, until others are, or none.
    pub(super) fn set(&self, range: Option<PageRange>) {
        // Page numbers of any memory leave the uppermost bits free.
        let slot = range.map_or(0, |range| range.first().get() << COUNT_BITS | range.pages());
        if let Some(place) = self.0 {
            place.store(slot, Ordering::Release);
        }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.set(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_is_underway_from_its_announcement_until_the_next_or_the_end() {
        let underway = Underway::new(2);
        let contained = || -> Vec<u64> {
            let pages =
                (0..10).filter(|&page| underway.way_of(PageIndex::new(page)) == Way::Underway);
            pages.collect()
        };
        let (one, other) = (underway.slot(0), underway.slot(1));
        one.set(PageRange::between(2, 4));
        other.set(PageRange::between(0, 1));
        assert_eq!(contained(), [0, 2, 3]);
        one.set(PageRange::between(8, 9));
        drop(other);
        assert_eq!(contained(), [8]);
        one.set(None);
        assert_eq!(contained(), [0; 0]);
    }

    #[test]
    fn connection_without_a_place_announces_nothing() {
        let underway = Underway::new(1);
        underway.slot(1).set(PageRange::between(0, 5));
        assert_eq!(underway.way_of(PageIndex::new(0)), Way::Network);
    }
}
