//! The place for the one guest of this process: empty until it boots or arrives.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use migration::{CancelToken, Haste};

use crate::control::MigrationInfo;
use crate::machine::Machine;

/// How often an errand that waits for an arrival looks whether it was called off.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// What else is going on with the guest.
///
/// ```text
/// Arriving --all is here--> None --errand--> Busy --guest stays--> None
///     \--errand--> ArrivingFirst --all is here--> Busy
/// ```
#[derive(Debug, Clone, Default)]
pub(super) enum Activity {
    /// Nothing.
    #[default]
    None,
    /// It runs here, and some of its pages are still at the source.
    Arriving,
    /// The same, and the errand begins when it has all of them, unless the token is pulled. Passing
    /// pages on that are missing would need the first source until the end of the second move, and
    /// two links to be up at once.
    ArrivingFirst(Errand, CancelToken),
    /// The errand is under way, unless the token is pulled.
    Busy(Errand, CancelToken),
}

/// What one client at a time may have done with a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Errand {
    /// It moves to another monitor.
    Move,
    /// A snapshot of it is written.
    Snapshot,
}

/// An errand that was called off before it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cancelled;

/// The guest and what is going on with it.
#[derive(Debug, Default)]
pub(super) struct Tenant {
    pub(super) machine: Option<Arc<Machine>>,
    pub(super) activity: Activity,
    /// The migration that is under way, as it was told last.
    pub(super) migration: Option<MigrationInfo>,
    /// With what a guest that comes out of a snapshot is hurried.
    pub(super) haste: Option<Haste>,
}

/// Shared by the event loop and the threads that move the guest.
#[derive(Debug, Clone, Default)]
pub(super) struct Place(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    tenant: Mutex<Tenant>,
    /// Signalled when an arrival is complete.
    arrived: Condvar,
}

impl Place {
    pub(super) fn lock(&self) -> MutexGuard<'_, Tenant> {
        self.0.tenant.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn machine(&self) -> Option<Arc<Machine>> {
        self.lock().machine.clone()
    }

    /// The errand is over, and the guest is here; if pages of it are missing, they go on arriving.
    pub(super) fn settle(&self) {
        let mut tenant = self.lock();
        match tenant.activity {
            Activity::ArrivingFirst(..) => tenant.activity = Activity::Arriving,
            Activity::None | Activity::Arriving | Activity::Busy(..) => {
                tenant.activity = Activity::None;
                tenant.migration = None;
            }
        }
    }

    /// Nothing came of the guest that was on its way here.
    pub(super) fn forget_migration(&self) {
        self.lock().migration = None;
    }

    /// A migration is this far.
    pub(super) fn tell(&self, migration: MigrationInfo) {
        self.lock().migration = Some(migration);
    }

    /// The guest has all of its memory here.
    pub(super) fn arrived(&self) {
        let mut tenant = self.lock();
        tenant.migration = None;
        tenant.activity = match std::mem::take(&mut tenant.activity) {
            Activity::ArrivingFirst(errand, token) => Activity::Busy(errand, token),
            Activity::Busy(..) | Activity::Arriving | Activity::None => Activity::None,
        };
        drop(tenant);
        self.0.arrived.notify_all();
    }

    /// Whether pages of the guest are missing.
    pub(super) fn is_arriving(&self) -> bool {
        matches!(
            self.lock().activity,
            Activity::Arriving | Activity::ArrivingFirst(..)
        )
    }

    /// Waits until a guest with which something is to be done has all of its memory here, and has
    /// nothing of it held back any longer.
    ///
    /// # Errors
    /// If that was called off before; the guest goes on arriving.
    pub(super) fn wait_arrived(&self, cancel: &CancelToken) -> Result<(), Cancelled> {
        let mut tenant = self.lock();
        if let Some(haste) = &tenant.haste {
            haste.hurry();
        }
        while matches!(tenant.activity, Activity::ArrivingFirst(..)) {
            if cancel.is_cancelled() {
                tenant.activity = Activity::Arriving;
                return Err(Cancelled);
            }
            let (locked, _) = self
                .0
                .arrived
                .wait_timeout(tenant, LOOK_INTERVAL)
                .unwrap_or_else(PoisonError::into_inner);
            tenant = locked;
        }
        Ok(())
    }
}
