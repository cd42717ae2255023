//! What a machine is before it has any state: enough to build its equal on another host.

use kvm_bindings::kvm_cpuid_entry2;
use serde::{Deserialize, Serialize};

use crate::boot::{RamLayout, VcpuCount};
use crate::host::KvmKind;

/// All that is needed to build a machine.
#[derive(Debug, Clone)]
pub struct Blueprint {
    /// Number of vCPUs.
    pub vcpus: VcpuCount,
    /// Its RAM.
    pub memory: RamLayout,
    /// What the guest was booted from, for people.
    pub kernel: String,
    /// Identity of the guest, changed whenever it is duplicated (not when it moves).
    pub generation_id: [u8; 16],
}

/// The CPU that a guest was started on, as it saw it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CpuModel {
    /// The kind of KVM: its paravirtual features are not those of another kind.
    pub kvm: KvmKind,
    /// The CPUID leaves of vCPU 0; those of the others differ in topology only.
    pub cpuid: Vec<kvm_cpuid_entry2>,
    /// Rate of the time-stamp counter, where KVM tells it.
    pub tsc_khz: Option<u32>,
}
