//! A vCPU: its thread, the commands the thread obeys, and what it does with each KVM exit.
//!
//! ```text
//!            resume                     stop
//!   Paused ---------> Running   any ---------> thread ends
//!     ^   <---------    |
//!     |      pause      | an exit nobody can handle
//!     +-----------------+ (reported to the event loop)
//! ```

mod diagnosis;
mod exits;
mod handle;
mod kick;
mod thread;

pub use diagnosis::{Diagnosis, FatalExit};
pub use handle::{Pending, VcpuError, VcpuHandle};
pub use thread::FatalSink;

use std::sync::Arc;

use devices::Bus;
use kvm_ioctls::VcpuFd;

use crate::kvm::KvmVm;
use crate::memory::GuestRam;

/// What every vCPU of a machine reaches: the KVM machine, RAM, and the buses.
#[derive(Debug)]
pub struct VcpuContext {
    /// The machine, to read and write vCPU state.
    pub vm: Arc<KvmVm>,
    /// Guest RAM, to show the instruction at a fatal exit.
    pub ram: GuestRam,
    /// Port I/O.
    pub ports: Bus,
    /// Memory-mapped I/O.
    pub mmio: Bus,
}

/// A vCPU before its thread runs: set up by the boot path or from a saved state.
#[derive(Debug)]
pub struct Vcpu {
    /// Its number, which is also its APIC id.
    pub index: u32,
    /// The KVM object.
    pub fd: VcpuFd,
}
