//! What a machine is before it has any state: enough to build its equal on another host.

use kvm_bindings::kvm_cpuid_entry2;
use serde::{Deserialize, Serialize};

use super::disks::DiskSpec;
use super::nets::NetSpec;
use super::vsock::VsockSpec;
use crate::boot::{RamLayout, VcpuCount};
use crate::bounded::at_most;
use crate::config::BalloonMode;
use crate::host::KvmKind;

/// Most CPUID leaves a vCPU can have (`KVM_MAX_CPUID_ENTRIES` of the kernel).
const CPUID_LEAVES_MAX: usize = 256;

/// All that is needed to build a machine.
#[derive(Debug, Clone)]
pub struct Blueprint {
    /// Number of vCPUs.
    pub vcpus: VcpuCount,
    /// Its RAM.
    pub memory: RamLayout,
    /// Whether it has a memory balloon.
    pub balloon: BalloonMode,
    /// Its disks.
    pub disks: Vec<DiskSpec>,
    /// Its network cards.
    pub nets: Vec<NetSpec>,
    /// Its socket device, if it has one.
    pub vsock: Option<VsockSpec>,
    /// What the guest was booted from, for people.
    pub kernel: String,
    /// Identity of the guest, changed whenever it is duplicated (not when it moves).
    pub generation_id: [u8; 16],
}

/// What a machine is that has its state from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// It is the one, and comes from elsewhere.
    Moved,
    /// It is one copy of perhaps many, and has a generation id of its own.
    Copied {
        /// Pages of its memory that are not zero.
        stored_pages: u64,
    },
}

/// The CPU that a guest was started on, as it saw it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CpuModel {
    /// The kind of KVM: its paravirtual features are not those of another kind.
    pub kvm: KvmKind,
    /// The CPUID leaves of vCPU 0; those of the others differ in topology only.
    #[serde(deserialize_with = "at_most::<CPUID_LEAVES_MAX, _, _>")]
    pub cpuid: Vec<kvm_cpuid_entry2>,
    /// Rate of the time-stamp counter, where KVM tells it.
    pub tsc_khz: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_with_more_leaves_than_kvm_takes_is_refused() {
        // The kind, the number of leaves, each leaf empty, no TSC rate.
        for (count, is_taken) in [([0x80, 2], true), ([0x81, 2], false)] {
            let bytes = [&[1][..], &count, &[0; 258]].concat();
            let cpu = postcard::take_from_bytes::<CpuModel>(&bytes);
            assert_eq!(cpu.is_ok(), is_taken, "{count:?}");
        }
    }
}
