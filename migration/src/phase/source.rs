//! The phases of a source.

use serde::Serialize;

use crate::options::Mode;

/// What a source is doing.
///
/// ```text
/// Negotiating --accepted--> Accepted --paused--> Paused --state sent--> Restoring --ready--> Ready
///
/// post-copy      Ready --run sent--> HandedOver --running--> Pushing --drained--> Draining
///                Draining --complete--> Completed
/// stop-and-copy  Ready --drained--> Filling --complete--> Filled --run sent--> HandedOver
///                HandedOver --running--> Completed
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourcePhase {
    /// Connecting, and waiting for the destination's verdict.
    Negotiating,
    /// The destination takes the VM, which still runs.
    Accepted,
    /// The guest stands still; its state is being saved.
    Paused,
    /// The destination is restoring the state.
    Restoring,
    /// The destination could run the guest. In stop-and-copy its memory is on its way.
    Ready,
    /// Stop-and-copy: all memory was sent.
    Filling,
    /// Stop-and-copy: all memory has arrived.
    Filled,
    /// The token is on its way: the guest may run at the destination, and nowhere else.
    HandedOver,
    /// Post-copy: the guest runs at the destination, and its memory is on its way.
    Pushing,
    /// Post-copy: all memory was sent.
    Draining,
    /// The destination has everything.
    Completed,
}

/// What takes a source from one phase to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourceEvent {
    Accepted,
    Paused,
    StateSent,
    ReadyReceived,
    DrainedSent,
    CompleteReceived,
    RunSent,
    RunningReceived,
}

impl SourcePhase {
    /// The phase that follows, or `None` if the event is not due.
    pub(crate) fn after(self, event: SourceEvent, mode: Mode) -> Option<Self> {
        use SourceEvent as Event;
        match (self, event, mode) {
            (Self::Negotiating, Event::Accepted, _) => Some(Self::Accepted),
            (Self::Accepted, Event::Paused, _) => Some(Self::Paused),
            (Self::Paused, Event::StateSent, _) => Some(Self::Restoring),
            (Self::Restoring, Event::ReadyReceived, _) => Some(Self::Ready),

            (Self::Ready, Event::RunSent, Mode::PostCopy) => Some(Self::HandedOver),
            (Self::HandedOver, Event::RunningReceived, Mode::PostCopy) => Some(Self::Pushing),
            (Self::Pushing, Event::DrainedSent, Mode::PostCopy) => Some(Self::Draining),
            (Self::Draining, Event::CompleteReceived, Mode::PostCopy) => Some(Self::Completed),

            (Self::Ready, Event::DrainedSent, Mode::StopAndCopy) => Some(Self::Filling),
            (Self::Filling, Event::CompleteReceived, Mode::StopAndCopy) => Some(Self::Filled),
            (Self::Filled, Event::RunSent, Mode::StopAndCopy) => Some(Self::HandedOver),
            (Self::HandedOver, Event::RunningReceived, Mode::StopAndCopy) => Some(Self::Completed),
            _ => None,
        }
    }

    /// Whether the guest is the source's, to run or to resume. Once it is not, it never is again.
    pub fn owns_guest(self) -> bool {
        match self {
            Self::Negotiating
            | Self::Accepted
            | Self::Paused
            | Self::Restoring
            | Self::Ready
            | Self::Filling
            | Self::Filled => true,
            Self::HandedOver | Self::Pushing | Self::Draining | Self::Completed => false,
        }
    }
}
