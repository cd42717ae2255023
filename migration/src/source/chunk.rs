//! How many pages a background connection is given at a time.

use std::time::Duration;

use crate::order::RunLimits;
use crate::page::{bytes_of, to_u64};
use crate::wire::MAX_FRAME_PAGES;

/// Fewest pages: 64 KiB, below which frames and installs cost more than they carry.
const MIN_PAGES: u64 = 16;
/// Most pages of a push: a frame of 256 KiB, whose pages stay in the processor's cache between
/// being read, hashed and sent.
const MAX_PUSH_PAGES: u64 = 64;
/// Most pages ahead of a walk: a frame of 1 MiB.
const MAX_WALK_PAGES: u64 = 256;
const _: () = assert!(MAX_WALK_PAGES <= to_u64(MAX_FRAME_PAGES));

/// How long a chunk may be under way, since a guest that touches a page of it waits for all of it.
/// Our choice: about what an urgent page waits for on a busy gigabit link.
const PUSH_TARGET: Duration = Duration::from_micros(500);
/// The same for pages that a walking guest comes by one after the other: each chunk is a fault,
/// and a guest that is faster than the link waits no longer in all. Measured at 1 Gb/s with a
/// sequential writer at full speed: 4 ms made a quarter of the faults of a push, where a fifth is
/// wanted.
const WALK_TARGET: Duration = Duration::from_millis(6);
/// How much of the past is remembered.
const MEMORY: Duration = Duration::from_millis(64);

/// The size of the next chunk, such that it takes its time at the rate of the ones before.
#[derive(Debug, Default)]
pub(super) struct ChunkSize {
    pages: u64,
    time: Duration,
}

impl ChunkSize {
    /// Notes that `pages` pages were sent in `took`.
    pub(super) fn learn(&mut self, pages: u64, took: Duration) {
        if self.time > MEMORY {
            self.pages /= 2;
            self.time /= 2;
        }
        self.pages += pages;
        self.time += took;
    }

    /// Most pages of the next chunk.
    pub(super) fn limits(&self) -> RunLimits {
        if self.pages < MAX_WALK_PAGES && self.time < WALK_TARGET {
            return RunLimits::same(MIN_PAGES);
        }
        RunLimits {
            push_pages: self.pages_in(PUSH_TARGET).clamp(MIN_PAGES, MAX_PUSH_PAGES),
            walk_pages: self.pages_in(WALK_TARGET).clamp(MIN_PAGES, MAX_WALK_PAGES),
        }
    }

    /// The rate of the ones before, as far as it is known.
    pub(super) fn bytes_per_s(&self) -> Option<u64> {
        let is_known = self.pages >= MAX_PUSH_PAGES;
        is_known.then(|| bytes_of(self.pages_in(Duration::from_secs(1))))
    }

    fn pages_in(&self, time: Duration) -> u64 {
        let pages = u128::from(self.pages) * time.as_nanos() / self.time.as_nanos().max(1);
        u64::try_from(pages).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The limits after a while on a link that carries `pages_per_ms`.
    fn limits_at(pages_per_ms: u64) -> RunLimits {
        let mut size = ChunkSize::default();
        for _ in 0..200 {
            let pages = size.limits().push_pages;
            size.learn(pages, Duration::from_micros(1000 * pages / pages_per_ms));
        }
        size.limits()
    }

    #[test]
    fn chunk_follows_the_rate_of_the_link_within_its_bounds() {
        assert_eq!(limits_at(1), RunLimits::same(MIN_PAGES));
        let gigabit = limits_at(29);
        assert_eq!(gigabit.push_pages, MIN_PAGES);
        assert!((165..175).contains(&gigabit.walk_pages), "{gigabit:?}");
        let local = RunLimits {
            push_pages: MAX_PUSH_PAGES,
            walk_pages: MAX_WALK_PAGES,
        };
        assert_eq!(limits_at(1000), local);
    }

    #[test]
    fn chunk_shrinks_soon_when_the_link_becomes_slow() {
        let mut size = ChunkSize::default();
        size.learn(100_000, Duration::from_millis(100));
        assert_eq!(size.limits().walk_pages, MAX_WALK_PAGES);
        for _ in 0..8 {
            size.learn(256, Duration::from_millis(80));
        }
        assert!(size.limits().walk_pages < 64, "{size:?}");
    }
}
