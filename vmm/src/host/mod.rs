//! What the host can do for a VM: its KVM, userfaultfd, memory and limits.
//!
//! Starting a VM asks only for [`HostKvm`]; `skiff preflight` gathers the whole [`HostReport`].

mod error;
mod kvm;
mod memory;
mod report;
mod userfault;

pub use error::HostError;
pub use kvm::{Capability, HostKvm, KvmKind, Need};
pub use memory::{HostMemory, resident_bytes, total_memory};
pub use report::{Finding, HostReport, Limits, PeerReport, Severity};
pub use userfault::Userfault;
