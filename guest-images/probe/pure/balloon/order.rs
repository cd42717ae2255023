//! Which page goes into the balloon before which: first those that no work will ever use, from the
//! top, then those of the working set, the ones that its processors get to last before the others.

#[cfg(test)]
mod tests;

use crate::pure::walk::Part;

/// An order of all pages: the working set's, which the parts of so many processors share, and those
/// after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    pages: u64,
    set_pages: u64,
    shares: u64,
}

impl Order {
    /// `shares` is at least 1, and the working set the first `set_pages` of `pages`.
    #[must_use]
    pub fn new(pages: u64, set_pages: u64, shares: u64) -> Self {
        Self {
            pages,
            set_pages,
            shares,
        }
    }

    /// How many places there are.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// Number of the page at a place.
    #[must_use]
    pub fn index(&self, place: u64) -> u64 {
        let Some(place) = place.checked_sub(self.pages - self.set_pages) else {
            return self.pages - 1 - place;
        };
        // Parts differ by one page, and the longer ones come first: their last pages are a row of their
        // own.
        let longer = self.set_pages % self.shares;
        let (share, row) = match place.checked_sub(longer) {
            None => (place, 0),
            Some(rest) => {
                let share = rest % self.shares;
                (share, rest / self.shares + u64::from(share < longer))
            }
        };
        let whole = Part {
            first: 0,
            pages: self.set_pages,
        };
        let part = whole.share(share, self.shares);
        part.first + part.pages - 1 - row
    }
}
