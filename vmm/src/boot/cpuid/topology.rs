//! Which processors a guest sees: one package, one core per vCPU, one thread per core, a last-level
//! cache that all share.
//!
//! Intel says so in leaves 1, 4, 0xb and 0x1f; AMD in 1, 0x80000001, 0x80000008, 0x8000001d and
//! 0x8000001e, and with Zen 2 also in 0xb.

use kvm_bindings::kvm_cpuid_entry2;

use super::features::vendor_of;
use super::{Leaves, clear};
use crate::boot::vcpus::{VcpuCount, VcpuIndex};

/// Leaf 1 EDX: the package has more than one logical processor.
const HTT: u32 = 1 << 28;
/// Leaf 0x80000001 ECX: these are cores, not threads (AMD).
const CMP_LEGACY: u32 = 1 << 1;
/// The last level of cache that belongs to a core alone; beyond it, all share.
const PRIVATE_CACHE_LEVELS: u32 = 2;
/// Leaf 0xb ECX[15:8]: the kind of a level.
const LEVEL_THREAD: u32 = 1;
const LEVEL_CORE: u32 = 2;

/// Writes the APIC id of `vcpu` and the shape of a machine of `vcpus` into all leaves.
pub(super) fn describe(leaves: &mut Leaves, vcpu: VcpuIndex, vcpus: VcpuCount) {
    let shape = Shape::new(vcpu, vcpus);
    leaves.edit(1, |leaf| {
        leaf.ebx = leaf.ebx & 0xffff | shape.ids << 16 | shape.apic_id << 24;
        set(&mut leaf.edx, HTT, shape.cores > 1);
    });
    leaves.edit(4, |leaf| {
        if has_cache(leaf) {
            // EAX[25:14]: ids of the processors that share it; EAX[31:26]: of the cores.
            leaf.eax &= 0x3fff;
            leaf.eax |= (shape.sharing_ids(cache_level(leaf)) - 1) << 14 | (shape.ids - 1) << 26;
        }
    });
    for function in [0xb, 0x1f] {
        if leaves.get(function).is_some() {
            leaves.put_subleaves(function, shape.levels());
        }
    }
    leaves.edit(0x8000_0001, |leaf| {
        set(&mut leaf.ecx, CMP_LEGACY, shape.cores > 1)
    });
    // ECX[7:0]: cores less one; ECX[15:12]: bits of the core's number in the APIC id. Intel keeps
    // all of ECX reserved, and KVM gives zero there.
    if is_amd(leaves) {
        leaves.edit(0x8000_0008, |leaf| {
            leaf.ecx = (shape.cores - 1) | (shape.id_bits << 12)
        });
    }
    leaves.edit(0x8000_001d, |leaf| {
        if has_cache(leaf) {
            // EAX[25:14]: processors that share it, less one.
            leaf.eax &= 0x3fff;
            leaf.eax |= (shape.sharing_cores(cache_level(leaf)) - 1) << 14;
        }
    });
    leaves.edit(0x8000_001e, |leaf| {
        // EBX[7:0]: the core, EBX[15:8]: its threads less one; ECX: one node, number 0.
        leaf.eax = shape.apic_id;
        leaf.ebx = shape.apic_id;
        leaf.ecx = 0;
    });
    // The host's own shape in AMD's newer words; a guest then reads the leaves above.
    leaves.edit(0x8000_0026, clear);
}

/// One package of `cores`, each with one thread.
struct Shape {
    apic_id: u32,
    cores: u32,
    /// The APIC ids set aside for the package: `cores` rounded up to a power of two.
    ids: u32,
    /// The bits that number a core in an APIC id.
    id_bits: u32,
}

impl Shape {
    fn new(VcpuIndex(apic_id): VcpuIndex, vcpus: VcpuCount) -> Self {
        let cores = u32::from(vcpus.get());
        let ids = cores.next_power_of_two();
        Self {
            apic_id: u32::from(apic_id),
            cores,
            ids,
            id_bits: ids.trailing_zeros(),
        }
    }

    fn sharing_ids(&self, cache_level: u32) -> u32 {
        if cache_level <= PRIVATE_CACHE_LEVELS {
            1
        } else {
            self.ids
        }
    }

    fn sharing_cores(&self, cache_level: u32) -> u32 {
        if cache_level <= PRIVATE_CACHE_LEVELS {
            1
        } else {
            self.cores
        }
    }

    /// The subleaves of leaf 0xb: per level the bits below it in the APIC id, its processors, its
    /// number and kind, and the x2APIC id. The third has kind 0, the end.
    fn levels(&self) -> [kvm_cpuid_entry2; 3] {
        let level = |number: u32, kind: u32, id_bits: u32, processors: u32| kvm_cpuid_entry2 {
            eax: id_bits,
            ebx: processors,
            ecx: number | kind << 8,
            edx: self.apic_id,
            ..kvm_cpuid_entry2::default()
        };
        [
            level(0, LEVEL_THREAD, 0, 1),
            level(1, LEVEL_CORE, self.id_bits, self.cores),
            level(2, 0, 0, 0),
        ]
    }
}

fn is_amd(leaves: &Leaves) -> bool {
    let amd = [*b"AuthenticAMD", *b"HygonGenuine"];
    vendor_of(&leaves.entries).is_some_and(|name| amd.contains(&name))
}

/// EAX[4:0] of a cache leaf: its kind, 0 for none.
fn has_cache(leaf: &kvm_cpuid_entry2) -> bool {
    leaf.eax & 0x1f != 0
}

/// EAX[7:5] of a cache leaf: its level, from 1.
fn cache_level(leaf: &kvm_cpuid_entry2) -> u32 {
    leaf.eax >> 5 & 0b111
}

fn set(register: &mut u32, bit: u32, wanted: bool) {
    if wanted {
        *register |= bit;
    } else {
        *register &= !bit;
    }
}
