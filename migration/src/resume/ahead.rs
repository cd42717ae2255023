//! The pages that come ahead of demand, because they had been learned.

use std::time::Instant;

use crate::bitmap::PageBitmap;
use crate::page::{PageRange, to_u64};

/// The pages that come first.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    pages: u64,
    left: Option<PageBitmap>,
    left_pages: u64,
    /// When the last of them was here.
    all_here: Option<Instant>,
}

impl Ahead {
    /// None of these pages is here yet.
    pub(super) fn new(left: PageBitmap) -> Self {
        let pages = left.count();
        Self {
            pages,
            left: Some(left),
            left_pages: pages,
            all_here: None,
        }
    }

    /// Takes note of pages that are here.
    pub(super) fn came(&mut self, run: PageRange) {
        let Some(left) = self.left.as_mut().filter(|_| self.left_pages > 0) else {
            return;
        };
        let came = run.iter().filter(|&page| left.remove(page)).count();
        self.left_pages -= to_u64(came);
        if self.left_pages == 0 {
            self.all_here = Some(Instant::now());
        }
    }

    /// How many they are.
    pub(super) fn pages(&self) -> u64 {
        self.pages
    }

    /// When the last of them was here; `None` while it is not.
    pub(super) fn all_here(&self) -> Option<Instant> {
        self.all_here
    }
}
