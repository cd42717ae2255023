//! How much came, all in all and lately.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Seconds that are looked back on. Our choice: a guest reports in bursts, 2 s apart.
const SECONDS: u64 = 10;

/// Bytes that come now and then.
#[derive(Debug)]
pub(crate) struct Flow {
    total_bytes: u64,
    began: Instant,
    recent: Amounts,
}

impl Default for Flow {
    fn default() -> Self {
        Self::after(0)
    }
}

impl Flow {
    /// Goes on after so many.
    pub(crate) fn after(total_bytes: u64) -> Self {
        Self {
            total_bytes,
            began: Instant::now(),
            recent: Amounts::default(),
        }
    }

    /// So many came just now.
    pub(crate) fn add(&mut self, bytes: u64) {
        self.total_bytes = self.total_bytes.saturating_add(bytes);
        self.recent.add(self.began.elapsed(), bytes);
    }

    pub(crate) fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// How many came in a second on average of the last 10.
    pub(crate) fn bytes_per_s(&self) -> u64 {
        self.recent.sum(self.began.elapsed()) / SECONDS
    }
}

/// What came in each of the last seconds, with the number of the second.
#[derive(Debug, Default)]
struct Amounts(VecDeque<(u64, u64)>);

impl Amounts {
    fn add(&mut self, now: Duration, amount: u64) {
        let second = now.as_secs();
        self.0.retain(|(number, _)| number + SECONDS > second);
        match self.0.back_mut() {
            Some((number, sum)) if *number == second => *sum = sum.saturating_add(amount),
            _ => self.0.push_back((second, amount)),
        }
    }

    fn sum(&self, now: Duration) -> u64 {
        let recent = self
            .0
            .iter()
            .filter(|(number, _)| number + SECONDS > now.as_secs());
        recent.fold(0, |sum, (_, amount)| sum.saturating_add(*amount))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_count_for_ten_seconds_and_take_no_more_room() {
        let mut amounts = Amounts::default();
        for second in 0..100 {
            amounts.add(Duration::from_millis(second * 1000 + 1), 3);
            amounts.add(Duration::from_millis(second * 1000 + 999), 4);
            assert_eq!(
                amounts.sum(Duration::from_secs(second)),
                7 * SECONDS.min(second + 1)
            );
            assert!(amounts.0.len() <= 10);
        }
        assert_eq!(amounts.sum(Duration::from_secs(104)), 35);
        assert_eq!(amounts.sum(Duration::from_secs(109)), 0);
    }

    #[test]
    fn amounts_beyond_all_numbers_are_the_largest() {
        let mut amounts = Amounts::default();
        amounts.add(Duration::ZERO, u64::MAX);
        amounts.add(Duration::ZERO, 1);
        amounts.add(Duration::from_secs(1), 1);
        assert_eq!(amounts.sum(Duration::from_secs(1)), u64::MAX);
    }
}
