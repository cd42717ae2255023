//! The thread that serves the faults of a guest that is being resumed.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use userfaultfd::EventBuffer;

use crate::bitmap::PageBitmap;
use crate::destination::Stage;
use crate::error::Result;
use crate::latencies::Latencies;
use crate::page::PageIndex;
use crate::report::Latency;
use crate::resume::inflow::{Inflow, Served};
use crate::stop::{Woken, wait};

/// Faults read at a time. Our choice: more than a VM has vCPUs.
const MAX_EVENTS: usize = 64;

/// The pages that were waited for.
#[derive(Debug)]
pub(super) struct FaultLog {
    count: u64,
    latencies: Latencies,
    touched: Option<PageBitmap>,
}

impl FaultLog {
    /// Notes pages in `touched`, if there is one.
    pub(super) fn new(touched: Option<PageBitmap>) -> Self {
        Self {
            count: 0,
            latencies: Latencies::new(),
            touched,
        }
    }

    /// `page` was waited for, if it was not being brought for as long as `latency`; whether that
    /// `is_early` decides if the page belongs to the working set.
    pub(super) fn note(&mut self, page: PageIndex, latency: Option<Duration>, is_early: bool) {
        self.count += 1;
        if let Some(latency) = latency {
            self.latencies.record(latency);
        }
        if let Some(touched) = self.touched.as_mut().filter(|_| is_early) {
            touched.insert(page);
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn latency(&self) -> Latency {
        self.latencies.summary()
    }

    pub(super) fn touched(&self) -> Option<&PageBitmap> {
        self.touched.as_ref()
    }
}

/// Brings pages that are touched before they are here, until the resume is over.
///
/// It never touches guest RAM and waits for no lock that another holds while it does, so that whoever
/// does can count on it.
pub(super) fn serve_faults(inflow: &Inflow) -> Result<()> {
    let mut stage = Stage::new()?;
    let mut events = EventBuffer::new(MAX_EVENTS);
    let mut pages = Vec::with_capacity(MAX_EVENTS);
    let mut runs = Vec::new();
    while wait(inflow.region.as_fd(), PollFlags::IN, &inflow.stop, None)? == Woken::Ready {
        let noticed = Instant::now();
        inflow.region.read_faults(&mut events, &mut pages)?;
        for &page in &pages {
            match inflow.serve(page, &mut runs, &mut stage)? {
                Served::Zero => {}
                Served::Underway => inflow.note_fault(page, None),
                Served::Brought => inflow.note_fault(page, Some(noticed.elapsed())),
            }
        }
    }
    Ok(())
}
