//! The CPUID of a guest: the host's, as KVM supports it, made fit for one vCPU of a small machine.
//!
//! Sources: Intel SDM volume 2, "CPUID"; AMD APM volume 3, appendix E; Linux
//! Documentation/virt/kvm/x86/cpuid.rst. All leaves that are not named here stay as KVM gave them.

mod features;
mod flags;
mod topology;

use kvm_bindings::{CpuId, KVM_CPUID_FLAG_SIGNIFCANT_INDEX, kvm_cpuid_entry2};

use super::vcpus::{VcpuCount, VcpuIndex};
pub use features::{CpuFeature, CpuRegister, superset_missing, vendor};

/// Leaf 1 ECX: MONITOR and MWAIT.
const MONITOR: u32 = 1 << 3;
/// Leaf 1 ECX: the performance capabilities MSR.
const PDCM: u32 = 1 << 15;
/// Leaf 1 ECX: the deadline mode of the local APIC's timer.
const TSC_DEADLINE: u32 = 1 << 24;
/// Leaf 1 ECX: this is a guest.
const HYPERVISOR: u32 = 1 << 31;
/// Leaf 0x80000001 ECX: more performance counters, of the core and of the northbridge (AMD).
const AMD_COUNTERS: u32 = 1 << 23 | 1 << 24;
/// The first leaf of a hypervisor: its last leaf and its signature.
const HYPERVISOR_LEAF: u32 = 0x4000_0000;
/// The frequencies of TSC and APIC bus in kHz: begun by VMware, read by Linux and BSD guests.
const TIMING_LEAF: u32 = 0x4000_0010;
/// The frequency of KVM's APIC bus: its timer counts nanoseconds (arch/x86/kvm/lapic.h).
const APIC_BUS_KHZ: u32 = 1_000_000;

/// Whether KVM emulates the deadline mode (KVM_CAP_TSC_DEADLINE_TIMER), which
/// KVM_GET_SUPPORTED_CPUID does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TscDeadline {
    /// It does.
    Supported,
    /// It does not.
    Unsupported,
}

/// What the clocks of a vCPU are like.
#[derive(Clone, Copy, Debug)]
pub struct GuestClock {
    /// The frequency of the vCPU's TSC (KVM_GET_TSC_KHZ), if it is known.
    pub tsc_khz: Option<u32>,
    /// Whether the local APIC's timer can fire at a value of the TSC.
    pub tsc_deadline: TscDeadline,
}

/// Makes the CPUID of the vCPU `vcpu` of `vcpus`, from what KVM_GET_SUPPORTED_CPUID says.
///
/// # Panics
/// If `supported` has so many entries that those of the topology find no room, which KVM with a
/// limit of 256 and some 50 in use does not do.
pub fn guest_cpuid(
    supported: &CpuId,
    vcpu: VcpuIndex,
    vcpus: VcpuCount,
    clock: GuestClock,
) -> CpuId {
    let mut leaves = Leaves {
        entries: supported.as_slice().to_vec(),
    };
    topology::describe(&mut leaves, vcpu, vcpus);
    leaves.edit(1, |leaf| {
        leaf.ecx &= !(MONITOR | PDCM | TSC_DEADLINE);
        leaf.ecx |= HYPERVISOR;
        if clock.tsc_deadline == TscDeadline::Supported {
            leaf.ecx |= TSC_DEADLINE;
        }
    });
    // No MWAIT, no performance counters: neither can move to another host.
    for function in [5, 0xa, 0x8000_0022] {
        leaves.edit(function, clear);
    }
    leaves.edit(0x8000_0001, |leaf| leaf.ecx &= !AMD_COUNTERS);
    if let Some(tsc_khz) = clock.tsc_khz {
        leaves.edit(HYPERVISOR_LEAF, |leaf| leaf.eax = leaf.eax.max(TIMING_LEAF));
        leaves.put(kvm_cpuid_entry2 {
            function: TIMING_LEAF,
            eax: tsc_khz,
            ebx: APIC_BUS_KHZ,
            ..kvm_cpuid_entry2::default()
        });
    }
    CpuId::from_entries(&leaves.entries).expect("KVM leaves room for some more leaves")
}

fn clear(leaf: &mut kvm_cpuid_entry2) {
    let kvm_cpuid_entry2 {
        function,
        index,
        flags,
        ..
    } = *leaf;
    *leaf = kvm_cpuid_entry2 {
        function,
        index,
        flags,
        ..kvm_cpuid_entry2::default()
    };
}

/// The entries of a CPUID under construction.
struct Leaves {
    entries: Vec<kvm_cpuid_entry2>,
}

impl Leaves {
    /// The first entry of `function`, whose subleaf is 0 if it has subleaves.
    fn get(&self, function: u32) -> Option<&kvm_cpuid_entry2> {
        self.entries.iter().find(|leaf| leaf.function == function)
    }

    /// Changes every entry of `function`, if there is any.
    fn edit(&mut self, function: u32, change: impl FnMut(&mut kvm_cpuid_entry2)) {
        self.entries
            .iter_mut()
            .filter(|leaf| leaf.function == function)
            .for_each(change);
    }

    /// Puts `entry` in the place of all entries of its function.
    fn put(&mut self, entry: kvm_cpuid_entry2) {
        self.put_all(entry.function, [entry]);
    }

    /// Puts `subleaves`, counted from 0, in the place of all entries of `function`.
    fn put_subleaves<const N: usize>(&mut self, function: u32, subleaves: [kvm_cpuid_entry2; N]) {
        let numbered = (0_u32..)
            .zip(subleaves)
            .map(|(index, subleaf)| kvm_cpuid_entry2 {
                function,
                index,
                flags: KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
                ..subleaf
            });
        self.put_all(function, numbered);
    }

    fn put_all(&mut self, function: u32, entries: impl IntoIterator<Item = kvm_cpuid_entry2>) {
        self.entries.retain(|leaf| leaf.function != function);
        self.entries.extend(entries);
    }
}

#[cfg(test)]
mod tests;
