//! The two tables together: every order of messages and failures, and never two owners.

use std::collections::{HashSet, VecDeque};

use super::*;
use crate::options::Mode;

/// What is on its way from one end to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Message {
    Accept,
    State,
    Ready,
    Run,
    Running,
    Drained,
    Complete,
    Flush,
    Flushed,
}

/// What a destination holds of a page, once what is on its way has arrived. One page stands for all:
/// each takes its own way, and both ends wait for the last of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Held {
    Nothing,
    /// A version that the guest has overwritten.
    Stale,
    Last,
}

/// Both ends and what is between them. `None` is an end that has failed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    source: Option<SourcePhase>,
    destination: Option<DestinationPhase>,
    to_destination: VecDeque<Message>,
    to_source: VecDeque<Message>,
    held: Held,
    /// Whether the guest was resumed at the source after a failure.
    resumed_at_source: bool,
    /// Whether the guest was ever run at the destination.
    ran_at_destination: bool,
}

impl World {
    fn new() -> Self {
        Self {
            source: Some(SourcePhase::Negotiating),
            destination: Some(DestinationPhase::Accepted),
            to_destination: VecDeque::new(),
            to_source: VecDeque::from([Message::Accept]),
            held: Held::Nothing,
            resumed_at_source: false,
            ran_at_destination: false,
        }
    }

    /// The worlds that may follow.
    fn next(&self, mode: Mode) -> Vec<Self> {
        let mut worlds = Vec::new();
        if let Some(phase) = self.source {
            worlds.push(Self {
                source: None,
                resumed_at_source: phase.owns_guest(),
                ..self.clone()
            });
            worlds.extend(self.source_acts(phase, mode));
            worlds.extend(self.page_changes(phase, mode));
            worlds.extend(self.source_receives(phase, mode));
        }
        if let Some(phase) = self.destination {
            worlds.push(Self {
                destination: None,
                ..self.clone()
            });
            worlds.extend(self.destination_settles(phase, mode));
            worlds.extend(self.destination_receives(phase, mode));
        }
        worlds
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
        // What `Rounds::finish` and `Sending::wait_done` see to.
        let may = |event| match event {
            SourceEvent::StateSent => self.held != Held::Stale,
            SourceEvent::DrainedSent => self.held == Held::Last,
            _ => true,
        };
        acts.into_iter()
            .filter(|&(event, _)| may(event))
            .filter_map(|(event, message)| {
                let source = Some(phase.after(event, mode)?);
                let mut world = Self {
                    source,
                    ..self.clone()
                };
                world.to_destination.extend(message);
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
            (Phase::Pushing, Held::Nothing) => &[Held::Last],
            _ => &[],
        };
        let world = |&held| Self {
            held,
            ..self.clone()
        };
        held.iter().map(world).collect()
    }

    fn source_receives(&self, phase: SourcePhase, mode: Mode) -> Option<Self> {
        let mut world = self.clone();
        let event = match world.to_source.pop_front()? {
            Message::Accept => SourceEvent::Accepted,
            Message::Flushed => SourceEvent::FlushedReceived,
            Message::Ready => SourceEvent::ReadyReceived,
            Message::Running => SourceEvent::RunningReceived,
            Message::Complete => SourceEvent::CompleteReceived,
            message => panic!("{message:?} goes the other way"),
        };
        world.source = Some(phase.after(event, mode)?);
        Some(world)
    }

    /// All pages have arrived, which happens at any time after the source drained.
    fn destination_settles(&self, phase: DestinationPhase, mode: Mode) -> Option<Self> {
        if self.held != Held::Last {
            return None;
        }
        let mut world = self.clone();
        world.destination = Some(phase.after(DestinationEvent::Settled, mode)?);
        world.to_source.push_back(Message::Complete);
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

    fn source_owns(&self) -> bool {
        self.resumed_at_source || self.source.is_some_and(SourcePhase::owns_guest)
    }

    fn is_complete(&self) -> bool {
        self.source == Some(SourcePhase::Completed)
    }
}

/// Every world that can be reached.
fn explore(mode: Mode) -> HashSet<World> {
    let mut seen = HashSet::from([World::new()]);
    let mut open = vec![World::new()];
    while let Some(world) = open.pop() {
        for next in world.next(mode) {
            if seen.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    seen
}

#[test]
fn guest_has_at_most_one_owner_in_every_order_of_messages_and_failures() {
    for mode in Mode::ALL {
        let worlds = explore(mode);
        println!("{mode}: {} states", worlds.len());
        for world in &worlds {
            assert!(
                !(world.source_owns() && world.ran_at_destination),
                "{world:?}"
            );
        }
        assert!(worlds.iter().any(World::is_complete));
    }
}

#[test]
fn source_that_fails_before_the_token_always_runs_the_guest() {
    for mode in Mode::ALL {
        for world in explore(mode) {
            let sent = world.ran_at_destination || world.to_destination.contains(&Message::Run);
            if world.source.is_none() && world.destination.is_some() && !sent {
                assert!(world.resumed_at_source, "{world:?}");
            }
        }
    }
}

#[test]
fn guest_never_runs_at_the_destination_on_contents_that_it_has_overwritten() {
    for mode in Mode::ALL {
        for world in explore(mode) {
            if world.ran_at_destination {
                assert_ne!(world.held, Held::Stale, "{mode}: {world:?}");
            }
            if world.is_complete() {
                assert_eq!(world.held, Held::Last, "{mode}: {world:?}");
            }
        }
    }
}

#[test]
fn completion_at_the_source_implies_a_complete_destination() {
    for mode in Mode::ALL {
        for world in explore(mode).iter().filter(|world| world.is_complete()) {
            let destination = world.destination;
            assert!(
                matches!(destination, None | Some(DestinationPhase::Completed)),
                "{world:?}"
            );
        }
    }
}
