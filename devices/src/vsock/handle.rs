//! A socket device as those see it who watch it, and as its parts share it.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{GuestCid, VsockCounters, VsockListener};
use crate::Misbehaviour;

/// A socket device; clones mean the same one.
#[derive(Clone, Debug)]
pub struct VsockHandle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    cid: GuestCid,
    listener: VsockListener,
    counters: Mutex<VsockCounters>,
    misbehaviour: Mutex<Misbehaviour>,
}

impl VsockHandle {
    pub(super) fn new(cid: GuestCid, listener: VsockListener) -> Self {
        Self(Arc::new(Shared {
            cid,
            listener,
            counters: Mutex::default(),
            misbehaviour: Mutex::default(),
        }))
    }

    /// The guest's address.
    #[must_use]
    pub fn cid(&self) -> GuestCid {
        self.0.cid
    }

    /// Where programs of this host connect to the guest.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.listener.path()
    }

    /// Has programs of this host find the guest, which is about to run here. If that fails, it says so: the
    /// guest runs without.
    pub fn settle_in(&self) {
        if let Err(error) = self.0.listener.take_place() {
            let remedy = error.remedy();
            log::warn!("no program of this host can connect to the guest: {error}; {remedy}");
        }
    }

    /// Removes the socket, for a process that ends without dropping the device.
    pub fn withdraw(&self) {
        self.0.listener.withdraw();
    }

    pub(super) fn listener(&self) -> &VsockListener {
        &self.0.listener
    }

    /// What it has done so far.
    #[must_use]
    pub fn counters(&self) -> VsockCounters {
        *lock(&self.0.counters)
    }

    pub(super) fn set_counters(&self, counters: VsockCounters) {
        *lock(&self.0.counters) = counters;
    }

    pub(super) fn count(&self, more: VsockCounters) {
        lock(&self.0.counters).add(more);
    }

    pub(super) fn complain(&self, what: &dyn fmt::Display) {
        lock(&self.0.misbehaviour).note(&"vsock", what);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
