//! The benchmark of devices: what a guest gets out of a disk and a network card, next to QEMU and to what the
//! host itself gets out of the same file and interface, in the same run.
//!
//! The guest is the probe on either monitor, with the same driver: a queue in which it keeps so much under
//! way, without interrupts, and never asleep.

pub mod disk;
mod monitor;
pub mod net;
mod table;

pub use monitor::Monitor;
pub use table::{Row, Title, print};
