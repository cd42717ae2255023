//! A set of pages, one bit each.

use crate::page::{PageIndex, PageRange, to_usize};

/// Pages held by one word of the set.
const WORD_PAGES: u64 = 64;

/// A set of pages out of a fixed number.
///
/// Runs are found a word at a time, so walking the set costs little even where it is sparse. Words
/// without pages are not written where it can be helped: of a set that is mostly empty the host has to
/// find memory only for the rest, and a machine of 8 GiB resumes with half a dozen sets of 256 KiB.
#[derive(Debug, PartialEq, Eq)]
pub struct PageBitmap {
    words: Vec<u64>,
    pages: u64,
}

impl Clone for PageBitmap {
    fn clone(&self) -> Self {
        let mut set = Self::empty(self.pages);
        set.add_all(self);
        set
    }
}

impl PageBitmap {
    /// The empty set over `pages` pages.
    pub fn empty(pages: u64) -> Self {
        Self {
            words: vec![0; to_usize(pages.div_ceil(WORD_PAGES))],
            pages,
        }
    }

    /// The set of all `pages` pages.
    pub fn full(pages: u64) -> Self {
        let mut set = Self {
            words: vec![u64::MAX; to_usize(pages.div_ceil(WORD_PAGES))],
            pages,
        };
        if !pages.is_multiple_of(WORD_PAGES)
            && let Some(last) = set.words.last_mut()
        {
            *last = (1 << (pages % WORD_PAGES)) - 1;
        }
        set
    }

    /// How many pages there could be in the set.
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// How many pages are in the set.
    pub fn count(&self) -> u64 {
        self.words
            .iter()
            .map(|word| u64::from(word.count_ones()))
            .sum()
    }

    /// Whether `page` is in the set; a page that does not exist is not.
    pub fn contains(&self, page: PageIndex) -> bool {
        let (word, bit) = position(page.get());
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Adds a page and says whether it is new; a page that does not exist is not added.
    pub fn insert(&mut self, page: PageIndex) -> bool {
        let new = page.get() < self.pages && !self.contains(page);
        if new {
            let (word, bit) = position(page.get());
            self.words[word] |= bit;
        }
        new
    }

    /// Takes a page out and says whether it was in.
    pub fn remove(&mut self, page: PageIndex) -> bool {
        let held = self.contains(page);
        if held {
            let (word, bit) = position(page.get());
            self.words[word] &= !bit;
        }
        held
    }

    /// The first run of pages of the set that begins at or after `from`, cut at `limit`, where
    /// `limit` is a page number past the last page of interest.
    pub fn next_run(&self, from: u64, limit: u64) -> Option<PageRange> {
        let limit = limit.min(self.pages);
        let first = self.next_with(from, limit, |word| word)?;
        let end = self.next_with(first, limit, |word| !word).unwrap_or(limit);
        PageRange::between(first, end)
    }

    /// The last run of pages of the set that ends at or before `until`, cut at `floor`, where
    /// `until` is a page number past the last page of interest.
    pub fn previous_run(&self, until: u64, floor: u64) -> Option<PageRange> {
        let last = self.last_with(floor, until.min(self.pages), |word| word)?;
        let gap = self.last_with(floor, last, |word| !word);
        PageRange::between(gap.map_or(floor, |gap| gap + 1), last + 1)
    }

    /// The first run of pages that are not in the set that begins at or after `from`, cut at `limit`,
    /// where `limit` is a page number past the last page of interest.
    pub fn next_gap(&self, from: u64, limit: u64) -> Option<PageRange> {
        let limit = limit.min(self.pages);
        let first = self.next_with(from, limit, |word| !word)?;
        let end = self.next_with(first, limit, |word| word).unwrap_or(limit);
        PageRange::between(first, end)
    }

    /// Adds the pages of another set over as many pages.
    pub fn add_all(&mut self, other: &Self) {
        debug_assert_eq!(self.pages, other.pages, "sets over the same memory");
        for (word, &other) in self.words.iter_mut().zip(&other.words) {
            if other != 0 {
                *word |= other;
            }
        }
    }

    /// Takes out the pages of another set over as many pages.
    pub fn remove_all(&mut self, other: &Self) {
        debug_assert_eq!(self.pages, other.pages, "sets over the same memory");
        for (word, &other) in self.words.iter_mut().zip(&other.words) {
            if *word & other != 0 {
                *word &= !other;
            }
        }
    }

    /// Keeps only the pages that are in another set over as many pages, too.
    pub fn retain_all(&mut self, other: &Self) {
        debug_assert_eq!(self.pages, other.pages, "sets over the same memory");
        for (word, &other) in self.words.iter_mut().zip(&other.words) {
            if *word & !other != 0 {
                *word &= other;
            }
        }
    }

    /// Adds the pages of `range` that exist.
    pub fn insert_range(&mut self, range: PageRange) {
        self.change(range, |word, mask| *word |= mask);
    }

    /// Takes out the pages of `range`.
    pub fn remove_range(&mut self, range: PageRange) {
        self.change(range, |word, mask| *word &= !mask);
    }

    /// Changes each word that has pages of `range`, under a mask of those.
    fn change(&mut self, range: PageRange, act: impl Fn(&mut u64, u64)) {
        let end = range.end().min(self.pages);
        let mut at = range.first().get();
        while at < end {
            let next = (at / WORD_PAGES + 1) * WORD_PAGES;
            let above = next - end.min(next);
            let mask = (u64::MAX << (at % WORD_PAGES)) & (u64::MAX >> above);
            act(&mut self.words[to_usize(at / WORD_PAGES)], mask);
            at = next;
        }
    }

    /// Every page of the set, in order.
    pub fn iter(&self) -> impl Iterator<Item = PageIndex> + '_ {
        self.words().flat_map(|(number, word)| {
            let bits = std::iter::successors(Some(word), |rest| {
                let without_lowest = rest & rest.checked_sub(1)?;
                (without_lowest != 0).then_some(without_lowest)
            });
            bits.map(move |rest| {
                PageIndex::new(number * WORD_PAGES + u64::from(rest.trailing_zeros()))
            })
        })
    }

    /// The words of the set, little-endian.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.words
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect()
    }

    /// The set over `pages` pages with these words, little-endian, if there are as many as it takes
    /// and they hold no page that does not exist.
    pub(crate) fn from_bytes(bytes: &[u8], pages: u64) -> Option<Self> {
        let (words, []) = bytes.as_chunks() else {
            return None;
        };
        let unused = pages.next_multiple_of(WORD_PAGES) - pages;
        let last = words.last().map_or(0, |word| u64::from_le_bytes(*word));
        if words.len() != to_usize(pages.div_ceil(WORD_PAGES))
            || u64::from(last.leading_zeros()) < unused
        {
            return None;
        }
        let mut set = Self::empty(pages);
        for (word, bytes) in set.words.iter_mut().zip(words) {
            if *bytes != [0; 8] {
                *word = u64::from_le_bytes(*bytes);
            }
        }
        Some(set)
    }

    /// The words that hold any page: word `n` has a bit for each of the pages from `64 * n` on.
    pub(crate) fn words(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let numbered = (0..).zip(self.words.iter().copied());
        numbered.filter(|&(_, word)| word != 0)
    }

    /// The last number in `floor..until` whose bit is set in `view` of its word.
    fn last_with(&self, floor: u64, until: u64, view: impl Fn(u64) -> u64) -> Option<u64> {
        let mut end = until;
        while end > floor {
            let last = end - 1;
            let above = WORD_PAGES - 1 - last % WORD_PAGES;
            let word = view(self.words[to_usize(last / WORD_PAGES)]) << above;
            if word != 0 {
                return Some(last - u64::from(word.leading_zeros()))
                    .filter(|&found| found >= floor);
            }
            end = last / WORD_PAGES * WORD_PAGES;
        }
        None
    }

    /// The first number in `from..limit` whose bit is set in `view` of its word.
    fn next_with(&self, from: u64, limit: u64, view: impl Fn(u64) -> u64) -> Option<u64> {
        let mut at = from;
        while at < limit {
            let word = view(self.words[to_usize(at / WORD_PAGES)]) >> (at % WORD_PAGES);
            if word != 0 {
                return Some(at + u64::from(word.trailing_zeros())).filter(|&found| found < limit);
            }
            at = (at / WORD_PAGES + 1) * WORD_PAGES;
        }
        None
    }
}

/// The word a page's bit is in, and the bit.
fn position(page: u64) -> (usize, u64) {
    (to_usize(page / WORD_PAGES), 1 << (page % WORD_PAGES))
}

#[cfg(test)]
mod tests;
