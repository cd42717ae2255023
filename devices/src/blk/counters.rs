//! What a disk has done so far, counted while it runs and moved with it.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// Counts of what a driver asked of a disk since the guest booted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskCounters {
    /// Requests that were read.
    pub reads: u64,
    /// Requests that were written.
    pub writes: u64,
    /// Requests to have what was written on stable storage.
    pub flushes: u64,
    /// Requests to discard ranges or to have them read as zeroes.
    pub discards: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Requests that failed, whoever was to blame.
    pub errors: u64,
}

/// The same as they grow; each stands for itself, so their order does not matter.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) reads: AtomicU64,
    pub(super) writes: AtomicU64,
    pub(super) flushes: AtomicU64,
    pub(super) discards: AtomicU64,
    pub(super) read_bytes: AtomicU64,
    pub(super) written_bytes: AtomicU64,
    pub(super) errors: AtomicU64,
}

impl Counters {
    /// What they are now.
    pub(super) fn get(&self) -> DiskCounters {
        let Self {
            reads,
            writes,
            flushes,
            discards,
            read_bytes,
            written_bytes,
            errors,
        } = self;
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        DiskCounters {
            reads: get(reads),
            writes: get(writes),
            flushes: get(flushes),
            discards: get(discards),
            read_bytes: get(read_bytes),
            written_bytes: get(written_bytes),
            errors: get(errors),
        }
    }

    /// Goes on from `counters`.
    pub(super) fn set(&self, counters: DiskCounters) {
        let DiskCounters {
            reads,
            writes,
            flushes,
            discards,
            read_bytes,
            written_bytes,
            errors,
        } = counters;
        for (counter, value) in [
            (&self.reads, reads),
            (&self.writes, writes),
            (&self.flushes, flushes),
            (&self.discards, discards),
            (&self.read_bytes, read_bytes),
            (&self.written_bytes, written_bytes),
            (&self.errors, errors),
        ] {
            counter.store(value, Ordering::Relaxed);
        }
    }
}

/// Counts `amount` more; wraps after more than any disk can do.
pub(super) fn count(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}
