//! A token bucket that says when bytes have left, in virtual time.

use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How much unused time a link may make up for.
///
/// Our choice: a thread that the system wakes late must not make the link slower than its rate, and
/// a wake-up on a busy machine is late by some 0.1 ms.
pub(super) const BURST: Duration = Duration::from_millis(1);

/// The time until a number of bytes have passed at a rate, rounded up to nanoseconds.
pub(super) fn passing_time(bytes: u64, bits_per_s: NonZeroU64) -> Duration {
    let bit_ns = u128::from(bytes) * 8 * 1_000_000_000;
    let ns = bit_ns.div_ceil(u128::from(bits_per_s.get()));
    Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
}

/// A token bucket, written as the virtual scheduling algorithm of ITU-T I.371 (annex A): tokens are
/// counted as time, and a full bucket is a link that has been free for [`BURST`].
///
/// In any span of time at most `rate * (span + BURST)` leaves.
#[derive(Debug)]
pub(super) struct TokenBucket {
    bits_per_s: NonZeroU64,
    free_from: Duration,
}

impl TokenBucket {
    /// A link that is free from time 0 on.
    pub(super) fn new(bits_per_s: NonZeroU64) -> Self {
        Self {
            bits_per_s,
            free_from: Duration::ZERO,
        }
    }

    /// Sends bytes behind all those sent before; returns when the last of them has left, which is
    /// never before `now`.
    pub(super) fn send(&mut self, bytes: u64, now: Duration) -> Duration {
        self.free_from = self
            .free_from
            .max(now.saturating_sub(BURST))
            .saturating_add(passing_time(bytes, self.bits_per_s));
        self.free_from.max(now)
    }
}

/// A link that connections share: they queue behind each other in the order in which they send.
#[derive(Debug, Clone)]
pub(super) struct SharedBucket(Arc<Mutex<TokenBucket>>);

impl SharedBucket {
    /// A link that is free from time 0 on.
    pub(super) fn new(bits_per_s: NonZeroU64) -> Self {
        Self(Arc::new(Mutex::new(TokenBucket::new(bits_per_s))))
    }

    /// As [`TokenBucket::send`].
    pub(super) fn send(&self, bytes: u64, now: Duration) -> Duration {
        let mut bucket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.send(bytes, now)
    }
}

#[cfg(test)]
mod tests {
    use super::{BURST, TokenBucket, passing_time};
    use proptest::collection::vec;
    use proptest::prelude::{prop_assert, proptest};
    use std::num::NonZeroU64;
    use std::time::Duration;

    fn gigabit() -> NonZeroU64 {
        NonZeroU64::new(1_000_000_000).unwrap()
    }

    #[test]
    fn passing_time_of_a_byte_at_a_gigabit_is_8_ns() {
        assert_eq!(passing_time(1, gigabit()), Duration::from_nanos(8));
        assert_eq!(
            passing_time(1, NonZeroU64::new(3).unwrap()),
            Duration::from_nanos(2_666_666_667)
        );
    }

    #[test]
    fn send_on_an_idle_link_makes_up_for_the_burst_and_no_more() {
        let mut bucket = TokenBucket::new(gigabit());
        let now = Duration::from_secs(10);
        let burst_bytes = 125_000;
        assert_eq!(bucket.send(burst_bytes, now), now);
        assert_eq!(bucket.send(1000, now), now + Duration::from_micros(8));
    }

    proptest! {
        #[test]
        fn send_in_any_pattern_keeps_order_and_rate(
            steps in vec((0..100_000_u64, 0..2_000_000_u64), 1..200),
            bits_per_s in 1_000..100_000_000_000_u64,
        ) {
            let rate = NonZeroU64::new(bits_per_s).unwrap();
            let mut bucket = TokenBucket::new(rate);
            let mut now = Duration::ZERO;
            let mut sent: Vec<(Duration, u64)> = Vec::new();
            for (bytes, pause_ns) in steps {
                now += Duration::from_nanos(pause_ns);
                let left = bucket.send(bytes, now);
                prop_assert!(left >= now);
                prop_assert!(sent.last().is_none_or(|&(before, _)| before <= left));
                sent.push((left, bytes));
            }
            for first in 0..sent.len() {
                let mut total_bytes = 0;
                for &(left, bytes) in &sent[first..] {
                    total_bytes += bytes;
                    let span = left - sent[first].0 + BURST;
                    // The first packet left during its own passing time, before the span began.
                    let allowed = span + passing_time(sent[first].1, rate);
                    prop_assert!(passing_time(total_bytes, rate) <= allowed + Duration::from_nanos(1));
                }
            }
        }
    }
}
