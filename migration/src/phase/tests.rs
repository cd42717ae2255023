//! The two tables together: every order of messages and failures, and never two owners.

mod world;

use std::collections::{HashMap, HashSet};

use super::*;
use crate::options::Mode;
use world::{Held, Message, World};

/// Every world that can be reached in one mode, and those that may follow each.
struct Exploration {
    mode: Mode,
    following: HashMap<World, Vec<World>>,
}

impl Exploration {
    fn of(mode: Mode) -> Self {
        let mut following = HashMap::new();
        let mut open = vec![World::new()];
        while let Some(world) = open.pop() {
            if following.contains_key(&world) {
                continue;
            }
            let next = world.next(mode);
            open.extend(next.iter().cloned());
            following.insert(world, next);
        }
        Self { mode, following }
    }

    fn worlds(&self) -> impl Iterator<Item = &World> {
        self.following.keys()
    }

    fn transitions(&self) -> usize {
        self.following.values().map(Vec::len).sum()
    }

    /// The worlds from which one leads to completion.
    fn completing(&self) -> HashSet<&World> {
        let mut before: HashMap<&World, Vec<&World>> = HashMap::new();
        for (world, following) in &self.following {
            for next in following {
                before.entry(next).or_default().push(world);
            }
        }
        let mut open: Vec<_> = self.worlds().filter(|world| world.is_complete()).collect();
        let mut completing: HashSet<_> = open.iter().copied().collect();
        while let Some(world) = open.pop() {
            for &earlier in before.get(world).into_iter().flatten() {
                if completing.insert(earlier) {
                    open.push(earlier);
                }
            }
        }
        completing
    }
}

#[test]
fn guest_has_at_most_one_owner_in_every_order_of_messages_and_failures() {
    for mode in Mode::ALL {
        let exploration = Exploration::of(mode);
        println!(
            "{mode}: {} states, {} transitions",
            exploration.following.len(),
            exploration.transitions()
        );
        for world in exploration.worlds() {
            assert!(
                !(world.source_owns() && world.ran_at_destination),
                "{world:?}"
            );
        }
        assert!(exploration.worlds().any(World::is_complete));
    }
}

#[test]
fn source_that_fails_before_the_token_always_runs_the_guest() {
    for mode in Mode::ALL {
        for world in Exploration::of(mode).worlds() {
            if world.source.is_none() && !world.token_sent {
                assert!(world.resumed_at_source, "{world:?}");
            }
        }
    }
}

#[test]
fn source_that_has_sent_the_token_runs_the_guest_only_where_the_destination_gave_it_up() {
    for mode in Mode::ALL {
        let exploration = Exploration::of(mode);
        for world in exploration.worlds() {
            if world.token_sent && world.source_owns() {
                assert!(
                    world.abandoned && world.destination.is_none(),
                    "{mode}: {world:?}"
                );
            }
        }
        assert!(
            exploration
                .worlds()
                .any(|world| world.token_sent && world.source_owns()),
            "{mode}"
        );
    }
}

#[test]
fn guest_never_runs_at_the_destination_on_contents_that_it_has_overwritten() {
    for mode in Mode::ALL {
        for world in Exploration::of(mode).worlds() {
            if world.ran_at_destination {
                assert_ne!(world.held, Held::Stale, "{mode}: {world:?}");
            }
        }
    }
}

#[test]
fn completion_at_either_end_implies_that_the_destination_has_every_page() {
    for mode in Mode::ALL {
        for world in Exploration::of(mode).worlds() {
            let completed = Some(DestinationPhase::Completed);
            if world.is_complete() || world.destination == completed {
                assert_eq!(world.held, Held::Last, "{mode}: {world:?}");
            }
            if world.is_complete() {
                assert!(
                    world.destination.is_none() || world.destination == completed,
                    "{mode}: {world:?}"
                );
            }
        }
    }
}

#[test]
fn lost_connections_alone_never_keep_a_handed_over_guest_from_its_memory() {
    for mode in Mode::ALL {
        let exploration = Exploration::of(mode);
        let completing = exploration.completing();
        let mut recoveries = 0;
        for world in exploration.worlds() {
            let both_live = world.source.is_some_and(|phase| !phase.owns_guest())
                && world
                    .destination
                    .is_some_and(|phase| phase.may_recover(mode))
                && !world.is_complete();
            if both_live {
                recoveries += u32::from(!world.is_connected);
                assert!(
                    completing.contains(world),
                    "{}: {world:?}",
                    exploration.mode
                );
            }
        }
        assert!(recoveries > 0, "{mode}");
    }
}

#[test]
fn token_that_is_asked_for_again_was_never_acted_upon() {
    for mode in Mode::ALL {
        for world in Exploration::of(mode).worlds() {
            let asked = Message::Standing { has_token: false };
            if world.to_source.contains(&asked) {
                assert!(!world.ran_at_destination, "{mode}: {world:?}");
            }
        }
    }
}
