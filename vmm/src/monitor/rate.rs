//! How fast a migration is, from how far it was at earlier moments: pure.

use std::time::Duration;

/// How far apart two looks are at the least. Our choice: closer ones say more of the moment than of the
/// link.
const LOOK: Duration = Duration::from_millis(200);

/// What the latest look weighs against all before it. Our choice: about a second of the past counts.
const WEIGHT: f64 = 0.25;

/// The smoothed rate at which bytes move.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rate {
    last: Option<(Duration, u64)>,
    bytes_per_s: Option<f64>,
}

impl Rate {
    /// Notes that `bytes` have moved in all, `elapsed` after the beginning.
    pub(super) fn learn(&mut self, elapsed: Duration, bytes: u64) {
        let (then, before) = *self.last.get_or_insert((elapsed, bytes));
        let Some(time) = elapsed.checked_sub(then).filter(|time| *time >= LOOK) else {
            return;
        };
        let moved = bytes.saturating_sub(before);
        let now = to_f64(moved) / time.as_secs_f64();
        let smooth = |earlier: f64| earlier + WEIGHT * (now - earlier);
        self.bytes_per_s = Some(self.bytes_per_s.map_or(now, smooth));
        self.last = Some((elapsed, bytes));
    }

    /// Whole bytes per second; 0 as long as nothing is known.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is not negative, and one that does not fit saturates"
    )]
    pub(super) fn bytes_per_s(&self) -> u64 {
        self.bytes_per_s.unwrap_or(0.0) as u64
    }

    /// How long `bytes` will take, in ms; `None` as long as nothing moves.
    pub(super) fn time_for_ms(&self, bytes: u64) -> Option<u64> {
        bytes.saturating_mul(1000).checked_div(self.bytes_per_s())
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of bytes are below 2^53")]
const fn to_f64(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_is_unknown_until_some_time_has_passed_and_follows_then() {
        let mut rate = Rate::default();
        let ms = Duration::from_millis;
        rate.learn(ms(0), 0);
        rate.learn(ms(100), 5_000_000);
        assert_eq!((rate.bytes_per_s(), rate.time_for_ms(1)), (0, None));
        rate.learn(ms(200), 20_000_000);
        assert_eq!(rate.bytes_per_s(), 100_000_000);
        assert_eq!(rate.time_for_ms(50_000_000), Some(500));
        for look in 1..20 {
            rate.learn(ms(200 + look * 200), 20_000_000 + look * 2_000_000);
        }
        assert!(
            (10_000_000..11_000_000).contains(&rate.bytes_per_s()),
            "{rate:?}"
        );
    }

    #[test]
    fn rate_of_what_stands_still_has_no_time() {
        let mut rate = Rate::default();
        rate.learn(Duration::ZERO, 7);
        rate.learn(Duration::from_secs(1), 7);
        assert_eq!((rate.bytes_per_s(), rate.time_for_ms(9)), (0, None));
    }
}
