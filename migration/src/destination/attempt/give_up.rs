//! Pages that the guest gives up where it arrives, perhaps before they have come.

use std::sync::PoisonError;
use std::time::Instant;

use crate::destination::attempt::Attempt;
use crate::destination::clock::Came;
use crate::destination::giving_up::GivesUp;
use crate::destination::table::PageState;
use crate::error::Result;
use crate::page::{PageIndex, PageRange, ranges_of, to_u64};
use crate::wire::MAX_FRAME_RANGES;

/// Most ranges that wait to be told to the source; of more it sends the pages in vain. Our choice:
/// one frame.
const MAX_UNTOLD_RANGES: usize = MAX_FRAME_RANGES;

/// Pages that the guest gave up before they came.
#[derive(Debug, Default)]
pub(super) struct GivenUp {
    pages: u64,
    /// Those of which the source does not know.
    untold: Vec<PageRange>,
}

impl GivesUp for Attempt {
    fn give_up(&self, piece: PageRange) -> Result<()> {
        let mut untold: Vec<PageIndex> = Vec::new();
        let mut awaited: Vec<PageIndex> = Vec::new();
        let installing = self
            .installing
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        // What is touched between the two is either still there or already one of zeroes.
        for page in piece.iter() {
            let before = self.table.give_up(page);
            if before == PageState::Requested {
                awaited.push(page);
            }
            if matches!(before, PageState::Missing | PageState::Requested) {
                untold.push(page);
            }
        }
        self.region.discard(piece)?;
        for page in awaited {
            self.region.install_zero(page)?;
            self.clock.stop(page, &Came::nowhere(Instant::now()));
        }
        drop(installing);
        if !untold.is_empty() {
            self.tell_given_up(&untold);
        }
        Ok(())
    }
}

impl Attempt {
    /// Counts pages that were given up before they came, and has the source told if there is room to
    /// note them.
    fn tell_given_up(&self, pages: &[PageIndex]) {
        let ranges = ranges_of(pages.iter().copied());
        let mut inner = self.lock();
        let given_up = &mut inner.given_up;
        given_up.pages += to_u64(pages.len());
        if given_up.untold.len() + ranges.len() <= MAX_UNTOLD_RANGES {
            given_up.untold.extend(ranges);
        }
        drop(inner);
        self.doorbell.ring();
    }

    /// The pages that were given up before they came, since the last call.
    pub(in crate::destination) fn take_given_up(&self) -> Vec<PageRange> {
        std::mem::take(&mut self.lock().given_up.untold)
    }

    /// How many were, so far.
    pub(in crate::destination) fn given_up_pages(&self) -> u64 {
        self.lock().given_up.pages
    }
}

#[cfg(test)]
mod tests;
