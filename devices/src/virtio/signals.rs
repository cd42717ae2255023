//! How a device reaches its driver, by an interrupt, and itself, by kicking its own queues.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vmm_sys_util::eventfd::EventFd;

use super::QueueIndex;
use crate::event::{lower, raise};
use crate::{DeviceError, Interrupt};

/// Used buffers are waiting (virtio 1.2, section 4.2.2, InterruptStatus).
const USED_BUFFERS: u32 = 1 << 0;
/// The configuration changed.
const CONFIG_CHANGED: u32 = 1 << 1;

/// A handle on a device's interrupt, what it is about, and the events of its queues.
///
/// Clones mean the same device; any thread may signal.
#[derive(Clone, Debug)]
pub struct DeviceSignals(Arc<Lines>);

#[derive(Debug)]
struct Lines {
    interrupt: Interrupt,
    status: AtomicU32,
    config_generation: AtomicU32,
    kicks: Vec<EventFd>,
    failure: Mutex<Option<DeviceError>>,
}

impl DeviceSignals {
    /// The bits that [`Self::status`] can have.
    pub(super) const STATUS_BITS: u32 = USED_BUFFERS | CONFIG_CHANGED;

    pub(super) fn new(interrupt: Interrupt, kicks: Vec<EventFd>) -> Self {
        Self(Arc::new(Lines {
            interrupt,
            status: AtomicU32::new(0),
            config_generation: AtomicU32::new(0),
            kicks,
            failure: Mutex::new(None),
        }))
    }

    /// Tells the driver that there are used buffers. [`VirtQueue::serve`](super::VirtQueue::serve)
    /// does it where the driver wants it.
    pub fn used_buffers(&self) {
        self.raise(USED_BUFFERS);
    }

    /// Tells the driver that the configuration space, or the device's status, has changed.
    pub fn config_changed(&self) {
        self.0.config_generation.fetch_add(1, Ordering::SeqCst);
        self.raise(CONFIG_CHANGED);
    }

    /// Kicks a queue as its driver would: the device is soon called to process it. This is how
    /// other threads make a device do something with a queue. A queue that does not exist is not
    /// kicked.
    pub fn kick(&self, queue: QueueIndex) {
        if let Some(kick) = self.0.kicks.get(usize::from(queue.0)) {
            raise(kick);
        }
    }

    /// The event that is raised when a queue is kicked, for a device that serves the queue itself.
    pub fn kick_event(&self, queue: QueueIndex) -> Option<&EventFd> {
        self.0.kicks.get(usize::from(queue.0))
    }

    /// Gives the device up, on a thread of its own that found its queue broken: the driver is told
    /// that the device needs a reset.
    pub fn fail(&self, error: DeviceError) {
        *self.failure() = Some(error);
        // The driver looks at the registers, and the transport finds the failure before it answers.
        self.config_changed();
    }

    /// Why a thread of the device has given it up, if it has; told once.
    pub(super) fn take_failure(&self) -> Option<DeviceError> {
        self.failure().take()
    }

    fn failure(&self) -> MutexGuard<'_, Option<DeviceError>> {
        self.0
            .failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn kicks(&self) -> &[EventFd] {
        &self.0.kicks
    }

    pub(super) fn status(&self) -> u32 {
        self.0.status.load(Ordering::SeqCst)
    }

    pub(super) fn acknowledge(&self, bits: u32) {
        self.0.status.fetch_and(!bits, Ordering::SeqCst);
    }

    pub(super) fn config_generation(&self) -> u32 {
        self.0.config_generation.load(Ordering::SeqCst)
    }

    /// As after power-on: nothing is pending, in either direction.
    pub(super) fn reset(&self) {
        self.set(0, 0);
        *self.failure() = None;
        self.0.kicks.iter().for_each(lower);
    }

    pub(super) fn set(&self, status: u32, config_generation: u32) {
        self.0.status.store(status, Ordering::SeqCst);
        self.0
            .config_generation
            .store(config_generation, Ordering::SeqCst);
    }

    /// Raises the interrupt again for what the driver has not acknowledged yet.
    pub(super) fn repeat(&self) {
        if self.status() != 0 {
            self.0.interrupt.trigger();
        }
    }

    /// The bit comes first: the interrupt handler looks at it.
    fn raise(&self, bit: u32) {
        self.0.status.fetch_or(bit, Ordering::SeqCst);
        self.0.interrupt.trigger();
    }
}
