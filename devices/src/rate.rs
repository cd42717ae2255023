//! Limits of what a device may do in a second.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// How far a device that has rested may be ahead of its rate. Our choice: short enough that nobody sees a
/// burst, long enough for what a guest does at a time.
const BURST: Duration = Duration::from_millis(100);

/// Most that a device may do; what is `None` has no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    /// Data, in each direction where there are two.
    pub bits_per_s: Option<NonZeroU64>,
    /// Requests.
    pub requests_per_s: Option<NonZeroU64>,
}

impl RateLimit {
    /// How long one request of that many bytes takes by this limit.
    fn cost(&self, bytes: u64) -> Duration {
        let nanos = |amount: u64, per_s: NonZeroU64| {
            let nanos = u128::from(amount) * 1_000_000_000 / u128::from(per_s.get());
            Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
        };
        let data = self
            .bits_per_s
            .map(|rate| nanos(bytes.saturating_mul(8), rate));
        let request = self.requests_per_s.map(|rate| nanos(1, rate));
        data.max(request).unwrap_or_default()
    }
}

/// Keeps a device at its limit: whatever is done in time is done at once, and what it costs delays the
/// next. (The generic cell rate algorithm, ITU-T I.371.)
#[derive(Debug)]
pub(crate) struct Limiter {
    limit: RateLimit,
    /// When all that was done would be paid for.
    paid_at: Option<Instant>,
}

impl Limiter {
    pub(crate) fn new(limit: RateLimit) -> Self {
        Self {
            limit,
            paid_at: None,
        }
    }

    /// How long it is from `now` until one more may begin.
    pub(crate) fn wait(&self, now: Instant) -> Duration {
        self.paid_at.map_or(Duration::ZERO, |paid_at| {
            paid_at.saturating_duration_since(now).saturating_sub(BURST)
        })
    }

    /// Whether one more may begin.
    pub(crate) fn lets_go(&self) -> bool {
        self.paid_at.is_none() || self.wait(Instant::now()).is_zero()
    }

    /// Notes a request of that many bytes, done now. Without a limit it does not look at the clock.
    pub(crate) fn charge(&mut self, bytes: u64) {
        if self.limit != RateLimit::default() {
            self.spend(Instant::now(), bytes);
        }
    }

    /// Notes a request of that many bytes, done at `now`.
    fn spend(&mut self, now: Instant, bytes: u64) {
        let cost = self.limit.cost(bytes);
        if !cost.is_zero() {
            let from = self.paid_at.map_or(now, |paid_at| paid_at.max(now));
            // A guest that asks for centuries waits for one.
            self.paid_at = from.checked_add(cost).or(self.paid_at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(bits_per_s: u64, requests_per_s: u64) -> RateLimit {
        RateLimit {
            bits_per_s: NonZeroU64::new(bits_per_s),
            requests_per_s: NonZeroU64::new(requests_per_s),
        }
    }

    /// How long it takes to do `count` requests of that size, each as soon as it may begin.
    fn time_for(limit: RateLimit, count: u32, bytes: u64) -> Duration {
        let began = Instant::now();
        let (mut limiter, mut now) = (Limiter::new(limit), began);
        for _ in 0..count {
            now += limiter.wait(now);
            limiter.spend(now, bytes);
        }
        now - began
    }

    #[test]
    fn requests_take_as_long_as_the_limit_says_but_for_a_burst() {
        // 8 Mb/s are 1 MB/s; the last of them costs whoever comes after it.
        let taken = time_for(limit(8_000_000, 0), 1000, 10_000);
        let expected = Duration::from_secs(10) - Duration::from_millis(10);
        assert_eq!(taken, expected - BURST);
        let taken = time_for(limit(0, 100), 501, 1 << 20);
        assert_eq!(taken, Duration::from_secs(5) - BURST);
        // The stricter of both counts.
        assert_eq!(time_for(limit(8_000_000, 100), 501, 1), taken);
    }

    #[test]
    fn device_without_a_limit_never_waits() {
        assert_eq!(time_for(limit(0, 0), 1000, u64::MAX), Duration::ZERO);
    }

    #[test]
    fn rest_is_worth_a_burst_and_no_more() {
        let mut limiter = Limiter::new(limit(0, 1000));
        let mut now = Instant::now();
        for _ in 0..3 {
            now += Duration::from_secs(60);
            let mut done = 0;
            while limiter.wait(now).is_zero() {
                limiter.spend(now, 0);
                done += 1;
            }
            assert_eq!(done, 101);
        }
    }

    #[test]
    fn request_that_would_take_forever_is_paid_for() {
        let mut limiter = Limiter::new(limit(1, 0));
        let now = Instant::now();
        limiter.spend(now, u64::MAX);
        assert!(limiter.wait(now) > Duration::from_secs(1));
    }
}
