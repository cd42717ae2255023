//! How much of a background connection may be under way at a time.
//!
//! An urgent page leaves behind all that the background connections have in the queues of this
//! host, on a connection of its own or not: those of network devices know no connections. Left to
//! itself, TCP keeps a millisecond's worth there (`tcp_small_queue_check` in Linux,
//! net/ipv4/tcp_output.c). A window a little longer than the way there and back keeps a short link
//! as busy; on a long one the way itself is what an urgent page waits for.

use std::time::Duration;

use crate::error::Result;
use crate::link::Link;

/// How long the link may be kept busy by what lies in queues. Our choice: what it takes to be woken
/// and to send more, with some to spare.
const QUEUE: Duration = Duration::from_micros(250);
/// Longest way there and back of a short link. Our choice: one on which a window within
/// [`MAX_BYTES`] does not hold 10 Gb/s back.
const SHORT: Duration = Duration::from_micros(300);
/// Least window: some segments, so that the other end acknowledges at once.
const MIN_BYTES: usize = 16 << 10;
/// Largest window: a little less than the kernel allows (`net.core.wmem_max`).
const MAX_BYTES: usize = 384 << 10;

/// A rate, 2.5 Gb/s, beyond which a connection has the largest window: it takes at most 1.3 ms to send,
/// and small pieces cost the processors more than they save. Our choice, by measurement: within a host
/// a move is an eighth faster.
const FAST_BYTES_PER_S: u64 = 312_500_000;

/// How far the other end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Distance {
    /// A window within [`MAX_BYTES`] keeps the link busy.
    Near,
    Far,
}

/// The window of one connection.
#[derive(Debug)]
pub(super) struct Window<'a> {
    link: &'a Link,
    round_trip: Duration,
    /// None as long as it is TCP's.
    bytes: Option<usize>,
}

impl<'a> Window<'a> {
    /// That of `link`, which is still as TCP has it.
    pub(super) fn of(link: &'a Link) -> Result<Self> {
        Ok(Self {
            link,
            round_trip: link.shortest_round_trip()?,
            bytes: None,
        })
    }

    /// How far the other end is.
    pub(super) fn distance(&self) -> Distance {
        distance(self.round_trip)
    }

    /// Adapts it to a link that carries `bytes_per_s`.
    pub(super) fn follow(&mut self, bytes_per_s: u64) -> Result<()> {
        let Some(bytes) = suitable(bytes_per_s, self.round_trip) else {
            return Ok(());
        };
        let is_due = match self.bytes {
            None => bytes < MAX_BYTES,
            // A change costs a call.
            Some(before) => bytes.abs_diff(before) > before / 4,
        };
        if is_due {
            self.link.keep_in_flight(bytes)?;
            self.bytes = Some(bytes);
        }
        Ok(())
    }
}

fn distance(round_trip: Duration) -> Distance {
    if round_trip > SHORT {
        Distance::Far
    } else {
        Distance::Near
    }
}

/// The window for that rate, unless TCP knows better.
fn suitable(bytes_per_s: u64, round_trip: Duration) -> Option<usize> {
    if distance(round_trip) == Distance::Far {
        return None;
    }
    if bytes_per_s > FAST_BYTES_PER_S {
        return Some(MAX_BYTES);
    }
    // The round trip was perhaps measured while nothing else was under way.
    let time = QUEUE + round_trip * 3 / 2;
    let bytes = u128::from(bytes_per_s) * time.as_nanos() / Duration::from_secs(1).as_nanos();
    let bytes = usize::try_from(bytes).unwrap_or(MAX_BYTES);
    Some(bytes.clamp(MIN_BYTES, MAX_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn window_is_what_a_short_link_carries_in_its_round_trip_and_a_little_more() {
        let us = Duration::from_micros;
        assert_eq!(suitable(125_000_000, Duration::ZERO), Some(31_250));
        assert_eq!(suitable(125_000_000, us(200)), Some(68_750));
        assert_eq!(suitable(1_000_000, us(10)), Some(MIN_BYTES));
        assert_eq!(suitable(312_000_000, us(100)), Some(124_800));
        assert_eq!(suitable(313_000_000, us(100)), Some(MAX_BYTES));
        assert_eq!(suitable(u64::MAX, SHORT), Some(MAX_BYTES));
        assert_eq!(suitable(125_000_000, us(301)), None);
    }
}
