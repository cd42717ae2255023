//! What the threads of a source share while they send its memory.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::options::SourceOptions;
use crate::order::SendOrder;
use crate::ram::RamMapping;
use crate::source::rounds::Rest;
use crate::source::tally::Tally;
use crate::stop::Stop;

/// The memory on its way: what is left to send, what was sent, and the first thing that failed.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) ram: RamMapping,
    order: Mutex<SendOrder>,
    tally: Mutex<Tally>,
    /// Signalled when the last page is done or something fails.
    changed: Condvar,
    failure: Mutex<Option<Error>>,
    has_failed: AtomicBool,
    stop: Stop,
    /// How long without a fault until nothing is held back any more.
    drain_after: Duration,
}

impl Sending {
    /// Memory of which `rest` is left.
    pub(super) fn new(ram: RamMapping, rest: Rest, options: &SourceOptions, stop: Stop) -> Self {
        let Rest {
            unsent,
            done,
            recency,
        } = rest;
        Self {
            order: Mutex::new(SendOrder::new(unsent, options.plan(), Some(&recency))),
            ram,
            tally: Mutex::new(done),
            changed: Condvar::new(),
            failure: Mutex::default(),
            has_failed: AtomicBool::new(false),
            stop,
            drain_after: options.drain_after,
        }
    }

    /// The order, for as short a time as possible: an urgent page may be waiting for it.
    pub(super) fn order(&self) -> MutexGuard<'_, SendOrder> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds a background connection up as long as pages are held back for demands alone.
    ///
    /// # Errors
    /// If one of the threads failed.
    pub(super) fn wait_quiet(&self) -> Result<()> {
        let faults = self.order().faults();
        let is_done = self.wait_done(self.drain_after)?;
        let mut order = self.order();
        if is_done || order.faults() == faults {
            order.drain();
        }
        Ok(())
    }

    /// What was sent so far.
    pub(super) fn tally(&self) -> Tally {
        *self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what was sent since the last call.
    pub(super) fn add(&self, part: &Tally) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.add(part);
        if tally.done() == self.ram.pages() {
            self.changed.notify_all();
        }
    }

    /// Waits until every page was sent or listed, at most for `limit`, and says whether it was.
    ///
    /// # Errors
    /// If one of the threads failed.
    pub(super) fn wait_done(&self, limit: Duration) -> Result<bool> {
        let tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        let unfinished = |tally: &mut Tally| tally.done() < self.ram.pages() && !self.has_failed();
        let (tally, _) = self
            .changed
            .wait_timeout_while(tally, limit, unfinished)
            .unwrap_or_else(PoisonError::into_inner);
        let done = tally.done() == self.ram.pages();
        if done || !self.has_failed() {
            Ok(done)
        } else {
            Err(Error::Stopped)
        }
    }

    /// Notes why one of the threads failed, if it is the first, and stops all of them. What fails
    /// once every page was sent is only the other end hanging up.
    pub(super) fn fail(&self, error: Error) {
        if matches!(error, Error::Stopped) {
            return;
        }
        let tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        if tally.done() == self.ram.pages() {
            return;
        }
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(error);
        self.has_failed.store(true, Ordering::Release);
        drop(tally);
        self.changed.notify_all();
        self.stop.raise();
    }

    /// Whether the threads are to end.
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }

    /// The first failure of a thread, in place of an `error` that came of it.
    pub(super) fn cause_of(&self, error: Error) -> Error {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        match error {
            Error::Stopped => failure.take().unwrap_or(error),
            error => error,
        }
    }
}
