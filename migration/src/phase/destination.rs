//! The phases of a destination.

use serde::Serialize;

use crate::options::Mode;

/// What a destination is doing for one VM.
///
/// ```text
/// Accepted --state--> Restoring --restored--> Ready
///
/// post-copy      Ready --run--> Running --drained--> Draining --settled--> Completed
/// stop-and-copy  Ready --drained--> Filling --settled--> Filled --run--> Completed
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DestinationPhase {
    /// The VM is built without state or memory.
    Accepted,
    /// Its state has arrived and is being restored.
    Restoring,
    /// It could run. In stop-and-copy its memory is arriving.
    Ready,
    /// Stop-and-copy: all memory was sent.
    Filling,
    /// Stop-and-copy: all memory is here.
    Filled,
    /// Post-copy: the guest runs, and its memory is arriving.
    Running,
    /// Post-copy: all memory was sent.
    Draining,
    /// The guest runs, and all memory is here.
    Completed,
}

/// What takes a destination from one phase to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DestinationEvent {
    StateReceived,
    Restored,
    DrainedReceived,
    /// Every page is present or absent.
    Settled,
    RunReceived,
}

impl DestinationPhase {
    /// The phase that follows, or `None` if the event is not due.
    pub(crate) fn after(self, event: DestinationEvent, mode: Mode) -> Option<Self> {
        use DestinationEvent as Event;
        match (self, event, mode) {
            (Self::Accepted, Event::StateReceived, _) => Some(Self::Restoring),
            (Self::Restoring, Event::Restored, _) => Some(Self::Ready),

            (Self::Ready, Event::RunReceived, Mode::PostCopy) => Some(Self::Running),
            (Self::Running, Event::DrainedReceived, Mode::PostCopy) => Some(Self::Draining),
            (Self::Draining, Event::Settled, Mode::PostCopy) => Some(Self::Completed),

            (Self::Ready, Event::DrainedReceived, Mode::StopAndCopy) => Some(Self::Filling),
            (Self::Filling, Event::Settled, Mode::StopAndCopy) => Some(Self::Filled),
            (Self::Filled, Event::RunReceived, Mode::StopAndCopy) => Some(Self::Completed),
            _ => None,
        }
    }

    /// Whether the guest is the destination's, to run or to freeze.
    pub fn owns_guest(self) -> bool {
        matches!(self, Self::Running | Self::Draining | Self::Completed)
    }
}
