//! A plan in force: the links that its rates make, and what it means for each connection.

use std::time::Duration;

use super::bucket::SharedBucket;
use super::chance::Chance;
use super::plan::{Direction, Effect, Plan, Rule, When};
use super::script::{Moment, Script, Strike};

/// A plan in force.
#[derive(Debug)]
pub(super) struct Policy {
    plan: Plan,
    /// For each rule that is a rate, one link for each direction, in the order of
    /// [`Direction::ALL`].
    links: Vec<Option<[SharedBucket; 2]>>,
}

impl Policy {
    /// Puts a plan in force, with all links idle.
    pub(super) fn new(plan: Plan) -> Self {
        let links = plan.rules.iter().map(|rule| match rule.effect {
            Effect::Rate { bits_per_s } => {
                Some(Direction::ALL.map(|_| SharedBucket::new(bits_per_s)))
            }
            _ => None,
        });
        Self {
            links: links.collect(),
            plan,
        }
    }

    /// How long new connections are refused once this one is cut by a rule.
    pub(super) fn refusal_after_cut(&self, connection: u64) -> Option<Duration> {
        let selects = |rule: &Rule| {
            Direction::ALL
                .iter()
                .any(|&way| rule.selects(connection, way))
        };
        let refusals = self.plan.rules.iter().filter_map(|rule| match rule.effect {
            Effect::RefuseAfterCut(lasting) if selects(rule) => Some(lasting),
            _ => None,
        });
        refusals.max()
    }

    /// What one direction of a connection that follows this plan from `now` on has to expect.
    pub(super) fn script(&self, connection: u64, direction: Direction, now: Duration) -> Script {
        let (way, number) = match direction {
            Direction::ToServer => (0, 0),
            Direction::ToClient => (1, 1),
        };
        let chance = Chance::new(self.plan.seed).with(connection).with(number);
        let mut script = Script::default();
        for ((rule, links), number) in self.plan.rules.iter().zip(&self.links).zip(0..) {
            if !rule.selects(connection, direction) {
                continue;
            }
            let chance = chance.with(number);
            match &rule.effect {
                Effect::Delay(delay) => script.delay = script.delay.saturating_add(*delay),
                Effect::Jitter(jitter) => script.jitters.push((chance, *jitter)),
                Effect::Rate { bits_per_s } => {
                    let links = links.as_ref().expect("each rate has its links");
                    script.add_link(links[way].clone(), *bits_per_s);
                }
                Effect::Stall { at, lasting } => {
                    script.add_stall(at.resolve(chance, now), *lasting)
                }
                Effect::Cut { at, how } => {
                    script
                        .strikes
                        .push((at.resolve(chance, now), Strike::Cut(*how)));
                }
                Effect::CutThese {
                    at,
                    how,
                    connections,
                } => script.strikes.push((
                    at.resolve(chance, now),
                    Strike::CutThese {
                        how: *how,
                        first: *connections.start(),
                        last: *connections.end(),
                    },
                )),
                Effect::HalfClose { at } => {
                    script
                        .strikes
                        .push((at.resolve(chance, now), Strike::HalfClose));
                }
                Effect::Flip { position } => script.flips.push((chance, *position)),
                Effect::FlipOneIn { bytes } => script.flip_odds.push((chance, bytes.get())),
                Effect::RefuseAfterCut(_) => {}
            }
        }
        script
    }
}

impl When {
    /// The moment that is meant, now that chance speaks.
    fn resolve(&self, chance: Chance, now: Duration) -> Moment {
        match self {
            Self::Byte(position) => Moment::Byte(*position),
            Self::SomeByte(range) => {
                let choices = range.end().saturating_sub(*range.start()).saturating_add(1);
                Moment::Byte(range.start() + chance.below(choices))
            }
            Self::After(time) => Moment::Time(now.saturating_add(*time)),
        }
    }
}
