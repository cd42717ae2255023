//! How long the guest waits for pages.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::destination::table::{PageState, PageTable};
use crate::page::PageIndex;
use crate::report::Latency;

/// Most faults whose latency is measured at the same time; more are only counted. Our choice:
/// vCPUs and device threads are far fewer, and KVM's asynchronous faults come from those.
const MAX_OUTSTANDING: usize = 1024;

/// Longest latency that is told from longer ones.
const MAX_LATENCY: Duration = Duration::from_secs(600);

/// Measures from the moment a fault is noticed until its page is there. Allocates nothing after it
/// is made.
#[derive(Debug)]
pub(super) struct FaultClock(Mutex<Clock>);

#[derive(Debug)]
struct Clock {
    outstanding: Vec<(PageIndex, Instant)>,
    network_faults: u64,
    latency_ns: Histogram<u64>,
}

impl FaultClock {
    pub(super) fn new() -> Self {
        let max_ns = u64::try_from(MAX_LATENCY.as_nanos()).expect("600 s fit 64 bits of ns");
        Self(Mutex::new(Clock {
            outstanding: Vec::with_capacity(MAX_OUTSTANDING),
            network_faults: 0,
            latency_ns: Histogram::new_with_bounds(1, max_ns, 2).expect("the bounds are valid"),
        }))
    }

    /// Requests `page` in `table` and, if nobody had, starts to measure. Both happen under the
    /// lock, so that the page cannot be settled in between and be missed by [`Self::stop`].
    pub(super) fn request(&self, table: &PageTable, page: PageIndex) -> PageState {
        let mut clock = self.lock();
        let before = table.request(page);
        if before == PageState::Missing {
            clock.network_faults += 1;
            if clock.outstanding.len() < MAX_OUTSTANDING {
                clock.outstanding.push((page, Instant::now()));
            }
        }
        before
    }

    /// A page that was requested is there.
    pub(super) fn stop(&self, page: PageIndex) {
        let mut clock = self.lock();
        if let Some(at) = clock
            .outstanding
            .iter()
            .position(|&(waiting, _)| waiting == page)
        {
            let (_, since) = clock.outstanding.swap_remove(at);
            let ns = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
            clock.latency_ns.saturating_record(ns);
        }
    }

    /// Faults so far that needed an answer from the source, and their latencies.
    pub(super) fn reading(&self) -> (u64, Latency) {
        let clock = self.lock();
        (clock.network_faults, Latency::from(&clock.latency_ns))
    }

    fn lock(&self) -> MutexGuard<'_, Clock> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_fault_on_a_page_is_counted_and_timed() {
        let (clock, table, page) = (FaultClock::new(), PageTable::new(1), PageIndex::new(0));
        assert_eq!(clock.request(&table, page), PageState::Missing);
        assert_eq!(clock.request(&table, page), PageState::Requested);
        clock.stop(page);
        clock.stop(page);
        let (faults, latency) = clock.reading();
        assert_eq!(faults, 1);
        assert!(latency.max_ns > 0 && latency.p50_ns <= latency.max_ns);
    }
}
