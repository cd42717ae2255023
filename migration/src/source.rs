//! The source of a migration: it gives a VM away, or keeps it.

mod account;
mod chunk;
mod connect;
mod frozen;
mod lap;
mod limiter;
mod recovery;
mod rounds;
mod sender;
mod sending;
mod tally;
mod timeline;
mod transfer;
mod window;

use std::fmt;

use crate::bitmap::PageBitmap;
use crate::cancel::CancelToken;
use crate::error::{Error, MachineError, Result};
use crate::offer::{Offer, PeerText};
use crate::options::SourceOptions;
use crate::progress::ProgressSink;
use crate::ram::{FrozenRam, RamMapping};
use crate::report::{Outcome, Report};

pub use connect::{PeerInfo, probe};
pub(crate) use sender::is_zero;
use transfer::Transfer;

/// A VM that can be given away. The calls come in the order of the methods below, from the thread
/// that calls [`migrate`].
pub trait SourceVm: Send + Sync {
    /// What the VM needs of its destination.
    ///
    /// # Errors
    /// If the VM is in no state to be moved.
    fn offer(&self) -> Result<Offer, MachineError>;

    /// The mapping of its RAM. Pages that were never touched must read as zero, or as those of its
    /// [snapshot](RamMapping::of_snapshot).
    fn ram(&self) -> RamMapping;

    /// Begins to note which pages are written, by vCPUs and by devices. It is called in modes with
    /// rounds of pre-copy only.
    ///
    /// # Errors
    /// If that cannot be done here.
    fn start_tracking(&self) -> Result<(), MachineError>;

    /// Asks the guest to name pages whose content it does not need. Its writes are tracked by now.
    fn start_hinting(&self);

    /// Adds to `free` the pages that the guest has named since it was asked, or since the last call,
    /// and says whether to expect more. The guest does not mind if such a page reads as zeroes,
    /// unless it was written since the tracking began: it may be in use again.
    fn take_hints(&self, free: &mut PageBitmap) -> Hints;

    /// Takes no more hints. The guest is not given back what it has named before
    /// [`stop_tracking`](Self::stop_tracking), or before it runs at its destination.
    fn stop_hinting(&self);

    /// Adds to `dirty` the pages that were written since the last call or, the first time, since
    /// the tracking began; the next write of each of them is noted again. What is read of a page
    /// after this returns, and is not noted by the next call, is its content at that call.
    ///
    /// # Errors
    /// If the pages are not known.
    fn take_dirty(&self, dirty: &mut PageBitmap) -> Result<(), MachineError>;

    /// Ends the tracking and the hinting of a VM that stays here after all. It runs by then.
    ///
    /// # Errors
    /// If that fails; the VM runs on.
    fn stop_tracking(&self) -> Result<(), MachineError>;

    /// Stops it. When this returns no vCPU runs, every queue is drained, and nobody writes the RAM
    /// until what is returned comes back with [`resume`](Self::resume).
    ///
    /// # Errors
    /// If it cannot be stopped; `resume` is called then as well, without memory.
    fn pause(&self) -> Result<FrozenRam, MachineError>;

    /// The state of its vCPUs and devices, while it is stopped: at most 16 MiB.
    ///
    /// # Errors
    /// If the state cannot be read.
    fn save(&self) -> Result<Vec<u8>, MachineError>;

    /// Undoes [`pause`](Self::pause), which had returned `ram`, or had failed: a VM that ran before runs
    /// on, one that its user had paused stays paused.
    ///
    /// # Errors
    /// If it cannot be resumed.
    fn resume(&self, ram: Option<FrozenRam>) -> Result<(), MachineError>;
}

/// Whether a guest that was asked for free pages goes on naming them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hints {
    /// It may name more.
    Expected,
    /// It has named all that it wants to, or never names any.
    Complete,
}

/// A migration that did not complete.
#[derive(Debug)]
pub struct Failure {
    /// The account up to the failure; its outcome says where the VM is.
    pub report: Report,
    /// What failed.
    pub error: Error,
}

impl Failure {
    /// Where the VM is: it runs on at the source, or it is lost.
    pub fn outcome(&self) -> Outcome {
        self.report.outcome
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.report.outcome {
            Outcome::ResumedAtSource => "the migration failed, the VM runs on here",
            Outcome::Completed | Outcome::Lost => "the migration failed, the VM is lost",
        })
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// Moves a VM to `options.destination`; returns when the destination has everything, and nothing
/// depends on this process any more.
///
/// `cancel` is for this one migration. The calling thread does the work, with a thread of its own
/// for each page connection.
///
/// # Errors
/// If the migration fails or is cancelled. As long as the guest has not been handed over, it runs
/// on here as it did before.
pub fn migrate(
    vm: &dyn SourceVm,
    options: &SourceOptions,
    progress: &dyn ProgressSink,
    cancel: &CancelToken,
) -> Result<Report, Box<Failure>> {
    let mut transfer = Transfer::begin(options, progress, cancel);
    let result = transfer.run(vm);
    // Exactly one end owns the guest, and it changes at one point: the phase becomes `HandedOver`
    // just before the first byte of the `Run` frame is given to the kernel, because from then on
    // the frame may arrive. Before that point every failure, of whatever kind, resumes the guest
    // here; after it no failure does, since the guest may be running at the destination. Only the
    // destination itself may turn it back: by its word that the token never arrived and that it has
    // given the VM up, the phase becomes `Returned`.
    let outcome = match (result, transfer.phase().owns_guest()) {
        (Ok(()), _) => return Ok(transfer.report(Outcome::Completed, None)),
        (Err(error), true) => transfer
            .undo(vm)
            .map(|()| (Outcome::ResumedAtSource, error)),
        (Err(error), false) => Ok((Outcome::Lost, error)),
    };
    let (outcome, error) = outcome.unwrap_or_else(|error| (Outcome::Lost, error));
    let reason = PeerText::chain(&error).to_string();
    Err(Box::new(Failure {
        report: transfer.report(outcome, Some(reason)),
        error,
    }))
}
