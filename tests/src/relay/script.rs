//! What one direction of one connection has to expect: all questions of chance are answered.

use std::num::NonZeroU64;
use std::time::Duration;

use super::bucket::SharedBucket;
use super::chance::Chance;
use super::plan::{Cut, JITTER_BLOCK_BYTES};

/// What a rule does to the stream as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strike {
    /// The sink gets a FIN, the source is not told.
    HalfClose,
    /// Both directions end.
    Cut(Cut),
    /// Connections of those numbers end.
    CutThese { how: Cut, first: u64, last: u64 },
}

/// When something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// After that many bytes.
    Byte(u64),
    /// At a time since the relay started.
    Time(Duration),
}

/// The rules that select one direction of one connection, as functions of position and time.
#[derive(Debug, Default)]
pub(super) struct Script {
    pub(super) delay: Duration,
    pub(super) jitters: Vec<(Chance, Duration)>,
    pub(super) strikes: Vec<(Moment, Strike)>,
    pub(super) flips: Vec<(Chance, u64)>,
    pub(super) flip_odds: Vec<(Chance, u64)>,
    links: Vec<SharedBucket>,
    slowest_bits_per_s: Option<NonZeroU64>,
    byte_stalls: Vec<(u64, Duration)>,
    /// In ascending order.
    time_stalls: Vec<(Duration, Duration)>,
}

impl Script {
    /// Puts one more link into the way of the bytes.
    pub(super) fn add_link(&mut self, link: SharedBucket, bits_per_s: NonZeroU64) {
        self.links.push(link);
        let slowest = self
            .slowest_bits_per_s
            .map_or(bits_per_s, |other| other.min(bits_per_s));
        self.slowest_bits_per_s = Some(slowest);
    }

    /// Adds a time in which nothing is forwarded.
    pub(super) fn add_stall(&mut self, at: Moment, lasting: Duration) {
        match at {
            Moment::Byte(position) => self.byte_stalls.push((position, lasting)),
            Moment::Time(time) => {
                self.time_stalls.push((time, lasting));
                self.time_stalls.sort_unstable();
            }
        }
    }

    /// The rate of the slowest link.
    pub(super) fn slowest_bits_per_s(&self) -> Option<NonZeroU64> {
        self.slowest_bits_per_s
    }

    /// The longest that a byte can be on its way, stalls and waiting for the link aside.
    pub(super) fn longest_lag(&self) -> Duration {
        self.jitters
            .iter()
            .fold(self.delay, |lag, &(_, jitter)| lag.saturating_add(jitter))
    }

    /// Delay and jitter of the byte at a position.
    pub(super) fn lag(&self, position: u64) -> Duration {
        let block = position / JITTER_BLOCK_BYTES;
        self.jitters
            .iter()
            .fold(self.delay, |lag, &(chance, jitter)| {
                let limit_ns = u64::try_from(jitter.as_nanos()).unwrap_or(u64::MAX);
                let ns = chance.with(block).below(limit_ns.saturating_add(1));
                lag.saturating_add(Duration::from_nanos(ns))
            })
    }

    /// How many of the `bytes` from a position on share one fate.
    pub(super) fn run(&self, position: u64, bytes: u64) -> u64 {
        let in_block = if self.jitters.is_empty() && self.links.is_empty() {
            bytes
        } else {
            bytes.min(JITTER_BLOCK_BYTES - position % JITTER_BLOCK_BYTES)
        };
        let stalls = self.byte_stalls.iter();
        let until_stall = stalls.filter_map(|&(at, _)| at.checked_sub(position).filter(|&n| n > 0));
        until_stall.fold(in_block, u64::min)
    }

    /// Sends bytes that were ready at a time over all links; returns when the last of them has left
    /// the last one.
    pub(super) fn send(&self, bytes: u64, ready: Duration) -> Duration {
        self.links
            .iter()
            .fold(ready, |ready, link| link.send(bytes, ready))
    }

    /// How long the byte at a position, and with it all behind, is held.
    pub(super) fn stall_at(&self, position: u64) -> Duration {
        let here = self.byte_stalls.iter().filter(|&&(at, _)| at == position);
        here.fold(Duration::ZERO, |sum, &(_, lasting)| {
            sum.saturating_add(lasting)
        })
    }

    /// When something arrives that would arrive at a time, but for the stalls that have a time.
    pub(super) fn stalled(&self, arrives: Duration) -> Duration {
        self.time_stalls
            .iter()
            .fold(arrives, |arrives, &(from, lasting)| {
                let until = from.saturating_add(lasting);
                if (from..until).contains(&arrives) {
                    until
                } else {
                    arrives
                }
            })
    }

    /// How many bytes from a position on may pass before the next strike at a byte.
    pub(super) fn until_strike(&self, position: u64) -> u64 {
        let strikes = self.strikes.iter().filter_map(|&(at, _)| match at {
            Moment::Byte(at) => at.checked_sub(position),
            Moment::Time(_) => None,
        });
        strikes.min().unwrap_or(u64::MAX)
    }

    /// The time of the next strike that has one.
    pub(super) fn next_strike(&self) -> Option<Duration> {
        let times = self.strikes.iter().filter_map(|&(at, _)| match at {
            Moment::Byte(_) => None,
            Moment::Time(time) => Some(time),
        });
        times.min()
    }

    /// Takes out a strike whose moment has come, once all bytes before a position are forwarded.
    pub(super) fn strike(&mut self, position: u64, now: Duration) -> Option<Strike> {
        let now_or_here = |&(at, _): &(Moment, Strike)| match at {
            Moment::Byte(at) => at == position,
            Moment::Time(time) => time <= now,
        };
        let index = self.strikes.iter().position(now_or_here)?;
        Some(self.strikes.remove(index).1)
    }

    /// Forgets the strikes at bytes before a position: it is too late for them.
    pub(super) fn forget_strikes_before(&mut self, position: u64) {
        self.strikes.retain(|&(at, _)| match at {
            Moment::Byte(at) => at >= position,
            Moment::Time(_) => true,
        });
    }

    /// Inverts bits in the bytes from a position on; returns how many.
    pub(super) fn corrupt(&self, position: u64, bytes: &mut [u8]) -> u64 {
        let mut flipped_bits = 0;
        for &(chance, at) in &self.flips {
            let index = at
                .checked_sub(position)
                .and_then(|index| usize::try_from(index).ok());
            if let Some(byte) = index.and_then(|index| bytes.get_mut(index)) {
                *byte ^= 1 << chance.below(8);
                flipped_bits += 1;
            }
        }
        for &(chance, odds) in &self.flip_odds {
            for (byte, at) in bytes.iter_mut().zip(position..) {
                let chance = chance.with(at);
                if chance.once_in(odds) {
                    *byte ^= 1 << chance.with(0).below(8);
                    flipped_bits += 1;
                }
            }
        }
        flipped_bits
    }
}

#[cfg(test)]
mod tests;
