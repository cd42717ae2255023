//! How a device reaches its driver: the interrupt, and what it was about.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::Interrupt;

/// Used buffers are waiting (virtio 1.2, section 4.2.2, InterruptStatus).
const USED_BUFFERS: u32 = 1 << 0;
/// The configuration changed.
const CONFIG_CHANGED: u32 = 1 << 1;

/// A handle on a device's interrupt, its status bits and its configuration generation.
///
/// Clones mean the same device; any thread may signal.
#[derive(Clone, Debug)]
pub struct DeviceSignals(Arc<Lines>);

#[derive(Debug)]
struct Lines {
    interrupt: Interrupt,
    status: AtomicU32,
    config_generation: AtomicU32,
}

impl DeviceSignals {
    /// The bits that [`Self::status`] can have.
    pub(super) const STATUS_BITS: u32 = USED_BUFFERS | CONFIG_CHANGED;

    pub(super) fn new(interrupt: Interrupt) -> Self {
        let (status, config_generation) = (AtomicU32::new(0), AtomicU32::new(0));
        Self(Arc::new(Lines {
            interrupt,
            status,
            config_generation,
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

    pub(super) fn status(&self) -> u32 {
        self.0.status.load(Ordering::SeqCst)
    }

    pub(super) fn acknowledge(&self, bits: u32) {
        self.0.status.fetch_and(!bits, Ordering::SeqCst);
    }

    pub(super) fn config_generation(&self) -> u32 {
        self.0.config_generation.load(Ordering::SeqCst)
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
