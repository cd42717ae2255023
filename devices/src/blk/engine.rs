//! What does the requests of a disk, many at a time and in any order: the kernel by itself, or threads.

use std::time::Duration;

use super::run::Run;
use crate::DeviceError;
use crate::virtio::Chain;

/// Runs of requests that are under way at a time. Our choice: half of a queue.
pub(super) const DEPTH: usize = 128;

/// Chains that were served, with the numbers of bytes that were written into them.
pub(super) type Served = Vec<(Chain, u32)>;

/// What became of a run that was handed over.
#[derive(Debug)]
pub(super) enum Begun {
    /// It is under way.
    UnderWay,
    /// It was done at once.
    Done(Served),
}

/// Does what the thread of a disk hands over.
pub(super) trait Engine {
    /// How many runs are under way.
    fn under_way(&self) -> usize;

    /// Takes a run. There has to be room.
    ///
    /// # Errors
    /// Guest memory cannot be accessed.
    fn hand_over(&mut self, run: Run) -> Result<Begun, DeviceError>;

    /// Begins with all that was handed over; says whether there is something to be taken.
    ///
    /// # Errors
    /// The kernel takes no more.
    fn submit(&mut self) -> Result<bool, DeviceError>;

    /// Begins with all that was handed over, and waits until something is done or the driver has kicked
    /// the queue, for `patience` at most.
    ///
    /// # Errors
    /// The kernel takes no more, or does not let wait.
    fn wait(&mut self, patience: Option<Duration>) -> Result<(), DeviceError>;

    /// Takes what is done, run by run, and the kicks between them.
    ///
    /// # Errors
    /// Guest memory cannot be accessed.
    fn take_done(&mut self) -> Result<Option<Served>, DeviceError>;

    /// Whether nothing is under way.
    fn is_idle(&self) -> bool {
        self.under_way() == 0
    }

    /// Whether there is room for what was taken from the queue and for what is taken next.
    fn has_room(&self) -> bool {
        self.under_way() + 2 <= DEPTH
    }
}
