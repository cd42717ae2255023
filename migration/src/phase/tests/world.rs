//! Both ends of a migration and what is between them, in every state that may come about.

use std::collections::VecDeque;

use crate::options::Mode;
use crate::phase::{DestinationEvent, DestinationPhase, SourceEvent, SourcePhase};

/// What is on its way from one end to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Message {
    Accept,
    State,
    Ready,
    Run,
    Running,
    Drained,
    Complete,
    Flush,
    Flushed,
    Standing { has_token: bool },
    Abandoned,
}

/// Where the last version of a page is. One page stands for all: each takes its own way, and both
/// ends wait for the last of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Held {
    /// At the source alone.
    Nothing,
    /// The destination has a version that the guest has overwritten.
    Stale,
    /// On its way, and lost if the connections are.
    InFlight,
    /// At the destination.
    Last,
}

/// `None` is an end that has failed, been killed, or given up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) source: Option<SourcePhase>,
    pub(super) destination: Option<DestinationPhase>,
    /// Whether the destination lives on, and remembers that it gave the VM up before the token.
    pub(super) abandoned: bool,
    /// Whether the connections of this lap work.
    pub(super) is_connected: bool,
    to_destination: VecDeque<Message>,
    pub(super) to_source: VecDeque<Message>,
    pub(super) held: Held,
    /// Whether the page is one that the source need not send any more.
    is_sent: bool,
    pub(super) token_sent: bool,
    /// Whether the guest was resumed at the source after a failure.
    pub(super) resumed_at_source: bool,
    /// Whether the guest was ever run at the destination.
    pub(super) ran_at_destination: bool,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            source: Some(SourcePhase::Negotiating),
            destination: Some(DestinationPhase::Accepted),
            abandoned: false,
            is_connected: true,
            to_destination: VecDeque::new(),
            to_source: VecDeque::from([Message::Accept]),
            held: Held::Nothing,
            is_sent: false,
            token_sent: false,
            resumed_at_source: false,
            ran_at_destination: false,
        }
    }

    /// The worlds that may follow.
    pub(super) fn next(&self, mode: Mode) -> Vec<Self> {
        let mut worlds = Vec::new();
        if let Some(phase) = self.source {
            worlds.push(self.source_fails(phase));
            worlds.extend(self.source_acts(phase, mode));
            worlds.extend(self.page_changes(phase, mode));
            worlds.extend(self.source_receives(phase, mode));
            worlds.extend(self.source_notices_loss(phase, mode));
            worlds.extend(self.source_comes_back(phase, mode));
        }
        if let Some(phase) = self.destination {
            worlds.extend(self.destination_ends(phase));
            worlds.extend(self.destination_settles(phase, mode));
            worlds.extend(self.destination_receives(phase, mode));
        }
        worlds.extend(self.page_arrives());
        worlds.extend(self.connections_break());
        worlds
    }

    pub(super) fn source_owns(&self) -> bool {
        self.resumed_at_source || self.source.is_some_and(SourcePhase::owns_guest)
    }

    pub(super) fn is_complete(&self) -> bool {
        self.source == Some(SourcePhase::Completed)
    }

    /// For whatever reason; it runs the guest on if that is its own.
    fn source_fails(&self, phase: SourcePhase) -> Self {
        Self {
            source: None,
            resumed_at_source: phase.owns_guest(),
            ..self.clone()
        }
    }

    /// What the source does of itself, whenever its table has it.
    fn source_acts(&self, phase: SourcePhase, mode: Mode) -> Vec<Self> {
        let acts = [
            (SourceEvent::FlushSent, Some(Message::Flush)),
            (SourceEvent::Paused, None),
            (SourceEvent::StateSent, Some(Message::State)),
            (SourceEvent::RunSent, Some(Message::Run)),
            (SourceEvent::DrainedSent, Some(Message::Drained)),
        ];
        // What `Rounds::finish`, `Sending::wait_done` and `Recovery` see to.
        let may = |event| match event {
            SourceEvent::StateSent => self.held != Held::Stale,
            SourceEvent::DrainedSent => self.is_sent,
            SourceEvent::RunSent => !is_recovering(phase),
            _ => true,
        };
        acts.into_iter()
            .filter(|&(event, _)| may(event))
            .filter_map(|(event, message)| {
                let mut world = self.clone();
                world.source = Some(phase.after(event, mode)?);
                world.token_sent |= event == SourceEvent::RunSent;
                if self.is_connected {
                    world.to_destination.extend(message);
                }
                Some(world)
            })
            .collect()
    }

    /// The guest writes the page, or the source sends it or has it discarded.
    fn page_changes(&self, phase: SourcePhase, mode: Mode) -> Vec<Self> {
        use SourcePhase as Phase;
        let held = match (phase, self.held) {
            (Phase::Accepted | Phase::Copying, Held::Last) => &[Held::Stale][..],
            (Phase::Accepted, _) if mode.has_rounds() => &[Held::Last],
            (Phase::Paused, Held::Stale) if mode.has_rounds() => &[Held::Last, Held::Nothing],
            (Phase::Paused, Held::Nothing) if mode.has_rounds() => &[Held::Last],
            (Phase::Ready, Held::Nothing) if mode.may_fill_first() => &[Held::Last],
            (Phase::Pushing, Held::Nothing) if self.is_connected => &[Held::InFlight],
            // Into a connection that is broken, which nobody has noticed.
            (Phase::Pushing, Held::Nothing) => &[Held::Nothing],
            _ => &[],
        };
        let world = |&held| Self {
            held,
            is_sent: matches!(held, Held::Last | Held::InFlight) || phase == Phase::Pushing,
            ..self.clone()
        };
        held.iter().map(world).collect()
    }

    fn source_receives(&self, phase: SourcePhase, mode: Mode) -> Option<Self> {
        let mut world = self.clone();
        let message = world.to_source.pop_front()?;
        let event = match message {
            Message::Accept => SourceEvent::Accepted,
            Message::Flushed => SourceEvent::FlushedReceived,
            Message::Ready => SourceEvent::ReadyReceived,
            Message::Running | Message::Standing { has_token: true } => {
                SourceEvent::RunningReceived
            }
            Message::Standing { has_token: false } => SourceEvent::RunSent,
            Message::Abandoned => SourceEvent::AbandonedReceived,
            Message::Complete => SourceEvent::CompleteReceived,
            message => panic!("{message:?} goes the other way"),
        };
        world.source = Some(phase.after(event, mode)?);
        if event == SourceEvent::RunSent {
            world.to_destination.push_back(Message::Run);
        }
        Some(world)
    }

    /// By an error, or because nothing comes any more.
    fn source_notices_loss(&self, phase: SourcePhase, mode: Mode) -> Option<Self> {
        if self.is_connected {
            return None;
        }
        if phase.owns_guest() {
            return Some(self.source_fails(phase));
        }
        // A source that waits for the answer of a call notices as well, and calls again.
        let source = phase.after(SourceEvent::Lost, mode)?;
        Some(Self {
            source: Some(source),
            ..self.clone()
        })
    }

    /// A source whose connections are lost calls, and is answered at once or not at all.
    fn source_comes_back(&self, phase: SourcePhase, mode: Mode) -> Option<Self> {
        if !is_recovering(phase) || self.is_connected {
            return None;
        }
        let mut world = self.clone();
        match self.destination {
            Some(phase) => {
                let phase = phase.after(DestinationEvent::Recovered, mode)?;
                let has_token = phase.owns_guest();
                world.destination = Some(phase);
                world.to_source.push_back(Message::Standing { has_token });
                world.is_sent = self.held == Held::Last;
            }
            None if self.abandoned => world.to_source.push_back(Message::Abandoned),
            None => return None,
        }
        world.is_connected = true;
        Some(world)
    }

    /// It fails, is killed, gives up a source that does not come back, or takes in another VM
    /// instead. What it remembers is that the token had not arrived.
    fn destination_ends(&self, phase: DestinationPhase) -> Vec<Self> {
        let ends = |abandoned| Self {
            destination: None,
            abandoned,
            is_connected: false,
            to_destination: VecDeque::new(),
            ..self.clone()
        };
        if phase.owns_guest() {
            vec![ends(false)]
        } else {
            vec![ends(false), ends(true)]
        }
    }

    /// All pages have arrived, which happens at any time after the source drained.
    fn destination_settles(&self, phase: DestinationPhase, mode: Mode) -> Option<Self> {
        if self.held != Held::Last {
            return None;
        }
        let mut world = self.clone();
        world.destination = Some(phase.after(DestinationEvent::Settled, mode)?);
        if self.is_connected {
            world.to_source.push_back(Message::Complete);
        }
        Some(world)
    }

    fn destination_receives(&self, phase: DestinationPhase, mode: Mode) -> Option<Self> {
        let mut world = self.clone();
        let (events, answer) = match world.to_destination.pop_front()? {
            Message::Flush => (
                &[DestinationEvent::FlushReceived, DestinationEvent::Flushed][..],
                Some(Message::Flushed),
            ),
            Message::State => (
                &[DestinationEvent::StateReceived, DestinationEvent::Restored][..],
                Some(Message::Ready),
            ),
            Message::Run => (&[DestinationEvent::RunReceived][..], Some(Message::Running)),
            Message::Drained => (&[DestinationEvent::DrainedReceived][..], None),
            message => panic!("{message:?} goes the other way"),
        };
        let after = |phase: DestinationPhase, &event| phase.after(event, mode);
        world.destination = Some(events.iter().try_fold(phase, after)?);
        world.to_source.extend(answer);
        world.ran_at_destination |= world.destination.is_some_and(DestinationPhase::owns_guest);
        Some(world)
    }

    fn page_arrives(&self) -> Option<Self> {
        (self.held == Held::InFlight).then(|| Self {
            held: Held::Last,
            ..self.clone()
        })
    }

    /// What is on its way is lost with them; either end may notice at any time from now on.
    fn connections_break(&self) -> Option<Self> {
        self.is_connected.then(|| Self {
            is_connected: false,
            to_destination: VecDeque::new(),
            to_source: VecDeque::new(),
            held: match self.held {
                Held::InFlight => Held::Nothing,
                held => held,
            },
            ..self.clone()
        })
    }
}

fn is_recovering(phase: SourcePhase) -> bool {
    matches!(
        phase,
        SourcePhase::Recovering | SourcePhase::RecoveringWhole
    )
}
