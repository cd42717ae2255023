//! Pages and their numbers: the unit in which memory moves.

use serde::{Deserialize, Serialize};

/// Bytes in a page. x86-64 has larger pages too, but faults, holes and transfers are counted in
/// these.
pub const PAGE_BYTES: usize = 4096;

/// Dense number of a page of RAM: counts RAM pages only, from 0 to the layout's page count.
///
/// Page `n` lies at the base of the host mapping plus `n * 4096`, and no number is spent on the
/// holes of the guest-physical address space; a [`MemoryLayout`](crate::MemoryLayout) translates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PageIndex(u64);

impl PageIndex {
    /// The page with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number itself.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number as a subscript of a table that has an entry for each page.
    pub(crate) const fn subscript(self) -> usize {
        to_usize(self.0)
    }
}

/// Guest-physical frame number: a guest-physical address divided by 4096.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Pfn(u64);

impl Pfn {
    /// The frame with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number itself.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// A run of neighbouring pages, never empty, whose end does not overflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRange {
    first: PageIndex,
    pages: u64,
}

impl PageRange {
    /// The `pages` pages from `first` on, if that is at least one page and all are below `limit`.
    pub fn within(first: PageIndex, pages: u64, limit: u64) -> Option<Self> {
        let end = first.0.checked_add(pages)?;
        (pages > 0 && end <= limit).then_some(Self { first, pages })
    }

    /// The pages from `first` up to but not including `end`, if there are any.
    pub(crate) fn between(first: u64, end: u64) -> Option<Self> {
        Self::within(PageIndex(first), end.checked_sub(first)?, end)
    }

    /// The first page.
    pub const fn first(self) -> PageIndex {
        self.first
    }

    /// How many pages these are.
    pub const fn pages(self) -> u64 {
        self.pages
    }

    /// The number just past the last page.
    pub const fn end(self) -> u64 {
        self.first.0 + self.pages
    }

    /// Length in bytes.
    pub const fn bytes(self) -> usize {
        to_usize(self.pages) * PAGE_BYTES
    }

    /// Every page of the range, in order.
    pub fn iter(self) -> impl Iterator<Item = PageIndex> {
        (self.first.0..self.end()).map(PageIndex)
    }
}

/// Bytes in `pages` pages; saturates, so that a nonsensical count compares as "too much".
pub(crate) const fn bytes_of(pages: u64) -> u64 {
    pages.saturating_mul(to_u64(PAGE_BYTES))
}

/// `usize` holds every `u64` on the 64-bit hosts this crate is for.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the assertion below ties this crate to 64-bit hosts"
)]
pub(crate) const fn to_usize(value: u64) -> usize {
    const { assert!(usize::BITS == u64::BITS, "migration needs a 64-bit host") };
    value as usize
}

/// `u64` holds every `usize` on the 64-bit hosts this crate is for.
pub(crate) const fn to_u64(value: usize) -> u64 {
    const { assert!(usize::BITS == u64::BITS, "migration needs a 64-bit host") };
    value as u64
}

/// Joins ascending pages to as few ranges as possible.
pub(crate) fn ranges_of(ascending: impl IntoIterator<Item = PageIndex>) -> Vec<PageRange> {
    let mut ranges: Vec<PageRange> = Vec::new();
    for page in ascending {
        let first = ranges
            .pop_if(|last| last.end() == page.get())
            .map_or(page.get(), |last| last.first().get());
        ranges.extend(PageRange::between(first, page.get() + 1));
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_beyond_limit_or_empty_or_overflowing_is_none() {
        assert_eq!(PageRange::within(PageIndex(4), 0, 8), None);
        assert_eq!(PageRange::within(PageIndex(4), 5, 8), None);
        assert_eq!(PageRange::within(PageIndex(u64::MAX), 2, u64::MAX), None);
        assert_eq!(PageRange::between(5, 5), None);
        assert_eq!(PageRange::between(6, 5), None);
    }

    #[test]
    fn range_up_to_limit_lists_its_pages() {
        let range = PageRange::within(PageIndex(6), 2, 8).unwrap();
        assert_eq!(range.end(), 8);
        assert_eq!(range.bytes(), 8192);
        assert_eq!(range.iter().map(PageIndex::get).collect::<Vec<_>>(), [6, 7]);
    }
}
