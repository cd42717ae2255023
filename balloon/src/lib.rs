//! The virtio balloon: what the guest gives back, and how its host asks for it.
//!
//! Standard: virtio 1.2, section 5.5. A [`Balloon`] is the device; its [`BalloonHandle`] sets the
//! target and reads what is known. Pages go back to the host through [`PageReclaim`], which is
//! the machine's: this crate never touches a page itself.

mod config;
mod control;
mod device;
mod error;
mod flow;
mod hinting;
mod ledger;
mod pfn;
mod policy;
mod queues;
mod requests;
mod statistics;

pub use control::{BalloonHandle, BalloonStatus};
pub use device::{Balloon, BalloonState};
pub use error::BalloonError;
pub use hinting::Hints;
pub use ledger::{Ledger, LedgerState};
pub use pfn::{PAGE_BYTES, Pfn, PfnRange, coalesce};
pub use policy::{Change, Observation, Reason, SelfBallooning, SelfBallooningSettings};
pub use statistics::Statistics;

/// Gives pages of guest RAM back to the host.
///
/// Called from whichever thread serves the device, holding no lock of this crate. Afterwards the
/// pages read as zeroes, until the guest writes them; it may do so at any moment, even during the
/// call if it misbehaves.
pub trait PageReclaim: std::fmt::Debug + Send {
    /// Discards the content of `range`, which lies in guest RAM.
    ///
    /// # Errors
    /// The host refused. The pages keep some content; the balloon counts it and goes on.
    fn discard(&self, range: PfnRange) -> std::io::Result<()>;

    /// Has memory ready for `range`, which lies in guest RAM and which the guest is about to use. Content stays
    /// as it is; that this fails or does nothing costs the guest a page fault for each page.
    fn prepare(&self, range: PfnRange);
}
