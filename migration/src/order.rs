//! Which page a source sends next.

use crate::bitmap::PageBitmap;
use crate::page::{PageIndex, PageRange};

/// Hands out every page of a memory exactly once, whatever faults come.
///
/// Pages leave in three ways: the destination demands one, background connections take the next
/// run in order, or they are withheld because they are listed as absent. Who is given a page must
/// send it. This is the paper's active push (VEE 2009, section 3.1): linear, with demanded pages
/// first.
#[derive(Clone, Debug)]
pub struct SendOrder {
    unsent: PageBitmap,
    /// No page before this one is unsent.
    next: u64,
}

impl SendOrder {
    /// An order in which none of the `pages` pages has been handed out.
    pub fn new(pages: u64) -> Self {
        Self {
            unsent: PageBitmap::full(pages),
            next: 0,
        }
    }

    /// Hands out the page that the destination waits for; `false` if it was handed out before.
    pub fn demand(&mut self, page: PageIndex) -> bool {
        self.unsent.remove(page)
    }

    /// Hands out the next run of neighbouring pages, at most `max_pages`; `None` once no page is
    /// left.
    pub fn next_run(&mut self, max_pages: u64) -> Option<PageRange> {
        let first = self.unsent.next_run(self.next, u64::MAX)?.first().get();
        let run = self
            .unsent
            .next_run(first, first.saturating_add(max_pages))?;
        self.hand_out(run);
        self.next = run.end();
        Some(run)
    }

    /// Hands out the first run of pages that are left in `range`.
    pub fn next_within(&mut self, range: PageRange) -> Option<PageRange> {
        let run = self.unsent.next_run(range.first().get(), range.end())?;
        self.hand_out(run);
        Some(run)
    }

    fn hand_out(&mut self, run: PageRange) {
        for page in run.iter() {
            self.unsent.remove(page);
        }
    }
}

#[cfg(test)]
mod tests;
