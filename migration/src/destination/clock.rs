//! How long the guest waits for pages, and for what.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::destination::table::{PageState, PageTable};
use crate::latencies::Latencies;
use crate::page::PageIndex;
use crate::report::{Latency, LatencyParts};

/// Most faults whose latency is measured at the same time; more are only counted. Our choice:
/// vCPUs and device threads are far fewer, and KVM's asynchronous faults come from those.
const MAX_OUTSTANDING: usize = 1024;

/// Measures from the moment a fault is noticed until its page is there. Allocates nothing after it
/// is made.
#[derive(Debug)]
pub(super) struct FaultClock(Mutex<Clock>);

#[derive(Debug)]
struct Clock {
    outstanding: Vec<Waiting>,
    /// Faults that had to wait for a page.
    requests: u64,
    /// Those of them that wait no longer.
    counts: FaultNumbers,
    latencies: Latencies,
    parts: Parts,
}

/// How a page came to who touched it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Over the urgent connection: the source sent it because it was touched.
    Demanded,
    /// Over a background connection: it was on its way or next, touched or not.
    Pushed,
}

/// How many pages were waited for and have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FaultNumbers {
    /// On demand.
    pub(super) network: u64,
    /// In their turn.
    pub(super) underway: u64,
}

/// A page that somebody waits for.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    page: PageIndex,
    noticed: Instant,
    /// When the source was asked for it.
    asked: Option<Instant>,
}

/// What the latencies measured so far went to, in all.
#[derive(Clone, Copy, Debug, Default)]
struct Parts {
    faults: u32,
    queue: Duration,
    wire: Duration,
    install: Duration,
    wake: Duration,
}

/// How a page came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Came {
    pub(super) way: Way,
    /// When it was received.
    pub(super) at: Instant,
    /// How long its source had known that it was wanted.
    pub(super) waited_at_source: Duration,
    /// When the guest had it.
    pub(super) installed: Instant,
    /// When the guest had been woken.
    pub(super) woken: Instant,
}

impl Came {
    /// A page of which nothing had to be installed, and nothing sent.
    pub(super) fn nowhere(at: Instant) -> Self {
        Self {
            way: Way::Pushed,
            at,
            waited_at_source: Duration::ZERO,
            installed: at,
            woken: at,
        }
    }

    /// The same, by this way.
    pub(super) fn by(self, way: Way) -> Self {
        Self { way, ..self }
    }
}

impl FaultClock {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Clock {
            outstanding: Vec::with_capacity(MAX_OUTSTANDING),
            requests: 0,
            counts: FaultNumbers::default(),
            latencies: Latencies::new(),
            parts: Parts::default(),
        }))
    }

    /// Requests `page` in `table` and, if nobody had, starts to measure. Both happen under the lock,
    /// so that the page cannot be settled in between and be missed by [`Self::stop`].
    pub(super) fn request(&self, table: &PageTable, page: PageIndex) -> PageState {
        let mut clock = self.lock();
        let before = table.request(page);
        if before == PageState::Missing {
            clock.requests += 1;
            if clock.outstanding.len() < MAX_OUTSTANDING {
                clock.outstanding.push(Waiting {
                    page,
                    noticed: Instant::now(),
                    asked: None,
                });
            }
        }
        before
    }

    /// Whether a page was ever requested.
    pub(super) fn has_requests(&self) -> bool {
        self.lock().requests > 0
    }

    /// The source has been asked for these pages.
    pub(super) fn asked(&self, pages: &[PageIndex]) {
        let now = Instant::now();
        let mut clock = self.lock();
        for waiting in &mut clock.outstanding {
            if waiting.asked.is_none() && pages.contains(&waiting.page) {
                waiting.asked = Some(now);
            }
        }
    }

    /// A page that was requested is there, for the first time.
    pub(super) fn stop(&self, page: PageIndex, came: &Came) {
        let mut clock = self.lock();
        match came.way {
            Way::Demanded => clock.counts.network += 1,
            Way::Pushed => clock.counts.underway += 1,
        }
        let is_it = |waiting: &Waiting| waiting.page == page;
        if let Some(at) = clock.outstanding.iter().position(is_it) {
            let waiting = clock.outstanding.swap_remove(at);
            let latency = came.woken.saturating_duration_since(waiting.noticed);
            clock.latencies.record(latency);
            clock.parts.add(&waiting, came);
        }
    }

    /// Faults so far that had to wait for a page and do not any more, their latencies, and the means
    /// of what those went to.
    pub(super) fn reading(&self) -> (FaultNumbers, Latency, LatencyParts) {
        let clock = self.lock();
        (clock.counts, clock.latencies.summary(), clock.parts.means())
    }

    fn lock(&self) -> MutexGuard<'_, Clock> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Parts {
    /// Cuts the time from noticing to waking without gaps. What the source claims to have waited is
    /// believed as far as there was time for it.
    fn add(&mut self, waiting: &Waiting, came: &Came) {
        let &Came {
            way: _,
            at,
            waited_at_source,
            installed,
            woken,
        } = came;
        let noticed = waiting.noticed;
        // A page may come that is on its way anyway, before it is asked for.
        let asked = waiting.asked.unwrap_or(at).clamp(noticed, at.max(noticed));
        let away = at.saturating_duration_since(asked);
        let at_source = waited_at_source.min(away);
        self.faults = self.faults.saturating_add(1);
        self.queue += asked.saturating_duration_since(noticed) + at_source;
        self.wire += away - at_source;
        self.install += installed.saturating_duration_since(at.max(noticed));
        self.wake += woken.saturating_duration_since(installed.max(noticed));
    }

    fn means(&self) -> LatencyParts {
        let Self {
            faults,
            queue,
            wire,
            install,
            wake,
        } = *self;
        let mean = |sum: Duration| {
            let mean = sum.checked_div(faults).unwrap_or_default();
            u64::try_from(mean.as_nanos()).unwrap_or(u64::MAX)
        };
        LatencyParts {
            queue_ns: mean(queue),
            wire_ns: mean(wire),
            install_ns: mean(install),
            wake_ns: mean(wake),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn came_after(began: Instant, waited_at_source: Duration) -> Came {
        let at = |us| began + Duration::from_micros(us);
        Came {
            way: Way::Demanded,
            at: at(100),
            waited_at_source,
            installed: at(130),
            woken: at(135),
        }
    }

    #[test]
    fn only_the_first_fault_on_a_page_is_counted_and_timed() {
        let (clock, table, page) = (FaultClock::new(), PageTable::new(1), PageIndex::new(0));
        assert_eq!(clock.request(&table, page), PageState::Missing);
        assert_eq!(clock.request(&table, page), PageState::Requested);
        assert!(clock.has_requests());
        let came = came_after(Instant::now(), Duration::ZERO);
        clock.stop(page, &came);
        let (faults, latency, _) = clock.reading();
        assert_eq!((faults.network, faults.underway), (1, 0));
        assert!(latency.max_ns > 0 && latency.p50_ns <= latency.max_ns);
    }

    #[test]
    fn parts_of_a_latency_add_up_to_it_whatever_the_source_claims() {
        let noticed = Instant::now();
        for waited in [Duration::ZERO, Duration::from_micros(5), Duration::MAX] {
            let mut parts = Parts::default();
            let waiting = Waiting {
                page: PageIndex::new(3),
                noticed,
                asked: Some(noticed + Duration::from_micros(10)),
            };
            parts.add(&waiting, &came_after(noticed, waited));
            let LatencyParts {
                queue_ns,
                wire_ns,
                install_ns,
                wake_ns,
            } = parts.means();
            assert_eq!(queue_ns + wire_ns + install_ns + wake_ns, 135_000);
            assert_eq!((install_ns, wake_ns), (30_000, 5_000));
        }
    }
}
