//! The benchmark of devices: what a guest gets out of a disk, next to QEMU and to what the host itself
//! gets out of the same file, in the same run.
//!
//! The guest is the probe on either monitor, with the same driver: a queue in which it keeps so many reads
//! under way, without interrupts, and never asleep. The file is in the host's page cache, so that what is
//! compared is the monitors' work and no disk's.

pub mod disk;
mod monitor;

pub use monitor::Monitor;
