//! Device models that know neither KVM nor migration: buses, serial, reset, virtio-mmio, disks,
//! network cards and sockets.
//!
//! Whoever builds a machine decodes addresses with [`Bus`], wires each [`Interrupt`] to its
//! controller, and watches the event descriptors that the devices hand out. Everything a guest
//! writes is hostile: it is bounded, checked, counted and at most logged a few dozen times.

use vm_memory::GuestMemoryMmap;
use vm_memory::bitmap::AtomicBitmap;

pub mod blk;
mod bus;
mod error;
mod event;
mod interrupt;
pub mod local_socket;
mod misbehaviour;
pub mod net;
mod pieces;
mod power;
mod rate;
mod rng;
mod serial;
pub mod virtio;
pub mod vsock;

pub use bus::{Bus, BusDevice};
pub use error::DeviceError;
pub use interrupt::Interrupt;
pub use misbehaviour::Misbehaviour;
pub use power::{AcpiPowerPorts, GuestRequest, GuestRequestLine, ResetPort};
pub use rate::RateLimit;
pub use rng::Rng;
pub use serial::{SerialOutput, SerialPort, SerialState};

/// The guest's RAM as devices see it: every write through it marks the pages it dirties.
pub type GuestMemory = GuestMemoryMmap<AtomicBitmap>;
