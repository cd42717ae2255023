//! Driving the real `skiff` binary from tests, demo and benchmark: processes, their consoles, and
//! pairs of monitors between which a VM moves.

mod datagram;
mod error;
mod image;
mod key;
mod leavings;
mod lines;
mod network;
mod process;
mod report;
mod vm;

pub use datagram::{Numberer, PORT as DATAGRAM_PORT, number_of};
pub use error::{HarnessError, complain, exit_code};
pub use image::write_numbered_image;
pub use key::write_key;
pub use leavings::remove_on_signal;
pub use lines::Lines;
pub use network::{Network, TOKEN_BUCKET};
pub use process::{Process, qemu_version, skiff_binary};
pub use report::contradiction;
pub use vm::{Host, VmProcess, field};
