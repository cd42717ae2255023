//! A link with a rate: a token bucket that says when bytes have left, in virtual time.

use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The time until a number of bytes have passed at a rate, rounded up to nanoseconds.
pub(super) fn passing_time(bytes: u64, bits_per_s: NonZeroU64) -> Duration {
    let bit_ns = u128::from(bytes) * 8 * 1_000_000_000;
    let ns = bit_ns.div_ceil(u128::from(bits_per_s.get()));
    Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
}

/// A token bucket, written as the virtual scheduling algorithm of ITU-T I.371 (annex A): instead of
/// tokens it keeps the time from which on the link is free. It is as deep as what is sent at once,
/// so a link that was idle makes up for nothing.
#[derive(Debug)]
struct TokenBucket {
    bits_per_s: NonZeroU64,
    free_from: Duration,
}

impl TokenBucket {
    fn new(bits_per_s: NonZeroU64) -> Self {
        Self {
            bits_per_s,
            free_from: Duration::ZERO,
        }
    }

    fn send(&mut self, bytes: u64, ready: Duration) -> Duration {
        self.free_from = self
            .free_from
            .max(ready)
            .saturating_add(passing_time(bytes, self.bits_per_s));
        self.free_from
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

    /// Sends bytes that were ready at a time, behind all those sent before; returns when the last of
    /// them has left.
    pub(super) fn send(&self, bytes: u64, ready: Duration) -> Duration {
        let mut bucket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.send(bytes, ready)
    }
}

#[cfg(test)]
mod tests {
    use super::{TokenBucket, passing_time};
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
    fn send_on_an_idle_link_takes_the_passing_time() {
        let mut bucket = TokenBucket::new(gigabit());
        let (now, passing) = (Duration::from_secs(10), Duration::from_micros(8));
        assert_eq!(bucket.send(1000, now), now + passing);
        assert_eq!(bucket.send(1000, now), now + 2 * passing);
        assert_eq!(bucket.send(1000, 2 * now), 2 * now + passing);
    }

    proptest! {
        #[test]
        fn send_in_any_pattern_keeps_order_and_rate(
            steps in vec((0..100_000_u64, 0..2_000_000_u64), 1..200),
            bits_per_s in 1_000..100_000_000_000_u64,
        ) {
            let rate = NonZeroU64::new(bits_per_s).unwrap();
            let mut bucket = TokenBucket::new(rate);
            let mut ready = Duration::ZERO;
            let mut left_before = Duration::ZERO;
            for (bytes, pause_ns) in steps {
                ready += Duration::from_nanos(pause_ns);
                let left = bucket.send(bytes, ready);
                prop_assert!(left >= ready.max(left_before) + passing_time(bytes, rate));
                left_before = left;
            }
        }
    }
}
