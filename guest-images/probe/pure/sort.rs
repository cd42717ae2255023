//! Quicksort of one array, a slice of work at a time (Hoare, "Quicksort", 1962). The array holds the
//! keys `0..n`, each stored as a word that looks random, so a word that is damaged decodes to no key
//! of the array, and after the sort each word has one correct value.
//!
//! ```text
//! filling --(shuffled keys written)--> sorting --> checking --(every word in place: one pass)--> sorted
//!    ^                                                                                          |
//!    +------------------------------------------------------------------------------------------+
//! ```

#[cfg(test)]
mod tests;

mod keys;

use keys::{Keys, WORDS_PER_PAGE};

use super::mix::mix;
use super::pages::{Corrupt, Pages};
use super::permutation::Permutation;
use super::walk::Part;

/// Ranges still to sort. Of the two halves the larger waits, so there are no more than an array's
/// size has bits.
const MOST_RANGES: usize = 48;

/// Our choice: because shorter ranges are sorted faster by insertion.
const INSERTION_WORDS: usize = 16;

/// Positions `start..end` of the array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    start: u64,
    end: u64,
}

/// A range being split: what lies before `low` is at most the pivot, what lies from `high` on is at
/// least the pivot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Split {
    range: Range,
    low: u64,
    high: u64,
    pivot: u64,
}

// Numbered, so that `Sort::NOTHING` is all zeroes and takes no place in the image.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Filling { page: u64 },
    Sorting { split: Option<Split> },
    Checking { page: u64 },
    Sorted,
}

/// The sort of one array, over and over.
#[derive(Clone, Debug)]
pub struct Sort {
    keys: Keys,
    passes: u64,
    phase: Phase,
    ranges: [Range; MOST_RANGES],
    waiting: usize,
}

impl Sort {
    /// A sort of nothing, to be replaced.
    pub const NOTHING: Self = Self {
        keys: Keys {
            part: Part { first: 0, pages: 0 },
            tweak: 0,
        },
        passes: 0,
        phase: Phase::Filling { page: 0 },
        ranges: [Range { start: 0, end: 0 }; MOST_RANGES],
        waiting: 0,
    };

    /// Gets ready to fill the array in `part`.
    pub fn start(&mut self, part: Part, seed: u64) {
        self.keys.part = part;
        self.passes = 0;
        self.restart(mix(mix(seed) ^ part.first));
    }

    /// Writes, sorts or checks about a page full of words.
    ///
    /// # Errors
    /// A wrong word; the array is then filled anew.
    pub fn step(&mut self, pages: &mut impl Pages) -> Result<(), Corrupt> {
        if self.phase == Phase::Sorted {
            self.restart(mix(self.keys.tweak));
        }
        let outcome = match self.phase {
            Phase::Filling { page } => {
                self.fill_page(pages, page);
                Ok(())
            }
            Phase::Sorted => Ok(()),
            Phase::Sorting { split } => self.sort_some(pages, split),
            Phase::Checking { page } => self.check_page(pages, page),
        };
        outcome.inspect_err(|_| self.restart(mix(self.keys.tweak)))
    }

    /// How often the array was filled, sorted and found correct.
    #[must_use]
    pub fn passes(&self) -> u64 {
        self.passes
    }

    /// The pages of the array.
    #[must_use]
    pub fn part(&self) -> Part {
        self.keys.part
    }

    /// Whether some word of the array has not been written yet.
    #[must_use]
    pub fn is_filling(&self) -> bool {
        matches!(self.phase, Phase::Filling { .. })
    }

    /// Looks at every word of page `page` of the array for one that is no key of it.
    ///
    /// # Errors
    /// The first such word.
    pub fn check_keys(&self, pages: &mut impl Pages, page: u64) -> Result<(), Corrupt> {
        let positions = page * WORDS_PER_PAGE..(page + 1) * WORDS_PER_PAGE;
        positions
            .into_iter()
            .try_for_each(|position| self.keys.key(pages, position).map(drop))
    }

    fn restart(&mut self, tweak: u64) {
        self.keys.tweak = tweak;
        self.phase = Phase::Filling { page: 0 };
        self.waiting = 0;
    }

    fn fill_page(&mut self, pages: &mut impl Pages, page: u64) {
        let order = Permutation::new(self.keys.words(), self.keys.tweak);
        for position in page * WORDS_PER_PAGE..(page + 1) * WORDS_PER_PAGE {
            *self.keys.word(pages, position) = self.keys.encode(order.at(position));
        }
        self.phase = Phase::Filling { page: page + 1 };
        if page + 1 == self.keys.part.pages {
            self.wait(Range {
                start: 0,
                end: self.keys.words(),
            });
            self.phase = Phase::Sorting { split: None };
        }
    }

    fn check_page(&mut self, pages: &mut impl Pages, page: u64) -> Result<(), Corrupt> {
        for position in page * WORDS_PER_PAGE..(page + 1) * WORDS_PER_PAGE {
            self.keys.check_sorted(pages, position)?;
        }
        self.phase = Phase::Checking { page: page + 1 };
        if page + 1 == self.keys.part.pages {
            self.passes += 1;
            self.phase = Phase::Sorted;
        }
        Ok(())
    }

    fn sort_some(
        &mut self,
        pages: &mut impl Pages,
        mut split: Option<Split>,
    ) -> Result<(), Corrupt> {
        let mut budget_words = WORDS_PER_PAGE;
        while budget_words > 0 {
            split = if let Some(split) = split {
                self.split_some(pages, split, &mut budget_words)?
            } else if let Some(range) = self.next_range() {
                let words = range.end - range.start;
                budget_words = budget_words.saturating_sub(words.min(INSERTION_WORDS as u64));
                self.begin(pages, range)?
            } else {
                self.phase = Phase::Checking { page: 0 };
                return Ok(());
            };
        }
        self.phase = Phase::Sorting { split };
        Ok(())
    }

    /// Sorts a short range, or begins to split a long one.
    fn begin(&self, pages: &mut impl Pages, range: Range) -> Result<Option<Split>, Corrupt> {
        let Range { start, end } = range;
        if end - start <= INSERTION_WORDS as u64 {
            self.sort_few(pages, range)?;
            return Ok(None);
        }
        let middle = start + (end - start) / 2;
        let (a, b) = (self.keys.key(pages, start)?, self.keys.key(pages, middle)?);
        let c = self.keys.key(pages, end - 1)?;
        let pivot = a.min(b).max(a.max(b).min(c));
        Ok(Some(Split {
            range,
            low: start,
            high: end,
            pivot,
        }))
    }

    /// Moves the two ends of a split towards each other until they meet or the budget is used up.
    fn split_some(
        &mut self,
        pages: &mut impl Pages,
        split: Split,
        budget_words: &mut u64,
    ) -> Result<Option<Split>, Corrupt> {
        let Split {
            range,
            mut low,
            mut high,
            pivot,
        } = split;
        while low < high && *budget_words > 0 {
            *budget_words -= 1;
            if self.keys.key(pages, low)? < pivot {
                low += 1;
                continue;
            }
            while low < high && *budget_words > 0 && self.keys.key(pages, high - 1)? > pivot {
                *budget_words -= 1;
                high -= 1;
            }
            if low < high && *budget_words > 0 {
                self.keys.swap(pages, low, high - 1);
                low += 1;
                high -= 1;
            }
        }
        if low < high {
            return Ok(Some(Split {
                range,
                low,
                high,
                pivot,
            }));
        }
        let lower = Range {
            start: range.start,
            end: high,
        };
        let upper = Range {
            start: low,
            end: range.end,
        };
        let lower_is_larger = high - range.start > range.end - low;
        let (larger, smaller) = if lower_is_larger {
            (lower, upper)
        } else {
            (upper, lower)
        };
        self.wait(larger);
        self.wait(smaller);
        Ok(None)
    }

    /// Sorts by insertion outside of the array, which holds each key once before and after.
    fn sort_few(&self, pages: &mut impl Pages, range: Range) -> Result<(), Corrupt> {
        let mut keys = [0; INSERTION_WORDS];
        for (count, position) in (range.start..range.end).enumerate() {
            let key = self.keys.key(pages, position)?;
            let before = keys[..count].iter().rposition(|&other| other < key);
            let place = before.map_or(0, |before| before + 1);
            keys.copy_within(place..count, place + 1);
            keys[place] = key;
        }
        for (position, key) in (range.start..range.end).zip(keys) {
            *self.keys.word(pages, position) = self.keys.encode(key);
        }
        Ok(())
    }

    fn wait(&mut self, range: Range) {
        if range.end - range.start > 1 {
            self.ranges[self.waiting] = range;
            self.waiting += 1;
        }
    }

    fn next_range(&mut self) -> Option<Range> {
        self.waiting = self.waiting.checked_sub(1)?;
        Some(self.ranges[self.waiting])
    }
}
