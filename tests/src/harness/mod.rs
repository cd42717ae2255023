//! Driving the real `skiff` binary from tests, demo and benchmark: processes, their consoles, and
//! pairs of monitors between which a VM moves.

mod error;
mod leavings;
mod lines;
mod network;
mod process;
mod qemu;
mod report;
mod vm;

pub use error::HarnessError;
pub use leavings::remove_on_signal;
pub use lines::Lines;
pub use network::Network;
pub use process::{Skiff, skiff_binary};
pub use qemu::Qemu;
pub use report::contradiction;
pub use vm::{Host, VmProcess, field};
