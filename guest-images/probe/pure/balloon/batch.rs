//! The pages of one request, as few runs as possible.

#[cfg(test)]
mod tests;

use crate::pure::options::PAGE_BYTES;

/// Our choice: because it is what Linux puts into a report (`PAGE_REPORTING_CAPACITY`).
const MOST_RUNS: usize = 32;

/// Pages side by side, by number and in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Number of the first page.
    pub first: u64,
    /// Its address.
    pub gpa: u64,
    /// How many there are.
    pub pages: u64,
}

/// Runs of pages in the order in which they were found.
#[derive(Clone, Debug)]
pub struct Batch {
    runs: [Run; MOST_RUNS],
    used: usize,
    pages: u64,
}

impl Batch {
    /// No page.
    pub const EMPTY: Self = Self {
        runs: [Run {
            first: 0,
            gpa: 0,
            pages: 0,
        }; MOST_RUNS],
        used: 0,
        pages: 0,
    };

    /// The runs.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.runs[..self.used]
    }

    /// How many pages there are.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// Forgets all pages.
    pub fn clear(&mut self) {
        self.used = 0;
        self.pages = 0;
    }

    /// Whether another page may need a run that there is no room for.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.used == MOST_RUNS
    }

    /// Adds a page to a batch that is not full.
    pub fn push(&mut self, index: u64, gpa: u64) {
        self.pages += 1;
        for run in &mut self.runs[..self.used] {
            if index == run.first + run.pages && gpa == run.gpa + run.pages * PAGE_BYTES {
                run.pages += 1;
                return;
            }
            if index + 1 == run.first && gpa + PAGE_BYTES == run.gpa {
                *run = Run {
                    first: index,
                    gpa,
                    pages: run.pages + 1,
                };
                return;
            }
        }
        self.runs[self.used] = Run {
            first: index,
            gpa,
            pages: 1,
        };
        self.used += 1;
    }

    /// Numbers of all pages.
    pub fn indices(&self) -> impl Iterator<Item = u64> {
        let runs = self.runs().iter();
        runs.flat_map(|run| run.first..run.first + run.pages)
    }

    /// Guest frame numbers of all pages. Memory beyond their 32 bits is none we can map.
    pub fn frame_numbers(&self) -> impl Iterator<Item = u32> {
        let runs = self.runs().iter();
        runs.flat_map(|run| (run.gpa / PAGE_BYTES..).take(place(run.pages)))
            .map(|number| u32::try_from(number).expect("a frame number of mapped memory"))
    }
}

fn place(count: u64) -> usize {
    usize::try_from(count).expect("a count on a 64-bit processor")
}
