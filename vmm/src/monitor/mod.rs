//! The process around a VM: event loop, control socket, console, and the moves of the guest.
//!
//! [`run`] boots a guest, [`receive`] waits for one, [`restore`] resumes one from a snapshot; all
//! then serve it until it ends, moves away, or is stopped. One thread runs the event loop, which serves the control socket, the console and
//! the devices' queues; each vCPU has its own thread; a migration has one, beside those of the
//! engine.

mod arrival;
mod boot;
mod console;
mod departure;
mod error;
mod event_loop;
mod guest_events;
mod handler;
mod merge;
mod notices;
mod peer;
mod place;
mod rate;
mod restore;
mod snapshot;

pub use arrival::receive;
pub use boot::run;
pub use error::MonitorError;
pub use merge::merge;
pub use peer::ask_peer;
pub use restore::restore;

/// Why a monitor ends.
#[derive(Debug)]
enum Ending {
    /// The guest has switched itself off.
    PoweredOff,
    /// The guest wants to start afresh, which is left to who started the monitor.
    Reset,
    /// The user or a signal has stopped it.
    Stopped,
    /// The guest runs elsewhere.
    Moved,
    /// Something went wrong.
    Failed(MonitorError),
}

impl Ending {
    /// What the process makes of it: everything but a failure is a good end.
    fn into_result(self) -> Result<(), MonitorError> {
        match self {
            Self::Failed(error) => Err(error),
            Self::Reset => {
                log::info!("the guest has asked for a reset; the monitor ends");
                Ok(())
            }
            Self::PoweredOff | Self::Stopped | Self::Moved => Ok(()),
        }
    }
}
