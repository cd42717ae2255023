//! The sorts of one processor, which share it as processes would: a slice of time each, in turn.

#[cfg(test)]
mod tests;

use super::pages::{Corrupt, Pages};
use super::sort::Sort;

/// Our choice: because that many turns of a page take some milliseconds, as slices of schedulers do.
const SLICE_TURNS: u32 = 1024;

/// At least one sort, and which of them runs.
#[derive(Debug)]
pub struct SortQueue<'a> {
    sorts: &'a mut [Sort],
    filled: usize,
    running: usize,
    turns_left: u32,
}

impl<'a> SortQueue<'a> {
    /// Starts with the first of `sorts`, or gives nothing if there is none.
    #[must_use]
    pub fn new(sorts: &'a mut [Sort]) -> Option<Self> {
        let some = !sorts.is_empty();
        some.then_some(Self {
            sorts,
            filled: 0,
            running: 0,
            turns_left: SLICE_TURNS,
        })
    }

    /// Does a turn of the sort that runs; every array is filled before the first is sorted.
    ///
    /// # Errors
    /// A wrong word that was met.
    pub fn turn(&mut self, pages: &mut impl Pages) -> Result<(), Corrupt> {
        if let Some(sort) = self.sorts.get_mut(self.filled) {
            sort.step(pages)?;
            self.filled += usize::from(!sort.is_filling());
            return Ok(());
        }
        let passes = self.sorts[self.running].passes();
        let outcome = self.sorts[self.running].step(pages);
        self.turns_left -= 1;
        if self.turns_left == 0 || self.sorts[self.running].passes() > passes {
            self.run_next();
        }
        outcome
    }

    /// How many passes every sort has made.
    #[must_use]
    pub fn passes(&self) -> u64 {
        self.sorts.iter().map(Sort::passes).min().unwrap_or(0)
    }

    /// Whether some array is still without its first content.
    #[must_use]
    pub fn is_filling(&self) -> bool {
        self.filled < self.sorts.len()
    }

    /// Whether page number `index` belongs to an array that has content.
    #[must_use]
    pub fn holds(&self, index: u64) -> bool {
        self.sorts
            .iter()
            .any(|sort| sort.part().contains(index) && !sort.is_filling())
    }

    /// How many pages the arrays have together.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.sorts.iter().map(|sort| sort.part().pages).sum()
    }

    /// Checks the page at `place` of all arrays together and gives its number, or nothing if its array
    /// is being filled.
    pub fn check_at(
        &self,
        mut place: u64,
        pages: &mut impl Pages,
    ) -> Option<(u64, Result<(), Corrupt>)> {
        for sort in self.sorts.iter() {
            let part = sort.part();
            if place < part.pages {
                let checked = || (part.first + place, sort.check_keys(pages, place));
                return (!sort.is_filling()).then(checked);
            }
            place -= part.pages;
        }
        None
    }

    /// A sort that is ahead of the others waits for them, so that all end after the same pass.
    fn run_next(&mut self) {
        let least = self.passes();
        self.turns_left = SLICE_TURNS;
        for _ in 0..self.sorts.len() {
            self.running = (self.running + 1) % self.sorts.len();
            if self.sorts[self.running].passes() == least {
                return;
            }
        }
    }
}
