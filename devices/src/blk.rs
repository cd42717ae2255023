//! The block device (virtio 1.2, section 5.2): a disk whose content is a raw image file or a block
//! device of the host.
//!
//! ```text
//! driver --kick--> thread `disk`: take chains, parse them, hand runs of them over --engine--> storage
//! driver <-interrupt-- thread `disk`: put them back, in whatever order they are done <--engine-- storage
//! ```
//! The engine is the kernel's io_uring or, where the kernel has none, a few threads `disk-io`.
//!
//! While the thread is at work it wants no kicks, and a guest that asks again within some microseconds is
//! waited for.
//!
//! Neither vCPUs nor the event loop wait for the host's storage: the threads of a disk do, for as long as
//! the device runs. To stop them is to wait for the requests that were begun; those that were not taken are
//! still in the ring, which is all there is to save of them.

mod config;
mod counters;
mod device;
mod engine;
mod error;
mod handle;
mod image;
mod lock;
mod polling;
mod pool;
mod request;
mod ring;
mod run;
mod server;
#[cfg(test)]
mod tests;
mod vectored;
mod worker;

pub use counters::DiskCounters;
pub use device::{Blk, BlkState};
pub use error::DiskError;
pub use handle::{DiskHandle, DiskSerial};
pub use image::{Access, Discards, DiskImage, DiskKind, DiskShape};
pub use lock::Hold;

/// The unit of addresses and lengths, whatever the block size (section 5.2.2).
pub const SECTOR_BYTES: u64 = 512;
