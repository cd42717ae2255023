//! The wire from a device to the interrupt controller.

use std::convert::Infallible;

use vm_superio::Trigger;
use vmm_sys_util::eventfd::EventFd;

use crate::DeviceError;
use crate::event::{new_event, raise};

/// An edge-triggered interrupt line: an eventfd that the machine connects as an irqfd.
///
/// Edges that nobody has taken yet merge into one. It must be connected before a device is
/// restored: a device that waits for the guest raises its interrupt at once.
#[derive(Debug)]
pub struct Interrupt(EventFd);

impl Interrupt {
    /// Makes a line that is connected to nothing yet.
    ///
    /// # Errors
    /// The kernel gives no event descriptor.
    pub fn new() -> Result<Self, DeviceError> {
        new_event().map(Self)
    }

    /// Raises one edge; any thread may.
    pub fn trigger(&self) {
        raise(&self.0);
    }

    /// The descriptor to register as an irqfd. It stays owned by the line.
    pub fn event(&self) -> &EventFd {
        &self.0
    }

    /// A second handle on the same line.
    ///
    /// # Errors
    /// The kernel gives no event descriptor.
    pub fn try_clone(&self) -> Result<Self, DeviceError> {
        self.0
            .try_clone()
            .map(Self)
            .map_err(DeviceError::CreateEvent)
    }
}

impl Trigger for Interrupt {
    type E = Infallible;

    fn trigger(&self) -> Result<(), Infallible> {
        Interrupt::trigger(self);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interrupt_triggered_twice_is_pending_through_every_handle() {
        let interrupt = Interrupt::new().unwrap();
        let clone = interrupt.try_clone().unwrap();
        clone.trigger();
        interrupt.trigger();
        assert_eq!(interrupt.event().read().unwrap(), 2);
        assert!(clone.event().read().is_err());
    }

    #[test]
    fn interrupt_with_a_full_counter_stays_pending() {
        let interrupt = Interrupt::new().unwrap();
        interrupt.event().write(u64::MAX - 1).unwrap();
        interrupt.trigger();
        assert_eq!(interrupt.event().read().unwrap(), u64::MAX - 1);
    }
}
