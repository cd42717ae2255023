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

use super::mix::{mix, unmix};
use super::pages::{Corrupt, Pages};
use super::pattern::{WORDS, WrongWord};
use super::permutation::Permutation;
use super::walk::Part;

const WORDS_PER_PAGE: u64 = WORDS as u64;

/// Ranges still to sort. Of the two halves the larger waits, so there are no more than an array's
/// size has bits.
const MOST_RANGES: usize = 48;

/// Our choice: because shorter ranges are sorted faster by insertion.
const INSERTION_WORDS: u64 = 16;

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
    part: Part,
    tweak: u64,
    seed: u64,
    passes: u64,
    phase: Phase,
    ranges: [Range; MOST_RANGES],
    waiting: usize,
}

impl Sort {
    /// A sort of nothing, to be replaced.
    pub const NOTHING: Self = Self {
        part: Part { first: 0, pages: 0 },
        tweak: 0,
        seed: 0,
        passes: 0,
        phase: Phase::Filling { page: 0 },
        ranges: [Range { start: 0, end: 0 }; MOST_RANGES],
        waiting: 0,
    };

    /// Gets ready to fill the array in `part`.
    pub fn start(&mut self, part: Part, seed: u64) {
        self.part = part;
        self.seed = seed;
        self.passes = 0;
        self.restart(mix(mix(seed) ^ part.first));
    }

    /// Writes, sorts or checks about a page full of words.
    ///
    /// # Errors
    /// A wrong word; the array is then filled anew.
    pub fn step(&mut self, pages: &mut impl Pages) -> Result<(), Corrupt> {
        if self.phase == Phase::Sorted {
            self.restart(mix(self.tweak));
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
        outcome.inspect_err(|_| self.restart(mix(self.tweak)))
    }

    /// How often the array was filled, sorted and found correct.
    #[must_use]
    pub fn passes(&self) -> u64 {
        self.passes
    }

    /// The pages of the array.
    #[must_use]
    pub fn part(&self) -> Part {
        self.part
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
            .try_for_each(|position| self.key(pages, position).map(drop))
    }

    fn words(&self) -> u64 {
        self.part.pages * WORDS_PER_PAGE
    }

    fn restart(&mut self, tweak: u64) {
        self.tweak = tweak;
        self.phase = Phase::Filling { page: 0 };
        self.waiting = 0;
    }

    fn encode(&self, key: u64) -> u64 {
        mix(key.wrapping_add(self.tweak))
    }

    fn decode(&self, word: u64) -> u64 {
        unmix(word).wrapping_sub(self.tweak)
    }

    fn word<'a>(&self, pages: &'a mut impl Pages, position: u64) -> &'a mut u64 {
        let page = pages.page(self.part.first + position / WORDS_PER_PAGE);
        &mut page[word_in_page(position)]
    }

    fn key(&self, pages: &mut impl Pages, position: u64) -> Result<u64, Corrupt> {
        let found = *self.word(pages, position);
        let key = self.decode(found);
        if key < self.words() {
            Ok(key)
        } else {
            Err(self.damaged(pages, position, found))
        }
    }

    /// The array holds each key once, so the key that is missing is the one that was here.
    #[cold]
    fn damaged(&self, pages: &mut impl Pages, position: u64, found: u64) -> Corrupt {
        let mut missing = 0;
        for other in 0..self.words() {
            let key = self.decode(*self.word(pages, other));
            missing ^= other ^ if key < self.words() { key } else { 0 };
        }
        let wrong = WrongWord {
            index: word_in_page(position),
            expected: self.encode(missing),
            found,
        };
        Corrupt::new(
            pages.gpa(self.part.first + position / WORDS_PER_PAGE),
            wrong,
        )
    }

    fn swap(&self, pages: &mut impl Pages, one: u64, other: u64) {
        let word = *self.word(pages, one);
        let word = core::mem::replace(self.word(pages, other), word);
        *self.word(pages, one) = word;
    }

    fn fill_page(&mut self, pages: &mut impl Pages, page: u64) {
        let order = Permutation::new(self.words(), self.tweak);
        for position in page * WORDS_PER_PAGE..(page + 1) * WORDS_PER_PAGE {
            *self.word(pages, position) = self.encode(order.at(position));
        }
        self.phase = Phase::Filling { page: page + 1 };
        if page + 1 == self.part.pages {
            self.wait(Range {
                start: 0,
                end: self.words(),
            });
            self.phase = Phase::Sorting { split: None };
        }
    }

    fn check_page(&mut self, pages: &mut impl Pages, page: u64) -> Result<(), Corrupt> {
        let gpa = pages.gpa(self.part.first + page);
        for position in page * WORDS_PER_PAGE..(page + 1) * WORDS_PER_PAGE {
            let (expected, found) = (self.encode(position), *self.word(pages, position));
            if found != expected {
                let index = word_in_page(position);
                return Err(Corrupt::new(
                    gpa,
                    WrongWord {
                        index,
                        expected,
                        found,
                    },
                ));
            }
        }
        self.phase = Phase::Checking { page: page + 1 };
        if page + 1 == self.part.pages {
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
                budget_words = budget_words.saturating_sub(words.min(INSERTION_WORDS));
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
        if end - start <= INSERTION_WORDS {
            self.sort_by_insertion(pages, range)?;
            return Ok(None);
        }
        let middle = start + (end - start) / 2;
        let (a, b) = (self.key(pages, start)?, self.key(pages, middle)?);
        let c = self.key(pages, end - 1)?;
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
        while low < high {
            if *budget_words == 0 {
                return Ok(Some(Split {
                    range,
                    low,
                    high,
                    pivot,
                }));
            }
            *budget_words -= 1;
            if self.key(pages, low)? < pivot {
                low += 1;
            } else if self.key(pages, high - 1)? > pivot {
                high -= 1;
            } else {
                self.swap(pages, low, high - 1);
                low += 1;
                high -= 1;
            }
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

    /// Exchanges neighbours only, so that the array holds each key once at every moment.
    fn sort_by_insertion(&self, pages: &mut impl Pages, range: Range) -> Result<(), Corrupt> {
        for next in range.start + 1..range.end {
            let mut place = next;
            while place > range.start && self.key(pages, place)? < self.key(pages, place - 1)? {
                self.swap(pages, place, place - 1);
                place -= 1;
            }
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

fn word_in_page(position: u64) -> usize {
    usize::try_from(position % WORDS_PER_PAGE).expect("a word's place in a page")
}
