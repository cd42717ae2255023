//! RAM as runs of page frames, and the places of page tables' and working set's pages in it.

#[cfg(test)]
mod tests;

use super::options::PAGE_BYTES;

/// Our choice: because a machine with more pieces of RAM than this is none we boot on.
const MOST_EXTENTS: usize = 16;

/// A run of RAM pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Guest-physical address of the first page.
    pub gpa: u64,
    /// How many pages there are.
    pub pages: u64,
}

/// Runs of RAM pages in order of address, numbered through from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryMap {
    extents: [Extent; MOST_EXTENTS],
    used: usize,
}

impl MemoryMap {
    /// A map of no memory.
    pub const EMPTY: Self = Self {
        extents: [Extent { gpa: 0, pages: 0 }; MOST_EXTENTS],
        used: 0,
    };

    /// Adds the whole pages of the RAM `start..end`; memory that is there already stays once.
    pub fn add(&mut self, start: u64, end: u64) {
        let Some(mut gpa) = start.checked_next_multiple_of(PAGE_BYTES) else {
            return;
        };
        let mut place = 0;
        for extent in &self.extents[..self.used] {
            if extent.gpa <= gpa {
                gpa = gpa.max(extent.gpa + extent.pages * PAGE_BYTES);
                place += 1;
            }
        }
        let next_gpa = self.extents[place..self.used]
            .first()
            .map_or(u64::MAX, |next| next.gpa);
        let pages = (end.min(next_gpa) / PAGE_BYTES).saturating_sub(gpa / PAGE_BYTES);
        if pages > 0 && self.used < MOST_EXTENTS {
            self.extents.copy_within(place..self.used, place + 1);
            self.extents[place] = Extent { gpa, pages };
            self.used += 1;
        }
    }

    /// The runs, in order of address.
    #[must_use]
    pub fn extents(&self) -> &[Extent] {
        &self.extents[..self.used]
    }

    /// How many pages there are in all.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.extents().iter().map(|extent| extent.pages).sum()
    }

    /// Takes the first `pages` pages away and returns the address of the first, or nothing if they
    /// do not lie side by side.
    pub fn take(&mut self, pages: u64) -> Option<u64> {
        let first = self.extents[..self.used].first_mut()?;
        first.pages = first.pages.checked_sub(pages)?;
        let gpa = first.gpa;
        first.gpa += pages * PAGE_BYTES;
        Some(gpa)
    }

    /// Address of page number `index`.
    #[must_use]
    pub fn gpa_of(&self, index: u64) -> Option<u64> {
        let mut rest = index;
        for extent in self.extents() {
            if rest < extent.pages {
                return Some(extent.gpa + rest * PAGE_BYTES);
            }
            rest -= extent.pages;
        }
        None
    }
}
