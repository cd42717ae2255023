//! KVM as skiff uses it: the virtual machine, its interrupt controllers and clock, its vCPUs.

mod dirty;
mod error;
mod hypervisor;
mod vcpu_boot;
mod vcpu_state;
mod vm;
mod vm_state;

pub(crate) use dirty::insert as insert_dirty;
pub use error::KvmError;
pub use hypervisor::Hypervisor;
pub use vcpu_state::{MsrValue, VcpuState};
pub use vm::KvmVm;
pub use vm_state::VmState;
