//! Moves on skiff and on QEMU, side by side: the same probe guest with the same work, over the same link,
//! in turns. What the guest felt is in its own words on both, and what its vCPU waited in the kernel's; time and
//! bytes are what each monitor reports.

mod contest;
mod metric;
mod qemu;
mod qmp;

pub use contest::{Contest, Cost, Shortfall, cells, print};
pub use qemu::Way;
