//! The phases of a destination.

use serde::Serialize;

use crate::options::Mode;

/// What a destination is doing for one VM.
///
/// ```text
/// Accepted --state--> Restoring --restored--> Ready
///
/// rounds         Accepted --flush--> Flushing --flushed--> Accepted
///                Accepted --discard--> Accepted
/// post-copy      Ready --run--> Running --drained--> Draining --settled--> Completed
/// stop-and-copy  Ready --drained--> Filling --settled--> Filled --run--> Completed
///
/// recovered      Draining --recovered--> Running
///                Ready, Filled, Running, Completed --recovered--> as they were
///                Completed --drained--> Draining      (a source that missed the answer asks again)
/// ```
/// Pre-copy has rounds and then goes on as stop-and-copy, hybrid as post-copy, `auto` as either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DestinationPhase {
    /// The VM is built without state. In modes with rounds its memory is arriving.
    Accepted,
    /// A round is over; its last pages are arriving.
    Flushing,
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
    FlushReceived,
    /// Every page of the round is here.
    Flushed,
    /// Pages are out of date, and missing again.
    DiscardReceived,
    StateReceived,
    Restored,
    DrainedReceived,
    /// Every page is present or absent.
    Settled,
    RunReceived,
    /// The source came back after the connections were lost.
    Recovered,
}

impl DestinationPhase {
    /// The phase that follows, or `None` if the event is not due.
    pub(crate) fn after(self, event: DestinationEvent, mode: Mode) -> Option<Self> {
        use DestinationEvent as Event;
        match (self, event) {
            (Self::Accepted, Event::StateReceived) => Some(Self::Restoring),
            (Self::Restoring, Event::Restored) => Some(Self::Ready),
            (Self::Accepted, Event::FlushReceived) if mode.has_rounds() => Some(Self::Flushing),
            (Self::Flushing, Event::Flushed) => Some(Self::Accepted),
            (Self::Accepted, Event::DiscardReceived) if mode.has_rounds() => Some(Self::Accepted),
            (Self::Ready, Event::RunReceived) if mode.may_run_incomplete() => Some(Self::Running),
            (Self::Running, Event::DrainedReceived) => Some(Self::Draining),
            (Self::Draining, Event::Settled) => Some(Self::Completed),
            (Self::Ready, Event::DrainedReceived) if mode.may_fill_first() => Some(Self::Filling),
            (Self::Filling, Event::Settled) => Some(Self::Filled),
            (Self::Filled, Event::RunReceived) => Some(Self::Completed),
            (Self::Draining, Event::Recovered) => Some(Self::Running),
            (_, Event::Recovered) if self.may_recover(mode) => Some(self),
            (Self::Completed, Event::DrainedReceived) if mode.may_run_incomplete() => {
                Some(Self::Draining)
            }
            _ => None,
        }
    }

    /// Whether the guest is the destination's, to run or to freeze.
    pub fn owns_guest(self) -> bool {
        matches!(self, Self::Running | Self::Draining | Self::Completed)
    }

    /// Whether the token may have been sent, so that a source whose connections were lost may come
    /// back: before, it runs the guest on.
    pub(crate) fn may_recover(self, mode: Mode) -> bool {
        self.owns_guest()
            || match self {
                Self::Ready => mode.may_run_incomplete(),
                Self::Filled => true,
                _ => false,
            }
    }
}
