//! The registers of CPUID that hold feature flags, and the usual names of the flags (those of
//! /proc/cpuinfo; Linux arch/x86/include/asm/cpufeatures.h).

use super::features::CpuFeature;
use super::features::CpuRegister::{self, Eax, Ebx, Ecx, Edx};

/// A register full of feature flags.
pub(super) struct FeatureWord {
    pub leaf: u32,
    pub subleaf: u32,
    pub register: CpuRegister,
    /// Bits that say nothing of what a host can do for a guest.
    pub ignored: u32,
}

const fn word(leaf: u32, subleaf: u32, register: CpuRegister, ignored: u32) -> FeatureWord {
    FeatureWord {
        leaf,
        subleaf,
        register,
        ignored,
    }
}

/// Every register that is compared. Ignored are: in leaf 1 the deadline timer, OSXSAVE (a copy of
/// CR4) and the hypervisor bit in ECX and HTT in EDX; OSPKE in leaf 7; CmpLegacy of AMD; the size
/// fields of leaves 0xd and 0x80000008, which are no flags, are not listed.
pub(super) const FEATURE_WORDS: [FeatureWord; 19] = [
    word(1, 0, Ecx, 1 << 24 | 1 << 27 | 1 << 31),
    word(1, 0, Edx, 1 << 28),
    word(7, 0, Ebx, 0),
    word(7, 0, Ecx, 1 << 4),
    word(7, 0, Edx, 0),
    word(7, 1, Eax, 0),
    word(7, 1, Ecx, 0),
    word(7, 1, Edx, 0),
    word(7, 2, Edx, 0),
    word(0xd, 0, Eax, 0),
    word(0xd, 0, Edx, 0),
    word(0xd, 1, Eax, 0),
    word(0xd, 1, Ecx, 0),
    word(0x4000_0001, 0, Eax, 0),
    word(0x8000_0001, 0, Ecx, 1 << 1),
    word(0x8000_0001, 0, Edx, 0),
    word(0x8000_0007, 0, Edx, 0),
    word(0x8000_0008, 0, Ebx, 0),
    word(0x8000_0021, 0, Eax, 0),
];

/// The usual name of `feature`, if it is a common one.
pub(super) fn flag_name(feature: &CpuFeature) -> Option<&'static str> {
    let names: &[(u8, &str)] = match (feature.leaf, feature.subleaf, feature.register) {
        (1, 0, Ecx) => &LEAF_1_ECX,
        (1, 0, Edx) => &LEAF_1_EDX,
        (7, 0, Ebx) => &LEAF_7_EBX,
        (7, 0, Ecx) => &LEAF_7_ECX,
        (7, 0, Edx) => &LEAF_7_EDX,
        (7, 1, Eax) => &LEAF_7_1_EAX,
        (0xd, 0, Eax) => &XCR0,
        (0xd, 1, Eax) => &[
            (0, "xsaveopt"),
            (1, "xsavec"),
            (2, "xgetbv1"),
            (3, "xsaves"),
            (4, "xfd"),
        ],
        (0x4000_0001, 0, Eax) => &KVM,
        (0x8000_0001, 0, Ecx) => &EXTENDED_ECX,
        (0x8000_0001, 0, Edx) => &EXTENDED_EDX,
        (0x8000_0007, 0, Edx) => &[(8, "constant_tsc")],
        (0x8000_0008, 0, Ebx) => &EXTENDED_8_EBX,
        _ => &[],
    };
    names
        .iter()
        .find(|(bit, _)| *bit == feature.bit)
        .map(|(_, name)| *name)
}

const LEAF_1_ECX: [(u8, &str); 20] = [
    (0, "pni"),
    (1, "pclmulqdq"),
    (5, "vmx"),
    (9, "ssse3"),
    (12, "fma"),
    (13, "cx16"),
    (17, "pcid"),
    (19, "sse4_1"),
    (20, "sse4_2"),
    (21, "x2apic"),
    (22, "movbe"),
    (23, "popcnt"),
    (25, "aes"),
    (26, "xsave"),
    (28, "avx"),
    (29, "f16c"),
    (30, "rdrand"),
    (2, "dtes64"),
    (3, "monitor"),
    (15, "pdcm"),
];

const LEAF_1_EDX: [(u8, &str); 24] = [
    (0, "fpu"),
    (1, "vme"),
    (2, "de"),
    (3, "pse"),
    (4, "tsc"),
    (5, "msr"),
    (6, "pae"),
    (7, "mce"),
    (8, "cx8"),
    (9, "apic"),
    (11, "sep"),
    (12, "mtrr"),
    (13, "pge"),
    (14, "mca"),
    (15, "cmov"),
    (16, "pat"),
    (17, "pse36"),
    (19, "clflush"),
    (22, "acpi"),
    (23, "mmx"),
    (24, "fxsr"),
    (25, "sse"),
    (26, "sse2"),
    (27, "ss"),
];

const LEAF_7_EBX: [(u8, &str); 26] = [
    (0, "fsgsbase"),
    (1, "tsc_adjust"),
    (3, "bmi1"),
    (4, "hle"),
    (5, "avx2"),
    (7, "smep"),
    (8, "bmi2"),
    (9, "erms"),
    (10, "invpcid"),
    (11, "rtm"),
    (14, "mpx"),
    (16, "avx512f"),
    (17, "avx512dq"),
    (18, "rdseed"),
    (19, "adx"),
    (20, "smap"),
    (21, "avx512ifma"),
    (23, "clflushopt"),
    (24, "clwb"),
    (26, "avx512pf"),
    (27, "avx512er"),
    (28, "avx512cd"),
    (29, "sha_ni"),
    (30, "avx512bw"),
    (31, "avx512vl"),
    (6, "fdp_excptn_only"),
];

const LEAF_7_ECX: [(u8, &str); 16] = [
    (1, "avx512vbmi"),
    (2, "umip"),
    (3, "pku"),
    (5, "waitpkg"),
    (6, "avx512_vbmi2"),
    (7, "shstk"),
    (8, "gfni"),
    (9, "vaes"),
    (10, "vpclmulqdq"),
    (11, "avx512_vnni"),
    (12, "avx512_bitalg"),
    (14, "avx512_vpopcntdq"),
    (16, "la57"),
    (22, "rdpid"),
    (27, "movdiri"),
    (28, "movdir64b"),
];

const LEAF_7_EDX: [(u8, &str); 16] = [
    (4, "fsrm"),
    (8, "avx512_vp2intersect"),
    (10, "md_clear"),
    (14, "serialize"),
    (16, "tsxldtrk"),
    (20, "ibt"),
    (22, "amx_bf16"),
    (23, "avx512_fp16"),
    (24, "amx_tile"),
    (25, "amx_int8"),
    (26, "spec_ctrl"),
    (27, "intel_stibp"),
    (28, "flush_l1d"),
    (29, "arch_capabilities"),
    (30, "core_capabilities"),
    (31, "spec_ctrl_ssbd"),
];

const LEAF_7_1_EAX: [(u8, &str); 6] = [
    (4, "avx_vnni"),
    (5, "avx512_bf16"),
    (10, "fzrm"),
    (11, "fsrs"),
    (12, "fsrc"),
    (23, "avx_ifma"),
];

/// The state components that XCR0 can enable.
const XCR0: [(u8, &str); 11] = [
    (0, "xcr0.x87"),
    (1, "xcr0.sse"),
    (2, "xcr0.avx"),
    (3, "xcr0.bndregs"),
    (4, "xcr0.bndcsr"),
    (5, "xcr0.opmask"),
    (6, "xcr0.zmm_hi256"),
    (7, "xcr0.hi16_zmm"),
    (9, "xcr0.pkru"),
    (17, "xcr0.tilecfg"),
    (18, "xcr0.tiledata"),
];

/// Linux Documentation/virt/kvm/x86/cpuid.rst.
const KVM: [(u8, &str); 14] = [
    (0, "kvm.clocksource"),
    (1, "kvm.nop_io_delay"),
    (3, "kvm.clocksource2"),
    (4, "kvm.async_pf"),
    (5, "kvm.steal_time"),
    (6, "kvm.pv_eoi"),
    (7, "kvm.pv_unhalt"),
    (9, "kvm.pv_tlb_flush"),
    (10, "kvm.async_pf_vmexit"),
    (11, "kvm.pv_send_ipi"),
    (12, "kvm.poll_control"),
    (13, "kvm.pv_sched_yield"),
    (14, "kvm.async_pf_int"),
    (24, "kvm.clocksource_stable"),
];

const EXTENDED_ECX: [(u8, &str); 13] = [
    (0, "lahf_lm"),
    (2, "svm"),
    (4, "cr8_legacy"),
    (5, "abm"),
    (6, "sse4a"),
    (7, "misalignsse"),
    (8, "3dnowprefetch"),
    (9, "osvw"),
    (11, "xop"),
    (16, "fma4"),
    (21, "tbm"),
    (22, "topoext"),
    (23, "perfctr_core"),
];

const EXTENDED_EDX: [(u8, &str); 8] = [
    (11, "syscall"),
    (20, "nx"),
    (22, "mmxext"),
    (25, "fxsr_opt"),
    (26, "pdpe1gb"),
    (27, "rdtscp"),
    (29, "lm"),
    (31, "3dnow"),
];

const EXTENDED_8_EBX: [(u8, &str); 10] = [
    (0, "clzero"),
    (2, "xsaveerptr"),
    (9, "wbnoinvd"),
    (12, "ibpb"),
    (14, "ibrs"),
    (15, "stibp"),
    (17, "stibp_always_on"),
    (24, "amd_ssbd"),
    (25, "virt_ssbd"),
    (26, "amd_ssb_no"),
];
