//! What is learned while a snapshot is read.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::bitmap::PageBitmap;
use crate::page::{PageIndex, PageRange, to_u64};
use crate::snapshot::memory::Reading;

/// Notes which pages the guest touched first, and when all that came ahead of it had gone.
#[derive(Debug)]
pub(super) struct ReadingLog {
    window: Duration,
    began: OnceLock<Instant>,
    touched: Mutex<PageBitmap>,
    ahead: Mutex<Ahead>,
}

/// The pages that are to go before all others.
#[derive(Debug)]
struct Ahead {
    left: PageBitmap,
    left_pages: u64,
    all_went: Option<Instant>,
}

impl ReadingLog {
    /// Pages of `ahead` are to go first; those that are touched within `window` are noted.
    pub(super) fn new(ahead: PageBitmap, window: Duration) -> Self {
        Self {
            window,
            began: OnceLock::new(),
            touched: Mutex::new(PageBitmap::empty(ahead.pages())),
            ahead: Mutex::new(Ahead {
                left_pages: ahead.count(),
                left: ahead,
                all_went: None,
            }),
        }
    }

    /// The guest is about to run.
    pub(super) fn begin(&self) {
        self.began.get_or_init(Instant::now);
    }

    /// The pages that were waited for so far, within the window.
    pub(super) fn touched(&self) -> PageBitmap {
        lock(&self.touched).clone()
    }

    /// How long after the beginning the last page had gone of those that go first.
    pub(super) fn all_went_after(&self) -> Option<Duration> {
        let all_went = lock(&self.ahead).all_went?;
        Some(all_went.saturating_duration_since(*self.began.get()?))
    }
}

impl Reading for ReadingLog {
    fn wanted(&self, page: PageIndex) {
        if self
            .began
            .get()
            .is_none_or(|began| began.elapsed() <= self.window)
        {
            lock(&self.touched).insert(page);
        }
    }

    fn read(&self, range: PageRange) {
        let mut ahead = lock(&self.ahead);
        if ahead.left_pages > 0 {
            let went = range.iter().filter(|&page| ahead.left.remove(page)).count();
            ahead.left_pages -= to_u64(went);
            if ahead.left_pages == 0 {
                ahead.all_went = Some(Instant::now());
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_touched_within_the_window_are_noted_and_the_end_of_what_goes_first() {
        let mut ahead = PageBitmap::empty(10);
        ahead.insert_range(PageRange::between(2, 5).unwrap());
        let log = ReadingLog::new(ahead, Duration::from_secs(60));
        log.begin();
        log.wanted(PageIndex::new(7));
        log.read(PageRange::between(0, 4).unwrap());
        assert_eq!(log.all_went_after(), None);
        log.read(PageRange::between(4, 8).unwrap());
        assert!(log.all_went_after().is_some());
        assert_eq!(
            log.touched().iter().collect::<Vec<_>>(),
            [PageIndex::new(7)]
        );
    }

    #[test]
    fn page_touched_after_the_window_is_not_noted() {
        let log = ReadingLog::new(PageBitmap::empty(10), Duration::ZERO);
        log.begin();
        let began = Instant::now();
        while began.elapsed().is_zero() {}
        log.wanted(PageIndex::new(7));
        assert_eq!(log.touched().count(), 0);
    }
}
