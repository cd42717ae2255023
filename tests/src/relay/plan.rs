//! What a bad network is to do: rules, each for some connections and one or both directions.

use std::num::NonZeroU64;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The way bytes go through the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From the client, which connected to the relay, to the server.
    ToServer,
    /// From the server, to which the relay connected, to the client.
    ToClient,
}

impl Direction {
    /// Both, in the order of declaration.
    pub const ALL: [Self; 2] = [Self::ToServer, Self::ToClient];
}

/// How a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cut {
    /// Both ends get a RST; what they have not read from their own kernel yet they still can read.
    Reset,
    /// Both ends get a FIN after the bytes forwarded so far, as if each peer had closed.
    Fin,
}

/// When a rule strikes. Times count from when the connection began to follow the plan.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum When {
    /// After that many bytes of the direction.
    Byte(u64),
    /// After a number of bytes that the seed chooses in this range, anew for each connection.
    SomeByte(RangeInclusive<u64>),
    /// After a time.
    After(Duration),
}

/// What a rule does to the connections and directions that it selects.
///
/// Effects add up: bytes pass all rates in order of the rules, then all delays, then all stalls. The
/// order of bytes is always kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Each byte, and the end of the stream, arrives that much later.
    Delay(Duration),
    /// Each block of [`JITTER_BLOCK_BYTES`] arrives later by up to that much, as the seed says.
    Jitter(Duration),
    /// A link of that many bits per second, shared by all connections that the rule selects, one
    /// for each direction. Of each connection 32 KiB at most wait in front of it.
    ///
    /// It is never faster, and slower only if the relay or the peers get too little processor time:
    /// little is buffered that would bridge the gaps.
    Rate {
        /// Bits of the byte stream; there are no headers on this link.
        bits_per_s: NonZeroU64,
    },
    /// Nothing is forwarded for a time; senders notice by back-pressure.
    Stall {
        /// Its beginning. The byte after this many is held, with all those behind it.
        at: When,
        /// How long; [`Duration::MAX`] is for ever.
        lasting: Duration,
    },
    /// The connection ends in both directions; bytes on their way are lost.
    Cut {
        /// When.
        at: When,
        /// In which way.
        how: Cut,
    },
    /// Those connections end, as far as they are there: with one that loses its network go others,
    /// and some are lost while the one that is counted on is not.
    CutThese {
        /// When, in terms of the connection that the rule selects, which need not be one of them.
        at: When,
        /// In which way.
        how: Cut,
        /// Their numbers.
        connections: RangeInclusive<u64>,
    },
    /// The receiver gets a FIN; the sender is not told, and what it sends from then on is lost.
    HalfClose {
        /// When.
        at: When,
    },
    /// One bit, chosen by the seed, of the byte after this many is inverted.
    Flip {
        /// How many bytes come before.
        position: u64,
    },
    /// One bit is inverted in one of that many bytes on average, as the seed says.
    FlipOneIn {
        /// The inverse of the probability.
        bytes: NonZeroU64,
    },
    /// Once a selected connection is cut by a rule, new connections (all of them: nobody knows
    /// which one comes next) are refused for that long.
    RefuseAfterCut(Duration),
}

/// The unit of [`Effect::Jitter`], counted from the beginning of the stream.
///
/// Our choice: the largest TCP segment is 64 KiB, a usual one 1.4 KiB.
pub const JITTER_BLOCK_BYTES: u64 = 16 << 10;

/// One effect and what it applies to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rule {
    pub(super) effect: Effect,
    pub(super) first_connection: u64,
    pub(super) last_connection: u64,
    pub(super) direction: Option<Direction>,
}

impl Rule {
    /// The effect, on all connections and in both directions.
    ///
    /// A cut in both directions strikes in each of them: the first one wins.
    #[must_use]
    pub const fn new(effect: Effect) -> Self {
        Self {
            effect,
            first_connection: 0,
            last_connection: u64::MAX,
            direction: None,
        }
    }

    /// The same on one connection; the first one that the relay accepts is number 0.
    #[must_use]
    pub fn connection(self, index: u64) -> Self {
        self.connections(index..=index)
    }

    /// The same on some connections.
    #[must_use]
    pub fn connections(self, indices: RangeInclusive<u64>) -> Self {
        Self {
            first_connection: *indices.start(),
            last_connection: *indices.end(),
            ..self
        }
    }

    /// The same in one direction.
    #[must_use]
    pub fn direction(self, direction: Direction) -> Self {
        Self {
            direction: Some(direction),
            ..self
        }
    }

    /// Whether it applies to a direction of a connection.
    pub(super) fn selects(&self, connection: u64, direction: Direction) -> bool {
        (self.first_connection..=self.last_connection).contains(&connection)
            && self.direction.is_none_or(|only| only == direction)
    }
}

impl From<Effect> for Rule {
    fn from(effect: Effect) -> Self {
        Self::new(effect)
    }
}

/// A seed and rules. The default is a network without faults.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Plan {
    pub(super) seed: u64,
    pub(super) rules: Vec<Rule>,
}

impl Plan {
    /// No rules yet; the seed decides whatever they leave open.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            seed,
            rules: Vec::new(),
        }
    }

    /// The same with one more rule.
    #[must_use]
    pub fn rule(mut self, rule: impl Into<Rule>) -> Self {
        self.rules.push(rule.into());
        self
    }
}
