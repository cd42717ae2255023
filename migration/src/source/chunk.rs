//! How many pages a background connection is given at a time.

use std::time::Duration;

use crate::order::RunLimits;
use crate::page::{bytes_of, to_u64};
use crate::wire::MAX_FRAME_PAGES;

/// Fewest pages: 64 KiB, below which frames and installs cost more than they carry.
const MIN_PAGES: u64 = 16;
/// Most pages: a frame of 256 KiB, whose pages stay in the processor's cache between being read,
/// hashed and sent.
const MAX_PAGES: u64 = 64;
const _: () = assert!(MAX_PAGES <= to_u64(MAX_FRAME_PAGES));

/// How long a chunk may be under way, since a guest that touches a page of it waits for all of it.
/// Our choice: about what an urgent page waits for on a busy gigabit link.
const PUSH_TARGET: Duration = Duration::from_micros(500);
/// The same for pages that a walking guest comes by one after the other: it needs all of them. Our
/// choice, by measurement: with half as much again, one of a hundred pages came later than after a
/// chunk that was under way and its own.
const WALK_TARGET: Duration = Duration::from_millis(1);
/// What it takes to know the rate of a link, at least one of both.
const LEARNED_PAGES: u64 = 64;
const LEARNED_TIME: Duration = Duration::from_millis(2);
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
        if self.pages < LEARNED_PAGES && self.time < LEARNED_TIME {
            return RunLimits::same(MIN_PAGES);
        }
        let walk_pages = self.pages_in(WALK_TARGET);
        RunLimits {
            push_pages: self.pages_in(PUSH_TARGET).clamp(MIN_PAGES, MAX_PAGES),
            walk_pages: walk_pages.clamp(MIN_PAGES, MAX_PAGES),
            // What is shorter than the shortest chunk takes longer than it may.
            promised_pages: if walk_pages < MIN_PAGES {
                0
            } else {
                walk_pages.min(MAX_PAGES)
            },
        }
    }

    /// The rate of the ones before, as far as it is known.
    pub(super) fn bytes_per_s(&self) -> Option<u64> {
        let is_known = self.pages >= MAX_PAGES;
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
        assert!((28..31).contains(&gigabit.walk_pages), "{gigabit:?}");
        assert_eq!(gigabit.promised_pages, gigabit.walk_pages);
        let local = RunLimits {
            push_pages: MAX_PAGES,
            walk_pages: MAX_PAGES,
            promised_pages: MAX_PAGES,
        };
        assert_eq!(limits_at(1000), local);
    }

    #[test]
    fn chunk_shrinks_soon_when_the_link_becomes_slow() {
        let mut size = ChunkSize::default();
        size.learn(100_000, Duration::from_millis(100));
        assert_eq!(size.limits().walk_pages, MAX_PAGES);
        for _ in 0..8 {
            size.learn(256, Duration::from_millis(80));
        }
        assert_eq!(size.limits(), RunLimits::same(MIN_PAGES), "{size:?}");
    }
}
