//! Pages that the guest gives up where it arrives, perhaps before they have come.

use std::sync::{Arc, PoisonError, Weak};
use std::time::Instant;

use crate::destination::attempt::Attempt;
use crate::destination::clock::Came;
use crate::destination::table::PageState;
use crate::error::Result;
use crate::page::{PageIndex, PageRange, ranges_of, to_u64};
use crate::wire::MAX_FRAME_RANGES;

/// Pages that are given up at a time: who installs an urgent page may wait for it. Our choice: as
/// many as are installed at a time.
const PIECE_PAGES: u64 = 512;

/// Most ranges that wait to be told to the source; of more it sends the pages in vain. Our choice:
/// one frame.
const MAX_UNTOLD_RANGES: usize = MAX_FRAME_RANGES;

/// RAM that is arriving, for whoever gives pages of it back to the host, such as a balloon. A page
/// must not be discarded behind the back of the thread that installs what comes.
#[derive(Clone, Debug)]
pub struct ArrivingMemory(Weak<Attempt>);

impl ArrivingMemory {
    pub(in crate::destination) fn of(attempt: &Arc<Attempt>) -> Self {
        Self(Arc::downgrade(attempt))
    }

    /// Discards the content of `range`: it reads as zeroes until it is written again, whatever of it
    /// is still on its way. `None` if all memory has arrived, and the caller may discard it himself.
    ///
    /// # Errors
    /// The kernel refuses; some of the pages may keep what they had.
    ///
    /// # Panics
    /// If a page does not exist.
    pub fn give_up(&self, range: PageRange) -> Option<Result<()>> {
        let attempt = self.0.upgrade()?;
        Some(attempt.give_up(range))
    }
}

/// Pages that the guest gave up before they came.
#[derive(Debug, Default)]
pub(super) struct GivenUp {
    pages: u64,
    /// Those of which the source does not know.
    untold: Vec<PageRange>,
}

impl Attempt {
    fn give_up(&self, range: PageRange) -> Result<()> {
        let mut rest = Some(range);
        while let Some(left) = rest {
            let end = left.end().min(left.first().get() + PIECE_PAGES);
            let piece = PageRange::between(left.first().get(), end).expect("something is left");
            self.give_up_piece(piece)?;
            rest = PageRange::between(end, range.end());
        }
        Ok(())
    }

    fn give_up_piece(&self, piece: PageRange) -> Result<()> {
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
