//! Everything that can fail in this crate.

use std::io;

use vm_memory::{GuestAddress, GuestMemoryError};

use crate::net::{InterfaceName, MacAddress};
use crate::virtio::DeviceType;
use crate::vsock::GuestCid;

/// An operation on a device that failed.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The kernel gave no event descriptor.
    #[error("cannot create an event descriptor")]
    CreateEvent(#[source] io::Error),

    /// A range on a bus is empty or runs past the end of the address space.
    #[error("bus range {base:#x}+{size_bytes:#x} is empty or does not fit the address space")]
    InvalidBusRange {
        /// The first address of the range.
        base: u64,
        /// Its length.
        size_bytes: u64,
    },

    /// Two devices claim the same address.
    #[error("bus range {base:#x}+{size_bytes:#x} overlaps the device at {other_base:#x}")]
    BusRangeTaken {
        /// The first address of the refused range.
        base: u64,
        /// Its length.
        size_bytes: u64,
        /// The first address of the device that is there already.
        other_base: u64,
    },

    /// The thread that writes serial output did not start.
    #[error("cannot start the thread that writes serial output")]
    StartSerialOutput(#[source] io::Error),

    /// The sink of the serial output did not take everything in time.
    #[error("serial output has {pending_bytes} bytes that its sink does not take")]
    SerialOutputStalled {
        /// What is still queued.
        pending_bytes: usize,
    },

    /// A saved serial port holds more input than its FIFO does.
    #[error("saved serial port has {len_bytes} bytes of input, more than its FIFO holds")]
    SerialInputTooLong {
        /// What the state claims.
        len_bytes: usize,
    },

    /// The driver broke a ring.
    #[error("virtqueue is broken")]
    Ring(#[source] virtio_queue::Error),

    /// A part of a ring is not in guest RAM.
    #[error("part of a ring at {address:#x}+{len_bytes:#x} is not in guest memory")]
    RingOutsideMemory {
        /// Where it would begin.
        address: u64,
        /// How long it would be.
        len_bytes: u64,
    },

    /// A queue's positions are further apart than it has descriptors.
    #[error("ring of {size} cannot be at {next_available} available and {next_used} used")]
    RingPositions {
        /// The next entry to take.
        next_available: u16,
        /// The next entry to return.
        next_used: u16,
        /// The number of descriptors.
        size: u16,
    },

    /// A descriptor chain has no proper end.
    #[error("descriptor chain {head} does not end")]
    ChainBroken {
        /// Its first descriptor.
        head: u16,
    },

    /// A descriptor chain is longer than anything a driver needs.
    #[error("descriptor chain {head} is too long")]
    ChainTooLong {
        /// Its first descriptor.
        head: u16,
    },

    /// A descriptor chain has something to read after something to write.
    #[error("descriptor chain {head} is out of order")]
    ChainOutOfOrder {
        /// Its first descriptor.
        head: u16,
    },

    /// A descriptor refers to what is not guest RAM.
    #[error("descriptor chain {head} refers to {address:?}+{len_bytes:#x}, not guest memory")]
    ChainOutsideMemory {
        /// The chain's first descriptor.
        head: u16,
        /// Where the buffer would begin.
        address: GuestAddress,
        /// How long it would be.
        len_bytes: u32,
    },

    /// A driver has offered something for frames or packets that cannot hold any.
    #[error("descriptor chain {head} is no buffer for what the device receives")]
    NoReceiveBuffer {
        /// Its first descriptor.
        head: u16,
    },

    /// Guest RAM could not be read or written.
    #[error("cannot access guest memory")]
    AccessMemory(#[source] GuestMemoryError),

    /// The thread of a device did not start.
    #[error("cannot start the thread `{name}` of a device")]
    StartThread {
        /// What the device is.
        name: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },

    /// The kernel gives no queues for many requests at a time, or takes none.
    #[error("cannot use io_uring")]
    SetUpRing(#[source] io::Error),

    /// A network interface of the host does not do what its driver wants of it.
    #[error("cannot set up the network interface `{name}`")]
    SetUpTap {
        /// The interface.
        name: InterfaceName,
        /// Why.
        #[source]
        source: io::Error,
    },

    /// The saved card had another address.
    #[error("saved network card has the address {found}, not {expected}")]
    SavedAddress {
        /// The address in the state.
        found: MacAddress,
        /// That of the card here.
        expected: MacAddress,
    },

    /// The saved socket device was of another guest.
    #[error("saved socket device is of the guest {found}, not {expected}")]
    SavedCid {
        /// The address in the state.
        found: GuestCid,
        /// That of the guest here.
        expected: GuestCid,
    },

    /// A thread could not wait for its queue to be kicked.
    #[error("cannot wait for a kick of a queue")]
    WaitForKick(#[source] io::Error),

    /// The host has no random bytes to give.
    #[error("cannot draw random bytes from the host")]
    DrawEntropy(#[source] io::Error),

    /// A device's state was asked for while it could change.
    #[error("virtio device of type {} must be paused before it is saved", device_type.0)]
    SaveWhileRunning {
        /// The device.
        device_type: DeviceType,
    },

    /// A device's state could not be put into bytes.
    #[error("cannot encode the state of the virtio device of type {}", device_type.0)]
    EncodeState {
        /// The device.
        device_type: DeviceType,
        /// Why.
        #[source]
        source: postcard::Error,
    },

    /// The bytes of a device's state are not one.
    #[error("cannot decode the state of the virtio device of type {}", device_type.0)]
    DecodeState {
        /// The device.
        device_type: DeviceType,
        /// Why.
        #[source]
        source: postcard::Error,
    },

    /// The state was saved by a device of another kind.
    #[error("saved device has type {found}, not {}", expected.0)]
    StateOfOtherDevice {
        /// The device to restore.
        expected: DeviceType,
        /// The type in the state.
        found: u32,
    },

    /// No sequence of steps leads to the saved status.
    #[error("saved device has the impossible status {status:#x}")]
    SavedStatus {
        /// The status register.
        status: u32,
    },

    /// The driver has agreed with the saved device on what this one does not offer.
    #[error("saved device uses features {features:#x}, but only {offered:#x} are offered here")]
    SavedFeatures {
        /// What the driver uses.
        features: u64,
        /// What the device offers.
        offered: u64,
    },

    /// The saved disk was longer or shorter.
    #[error("saved disk has {found} sectors, not {expected}")]
    SavedCapacity {
        /// Sectors in the state.
        found: u64,
        /// Sectors of the disk here.
        expected: u64,
    },

    /// The saved interrupt status has bits that mean nothing.
    #[error("saved device has the impossible interrupt status {interrupt_status:#x}")]
    SavedInterruptStatus {
        /// The interrupt status register.
        interrupt_status: u32,
    },

    /// The saved device has more or fewer queues.
    #[error("saved device has {found} queues, not {expected}")]
    SavedQueueCount {
        /// Queues in the state.
        found: usize,
        /// Queues of the device.
        expected: usize,
    },

    /// A device of another crate gave up, for a reason of its own.
    #[error("virtio device of type {} cannot go on", device_type.0)]
    Device {
        /// The device.
        device_type: DeviceType,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
