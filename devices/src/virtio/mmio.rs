//! The MMIO transport: the registers by which a driver finds, sets up and resets a device
//! (virtio 1.2, section 4.2; without its legacy interface).

use std::fmt;

use virtio_bindings::virtio_config::VIRTIO_F_VERSION_1;
use virtio_bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC};
use vmm_sys_util::eventfd::EventFd;

use super::queue::EventIndex;
use super::status::Status;
use super::{DeviceSignals, DeviceType, QueueIndex, QueueState, VirtioDevice};
use crate::event::new_event;
use crate::{BusDevice, DeviceError, GuestMemory, Interrupt, Misbehaviour};

mod access;
mod lifecycle;
mod refusal;
mod setup;
mod state;
#[cfg(test)]
mod tests;

pub use state::TransportState;

/// How much address space a device takes; our choice: a page, so that a guest can map devices
/// separately.
pub const MMIO_SIZE_BYTES: u64 = 0x1000;

/// Where in it drivers write the index of a queue to kick that queue.
pub const QUEUE_NOTIFY_OFFSET: u64 = super::registers::QUEUE_NOTIFY;

/// The features of ring and transport, the same for every device: a device that is not legacy,
/// and two ways to bother each other less.
const COMMON_FEATURES: u64 =
    1 << VIRTIO_F_VERSION_1 | 1 << VIRTIO_RING_F_INDIRECT_DESC | 1 << VIRTIO_RING_F_EVENT_IDX;

/// A virtio device on a bus, whatever it is: what a machine needs to run, move and watch it.
///
/// One lock guards it. vCPU threads take it for register accesses, the event loop for
/// [`Self::queue_event`], and whoever pauses the machine for the rest.
pub trait VirtioTransport: BusDevice + fmt::Debug {
    /// What the driver takes it for.
    fn device_type(&self) -> DeviceType;

    /// One event per queue, in index order; readable when the queue was kicked. To be registered as
    /// an ioeventfd at [`QUEUE_NOTIFY_OFFSET`] for 32-bit writes
    /// of the queue's index; a kick that takes the long way, through the bus, ends here too.
    fn kicks(&self) -> &[EventFd];

    /// Those of them for which [`Self::queue_event`] is to be called; the others the device watches.
    fn watched_kicks(&self) -> &[EventFd];

    /// Serves a queue whose event is readable, and lowers the event.
    fn queue_event(&mut self, queue: QueueIndex);

    /// Stops the device until [`Self::resume`]; on return it no longer touches guest memory.
    fn pause(&mut self);

    /// Lets a paused or restored device go on: every queue is kicked, and what the driver has not
    /// acknowledged is signalled again. The device touches guest memory from here on.
    fn resume(&mut self);

    /// What is needed to go on elsewhere.
    ///
    /// # Errors
    /// The device is not paused, or its state cannot be encoded.
    fn save(&self) -> Result<TransportState, DeviceError>;

    /// How often the driver did what it must not.
    fn misbehaviour_count(&self) -> u64;
}

/// A device behind the registers of virtio-mmio.
#[derive(Debug)]
pub struct MmioTransport<D> {
    device: D,
    memory: GuestMemory,
    signals: DeviceSignals,
    registers: Registers,
    mode: Mode,
    is_running: bool,
    misbehaviour: Misbehaviour,
}

/// Whether the machine lets its devices run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Resumed,
    Paused,
}

/// What the driver has written, and the positions of queues while the device is stopped.
#[derive(Debug)]
struct Registers {
    status: Status,
    device_features_sel: u32,
    driver_features_sel: u32,
    driver_features: u64,
    queue_sel: u32,
    queues: Vec<QueueState>,
}

impl Registers {
    /// As a driver finds them in a fresh device.
    fn of(device: &impl VirtioDevice) -> Self {
        Self {
            status: Status::default(),
            device_features_sel: 0,
            driver_features_sel: 0,
            driver_features: 0,
            queue_sel: 0,
            queues: device
                .queue_max_sizes()
                .iter()
                .map(|max| QueueState::unused(*max))
                .collect(),
        }
    }

    fn event_index(&self) -> EventIndex {
        if self.driver_features & (1 << VIRTIO_RING_F_EVENT_IDX) == 0 {
            EventIndex::Absent
        } else {
            EventIndex::Negotiated
        }
    }
}

impl<D: VirtioDevice> MmioTransport<D> {
    /// Makes a device as a driver finds it after power-on.
    ///
    /// # Errors
    /// The kernel gives no event descriptor.
    pub fn new(device: D, memory: GuestMemory, interrupt: Interrupt) -> Result<Self, DeviceError> {
        let kicks: Result<_, _> = device
            .queue_max_sizes()
            .iter()
            .map(|_| new_event())
            .collect();
        Ok(Self {
            registers: Registers::of(&device),
            device,
            memory,
            signals: DeviceSignals::new(interrupt, kicks?),
            mode: Mode::Resumed,
            is_running: false,
            misbehaviour: Misbehaviour::default(),
        })
    }

    /// The device behind the registers.
    #[cfg(test)]
    pub(crate) fn device(&self) -> &D {
        &self.device
    }

    fn offered_features(&self) -> u64 {
        COMMON_FEATURES | self.device.features()
    }
}
