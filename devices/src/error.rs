//! Everything that can fail in this crate.

use std::io;

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
}
