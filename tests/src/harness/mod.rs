//! Driving the real `skiff` binary from tests, demo and benchmark: processes, their consoles, and
//! pairs of monitors between which a VM moves.

mod error;
mod lines;
mod process;
mod vm;

pub use error::HarnessError;
pub use lines::Lines;
pub use process::{Skiff, skiff_binary};
pub use vm::{Host, VmProcess, field};
