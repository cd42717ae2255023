//! RAM that is arriving, as those see it who give pages of it back.

use std::fmt::Debug;
use std::sync::{Arc, Weak};

use crate::error::Result;
use crate::page::PageRange;

/// Pages that are given up at a time: who installs an urgent page may wait for it. Our choice: as
/// many as are installed at a time.
const PIECE_PAGES: u64 = 512;

/// Memory of which some may not have come yet.
pub(crate) trait GivesUp: Debug + Send + Sync {
    /// Discards what is here of `pages`, and has the rest not come: all of them read as zeroes until
    /// they are written.
    ///
    /// # Errors
    /// The kernel refuses.
    fn give_up(&self, pages: PageRange) -> Result<()>;
}

/// RAM that is arriving, for whoever gives pages of it back to the host, such as a balloon. A page
/// must not be discarded behind the back of the thread that installs what comes.
#[derive(Clone, Debug)]
pub struct ArrivingMemory(Weak<dyn GivesUp>);

impl ArrivingMemory {
    pub(crate) fn of<T: GivesUp + 'static>(memory: &Arc<T>) -> Self {
        Self(Arc::downgrade(memory) as Weak<dyn GivesUp>)
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
        let memory = self.0.upgrade()?;
        let mut rest = Some(range);
        while let Some(left) = rest {
            let end = left.end().min(left.first().get() + PIECE_PAGES);
            let piece = PageRange::between(left.first().get(), end).expect("something is left");
            if let Err(error) = memory.give_up(piece) {
                return Some(Err(error));
            }
            rest = PageRange::between(end, range.end());
        }
        Some(Ok(()))
    }

    /// Whether all memory has arrived, and nobody but the guest installs pages any more.
    #[must_use]
    pub fn has_arrived(&self) -> bool {
        self.0.strong_count() == 0
    }
}
