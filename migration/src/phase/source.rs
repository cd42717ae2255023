//! The phases of a source.

use serde::Serialize;

use crate::options::Mode;

/// What a source is doing.
///
/// ```text
/// Negotiating --accepted--> Accepted --paused--> Paused --state sent--> Restoring --ready--> Ready
///
/// rounds         Accepted --flush sent--> Copying --flushed--> Accepted
///                Paused --flush sent--> CopyingLast --flushed--> Paused
///
/// post-copy      Ready --run sent--> HandedOver --running--> Pushing --drained--> Draining
///                Draining --complete--> Completed
/// stop-and-copy  Ready --drained--> Filling --complete--> Filled --run sent--> HandedOverWhole
///                HandedOverWhole --running--> Completed
///
/// lost           HandedOver, Pushing, Draining --lost--> Recovering --guest runs--> Pushing
///                HandedOverWhole --lost--> RecoveringWhole --guest runs--> Completed
///                Recovering --run sent--> HandedOver, RecoveringWhole --run sent--> HandedOverWhole
///                Recovering, RecoveringWhole --abandoned--> Returned
/// ```
/// Pre-copy has rounds and then goes on as stop-and-copy, hybrid as post-copy, `auto` as either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourcePhase {
    /// Connecting, and waiting for the destination's verdict.
    Negotiating,
    /// The destination takes the VM, which still runs. In modes with rounds its pages are on
    /// their way.
    Accepted,
    /// The guest runs, and waits for its pages to arrive at the destination; the end of a round.
    Copying,
    /// The guest stands still; its state is being saved.
    Paused,
    /// The guest stands still while the last of its pages arrive.
    CopyingLast,
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
    /// Stop-and-copy: the token is on its way to where all memory is.
    HandedOverWhole,
    /// Post-copy: the guest runs at the destination, and its memory is on its way.
    Pushing,
    /// Post-copy: all memory was sent.
    Draining,
    /// The connections were lost after the token was sent; the destination is being looked for.
    Recovering,
    /// Stop-and-copy: the same.
    RecoveringWhole,
    /// The destination says that the token never arrived, and that it has given the VM up.
    Returned,
    /// The destination has everything.
    Completed,
}

/// What takes a source from one phase to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourceEvent {
    Accepted,
    FlushSent,
    FlushedReceived,
    Paused,
    StateSent,
    ReadyReceived,
    DrainedSent,
    CompleteReceived,
    /// The token, the first time or again because it never arrived.
    RunSent,
    /// The guest runs there, as `Running` or a later `Standing` says.
    RunningReceived,
    /// A connection was lost.
    Lost,
    /// The destination has given the VM up before the token arrived.
    AbandonedReceived,
}

impl SourcePhase {
    /// The phase that follows, or `None` if the event is not due.
    pub(crate) fn after(self, event: SourceEvent, mode: Mode) -> Option<Self> {
        use SourceEvent as Event;
        match (self, event) {
            (Self::Negotiating, Event::Accepted) => Some(Self::Accepted),
            (Self::Accepted, Event::Paused) => Some(Self::Paused),
            (Self::Paused, Event::StateSent) => Some(Self::Restoring),
            (Self::Restoring, Event::ReadyReceived) => Some(Self::Ready),
            (Self::Accepted, Event::FlushSent) if mode.has_rounds() => Some(Self::Copying),
            (Self::Copying, Event::FlushedReceived) => Some(Self::Accepted),
            (Self::Paused, Event::FlushSent) if mode.has_rounds() => Some(Self::CopyingLast),
            (Self::CopyingLast, Event::FlushedReceived) => Some(Self::Paused),
            (Self::Ready, Event::RunSent) if mode.may_run_incomplete() => Some(Self::HandedOver),
            (Self::HandedOver, Event::RunningReceived) => Some(Self::Pushing),
            (Self::Pushing, Event::DrainedSent) => Some(Self::Draining),
            (Self::Draining, Event::CompleteReceived) => Some(Self::Completed),
            (Self::Ready, Event::DrainedSent) if mode.may_fill_first() => Some(Self::Filling),
            (Self::Filling, Event::CompleteReceived) => Some(Self::Filled),
            (Self::Filled, Event::RunSent) => Some(Self::HandedOverWhole),
            (Self::HandedOverWhole, Event::RunningReceived) => Some(Self::Completed),
            (Self::HandedOver | Self::Pushing | Self::Draining, Event::Lost) => {
                Some(Self::Recovering)
            }
            (Self::HandedOverWhole, Event::Lost) => Some(Self::RecoveringWhole),
            (Self::Recovering, Event::RunningReceived) => Some(Self::Pushing),
            (Self::RecoveringWhole, Event::RunningReceived) => Some(Self::Completed),
            (Self::Recovering, Event::RunSent) => Some(Self::HandedOver),
            (Self::RecoveringWhole, Event::RunSent) => Some(Self::HandedOverWhole),
            (Self::Recovering | Self::RecoveringWhole, Event::AbandonedReceived) => {
                Some(Self::Returned)
            }
            _ => None,
        }
    }

    /// Whether the guest is the source's, to run or to resume. Once it is not, it is again only if
    /// the destination says that it never had it and never will.
    pub fn owns_guest(self) -> bool {
        match self {
            Self::Negotiating
            | Self::Accepted
            | Self::Copying
            | Self::Paused
            | Self::CopyingLast
            | Self::Restoring
            | Self::Ready
            | Self::Filling
            | Self::Filled
            | Self::Returned => true,
            Self::HandedOver
            | Self::HandedOverWhole
            | Self::Pushing
            | Self::Draining
            | Self::Recovering
            | Self::RecoveringWhole
            | Self::Completed => false,
        }
    }
}
