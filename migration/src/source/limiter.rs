//! Keeps pages that nobody waits for within a rate.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::options::Bandwidth;
use crate::order::RunLimits;
use crate::page::{PAGE_BYTES, PageRange, to_u64};
use crate::stop::{Stop, Woken, sleep};

/// How much time may be made up for that went by unused. Our choice: the longest that one chunk
/// takes where there is no limit.
const BURST: Duration = Duration::from_millis(6);

/// How long a chunk may take. Our choice: a migration that is called off has to be over long before
/// a tenth of a second, and a page at the least.
const CHUNK_TIME: Duration = Duration::from_millis(10);

/// Shared by all connections for pages that nobody waits for, in one lap or one set of rounds.
#[derive(Debug)]
pub(super) struct Limiter {
    /// `None` has no limit.
    schedule: Option<Mutex<Schedule>>,
    stop: Stop,
}

/// When the next bytes may go.
#[derive(Clone, Copy, Debug)]
struct Schedule {
    bandwidth: Bandwidth,
    /// All that was booked has gone by then.
    free_at: Instant,
}

impl Limiter {
    /// A limiter whose waits end when `stop` is raised.
    pub(super) fn new(bandwidth: Option<Bandwidth>, stop: Stop) -> Self {
        let schedule = |bandwidth| {
            Mutex::new(Schedule {
                bandwidth,
                free_at: Instant::now(),
            })
        };
        Self {
            schedule: bandwidth.map(schedule),
            stop,
        }
    }

    /// Most pages to be sent at a time.
    pub(super) fn max_pages(&self) -> u64 {
        self.booked(|schedule| schedule.max_pages())
            .unwrap_or(u64::MAX)
    }

    /// How long runs may be that could be as long as `limits` says, were it not for the rate.
    pub(super) fn limits(&self, limits: RunLimits) -> RunLimits {
        match self.booked(|schedule| schedule.max_pages()) {
            Some(max_pages) => limits.held_back(max_pages),
            None => limits,
        }
    }

    /// Waits until the pages of `range` may go.
    ///
    /// # Errors
    /// If the flag was raised meanwhile.
    pub(super) fn wait_for(&self, range: PageRange) -> Result<()> {
        let now = Instant::now();
        let wait = self.booked(|schedule| schedule.book(to_u64(range.bytes()), now));
        match wait.filter(|wait| !wait.is_zero()) {
            None => Ok(()),
            Some(wait) => match sleep(&self.stop, now + wait)? {
                Woken::Stopped => Err(Error::Stopped),
                Woken::Ready | Woken::TimedOut => Ok(()),
            },
        }
    }

    fn booked<T>(&self, act: impl FnOnce(&mut Schedule) -> T) -> Option<T> {
        let schedule = self.schedule.as_ref()?;
        let mut schedule = schedule.lock().unwrap_or_else(PoisonError::into_inner);
        Some(act(&mut schedule))
    }
}

impl Schedule {
    /// Books `bytes`, and says how long they have to wait from `now` on.
    fn book(&mut self, bytes: u64, now: Instant) -> Duration {
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let begins = self.free_at.max(earliest);
        self.free_at = begins + self.bandwidth.time_for(bytes);
        begins.saturating_duration_since(now)
    }

    fn max_pages(self) -> u64 {
        let page_time = self.bandwidth.time_for(to_u64(PAGE_BYTES));
        let pages = CHUNK_TIME.as_nanos() / page_time.as_nanos().max(1);
        u64::try_from(pages).unwrap_or(u64::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(bits_per_s: u64, now: Instant) -> Schedule {
        Schedule {
            bandwidth: Bandwidth::new(bits_per_s).unwrap(),
            free_at: now,
        }
    }

    #[test]
    fn bytes_go_at_the_rate_whoever_asks_for_them() {
        let now = Instant::now();
        let mut schedule = schedule(8_000_000, now);
        let waits = [0, 1, 2].map(|_| schedule.book(10_000, now));
        assert_eq!(waits, [0, 10, 20].map(Duration::from_millis));
    }

    #[test]
    fn time_that_went_by_unused_is_made_up_for_a_little() {
        let began = Instant::now();
        let mut schedule = schedule(8_000_000, began);
        let now = began + Duration::from_secs(60);
        assert_eq!(schedule.book(10_000, now), Duration::ZERO);
        assert_eq!(schedule.book(1, now), Duration::from_millis(4));
    }

    #[test]
    fn chunk_is_a_page_at_the_least() {
        let now = Instant::now();
        assert_eq!(schedule(1000, now).max_pages(), 1);
        assert_eq!(schedule(1_000_000_000, now).max_pages(), 305);
    }
}
