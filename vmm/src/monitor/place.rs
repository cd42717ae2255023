//! The place for the one guest of this process: empty until it boots or arrives.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use migration::CancelToken;

use crate::machine::Machine;

/// What else is going on with the guest.
#[derive(Debug, Clone, Default)]
pub(super) enum Activity {
    /// Nothing.
    #[default]
    None,
    /// It runs here, and some of its pages are still at the source.
    Arriving,
    /// It is on its way to another monitor, unless the token is pulled.
    Leaving(CancelToken),
}

/// The guest and what is going on with it.
#[derive(Debug, Default)]
pub(super) struct Tenant {
    pub(super) machine: Option<Arc<Machine>>,
    pub(super) activity: Activity,
}

/// Shared by the event loop and the threads that move the guest.
#[derive(Debug, Clone, Default)]
pub(super) struct Place(Arc<Mutex<Tenant>>);

impl Place {
    pub(super) fn lock(&self) -> MutexGuard<'_, Tenant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn machine(&self) -> Option<Arc<Machine>> {
        self.lock().machine.clone()
    }

    pub(super) fn settle(&self) {
        self.lock().activity = Activity::None;
    }
}
