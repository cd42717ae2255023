//! How many pages a background connection is given at a time.

use std::time::Duration;

use crate::page::to_u64;
use crate::wire::MAX_FRAME_PAGES;

/// Fewest pages: 64 KiB, below which frames and installs cost more than they carry.
const MIN_PAGES: u64 = 16;
/// Before anything is known: 256 KiB.
const FIRST_PAGES: u64 = 64;
/// Most pages: a frame of 1 MiB, whose pages still fit into a processor's cache between being
/// read, hashed and sent.
const MAX_PAGES: u64 = 256;
const _: () = assert!(MAX_PAGES <= to_u64(MAX_FRAME_PAGES));

/// How long a chunk may be under way. A guest that touches a page of it waits at most that long.
const TARGET: Duration = Duration::from_millis(8);
/// What is remembered of the past, in chunks of [`TARGET`].
const MEMORY: u32 = 8;

/// The size of the next chunk, such that it takes [`TARGET`] at the rate of the ones before.
#[derive(Debug, Default)]
pub(super) struct ChunkSize {
    pages: u64,
    time: Duration,
}

impl ChunkSize {
    /// Notes that `pages` pages were sent in `took`.
    pub(super) fn learn(&mut self, pages: u64, took: Duration) {
        if self.time > MEMORY * TARGET {
            self.pages /= 2;
            self.time /= 2;
        }
        self.pages += pages;
        self.time += took;
    }

    /// Most pages of the next chunk.
    pub(super) fn max_pages(&self) -> u64 {
        if self.pages < MAX_PAGES && self.time < TARGET {
            return FIRST_PAGES;
        }
        let pages = u128::from(self.pages) * TARGET.as_nanos() / self.time.as_nanos().max(1);
        u64::try_from(pages)
            .unwrap_or(MAX_PAGES)
            .clamp(MIN_PAGES, MAX_PAGES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size after a while on a link that carries `pages_per_ms`.
    fn size_at(pages_per_ms: u64) -> u64 {
        let mut size = ChunkSize::default();
        for _ in 0..200 {
            let pages = size.max_pages();
            let took = Duration::from_micros(1000 * pages / pages_per_ms);
            size.learn(pages, took);
        }
        size.max_pages()
    }

    #[test]
    fn chunk_follows_the_rate_of_the_link_within_its_bounds() {
        assert_eq!(ChunkSize::default().max_pages(), FIRST_PAGES);
        assert_eq!(size_at(1), MIN_PAGES);
        assert!((75..=85).contains(&size_at(10)), "{}", size_at(10));
        assert_eq!(size_at(1000), MAX_PAGES);
    }

    #[test]
    fn chunk_shrinks_soon_when_the_link_becomes_slow() {
        let mut size = ChunkSize::default();
        size.learn(100_000, Duration::from_millis(100));
        assert_eq!(size.max_pages(), MAX_PAGES);
        for _ in 0..8 {
            size.learn(256, Duration::from_millis(80));
        }
        assert!(size.max_pages() < 64, "{}", size.max_pages());
    }
}
