//! Virtio devices: the MMIO transport and the contract with the devices behind it (virtio 1.2).
//!
//! A device is its queues and its configuration space, a [`VirtioDevice`]; everything a driver
//! does before and after that is [`MmioTransport`]. A device either runs, and then it owns its
//! queues, or it does not, and then the transport keeps their positions. Pausing, saving, resetting
//! and breaking all mean the same to it: stop, and give the queues back. There is no third way.

mod chain;
mod device;
#[cfg(any(test, feature = "test-utils"))]
pub mod fake_driver;
mod mmio;
mod queue;
mod registers;
mod signals;
mod status;
mod thread;

pub(crate) use chain::GuestRanges;
pub use chain::{Chain, GuestRange};
pub use device::{
    Activation, DeviceType, Progress, QueueIndex, Service, VirtioDevice, read_config_bytes,
};
pub use mmio::{
    MMIO_SIZE_BYTES, MmioTransport, QUEUE_NOTIFY_OFFSET, TransportState, VirtioTransport,
};
pub use queue::{QueueState, Queues, VirtQueue};
pub use signals::DeviceSignals;
pub(crate) use thread::{Orders, QueueThread};
