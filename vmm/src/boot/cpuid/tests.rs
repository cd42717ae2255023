//! A host with both makers' leaves, and guests of one to thirty-two vCPUs.

use super::*;

fn leaf(function: u32, index: u32, registers: [u32; 4]) -> kvm_cpuid_entry2 {
    let [eax, ebx, ecx, edx] = registers;
    kvm_cpuid_entry2 {
        function,
        index,
        eax,
        ebx,
        ecx,
        edx,
        ..kvm_cpuid_entry2::default()
    }
}

/// "AuthenticAMD" in leaf 0, and each leaf that is changed for a guest.
fn host() -> CpuId {
    CpuId::from_entries(&[
        leaf(0, 0, [0x1f, 0x6874_7541, 0x444d_4163, 0x6974_6e65]),
        leaf(1, 0, [0x0a20_0f12, 0x0720_0800, 0x7ef8_320b, 0x178b_fbff]),
        leaf(4, 0, [0xfc00_4121, 0x01c0_003f, 0x3f, 0]),
        leaf(4, 3, [0xfc07_c163, 0x02c0_003f, 0x3fff, 4]),
        leaf(4, 4, [0, 0, 0, 0]),
        leaf(5, 0, [0x40, 0x40, 3, 0x11]),
        leaf(7, 0, [0, 0x0020_0021, 0, 0]),
        leaf(0xa, 0, [0x0730_0404, 0, 0, 0x603]),
        leaf(0xb, 0, [1, 2, 0x100, 5]),
        leaf(0xb, 1, [7, 64, 0x201, 5]),
        leaf(0x1f, 0, [1, 2, 0x100, 5]),
        leaf(
            0x4000_0000,
            0,
            [0x4000_0001, 0x4b4d_564b, 0x564b_4d56, 0x4d],
        ),
        leaf(0x4000_0001, 0, [0x0100_7efb, 0, 0, 0]),
        leaf(0x8000_0001, 0, [0, 0, 0x75c2_37ff, 0x2fd3_fbff]),
        leaf(0x8000_0008, 0, [0x3030, 0x1001, 0x703f, 0]),
        leaf(0x8000_001d, 0, [0x4121, 0, 0, 0]),
        leaf(0x8000_001d, 3, [0x7_c163, 0, 0, 0]),
        leaf(0x8000_001e, 0, [5, 0x102, 0x100, 0]),
        leaf(0x8000_0022, 0, [1, 6, 0, 0]),
    ])
    .unwrap()
}

const CLOCK: GuestClock = GuestClock {
    tsc_khz: Some(2_450_000),
    tsc_deadline: TscDeadline::Supported,
};

fn guest(vcpu: u8, vcpus: u32, clock: GuestClock) -> CpuId {
    guest_cpuid(
        &host(),
        VcpuIndex(vcpu),
        VcpuCount::new(vcpus).unwrap(),
        clock,
    )
}

fn registers(cpuid: &CpuId, function: u32, index: u32) -> [u32; 4] {
    let found: Vec<_> = cpuid
        .as_slice()
        .iter()
        .filter(|entry| (entry.function, entry.index) == (function, index))
        .collect();
    assert_eq!(found.len(), 1, "entries of leaf {function:#x}.{index}");
    [found[0].eax, found[0].ebx, found[0].ecx, found[0].edx]
}

#[test]
fn leaf_1_has_the_apic_id_and_the_processor_count() {
    let [_, ebx, _, edx] = registers(&guest(2, 3, CLOCK), 1, 0);
    assert_eq!(ebx, 0x0204_0800);
    assert_eq!(edx >> 28 & 1, 1);
    let [_, ebx, _, edx] = registers(&guest(0, 1, CLOCK), 1, 0);
    assert_eq!(ebx, 0x0001_0800);
    assert_eq!(edx >> 28 & 1, 0);
}

#[test]
fn leaf_1_says_hypervisor_and_never_monitor() {
    let [_, _, ecx, _] = registers(&guest(0, 1, CLOCK), 1, 0);
    assert_eq!(
        ecx & (1 << 31 | 1 << 24 | 1 << 15 | 1 << 3),
        1 << 31 | 1 << 24
    );
    let clock = GuestClock {
        tsc_deadline: TscDeadline::Unsupported,
        ..CLOCK
    };
    let [_, _, ecx, _] = registers(&guest(0, 1, clock), 1, 0);
    assert_eq!(ecx >> 24 & 1, 0);
}

#[test]
fn topology_leaves_have_one_thread_per_core() {
    let cpuid = guest(4, 5, CLOCK);
    for function in [0xb, 0x1f] {
        assert_eq!(registers(&cpuid, function, 0), [0, 1, 0x100, 4]);
        assert_eq!(registers(&cpuid, function, 1), [3, 5, 0x201, 4]);
        assert_eq!(registers(&cpuid, function, 2), [0, 0, 2, 4]);
    }
    assert_eq!(
        registers(&cpuid, 0x8000_0008, 0),
        [0x3030, 0x1001, 0x3004, 0]
    );
    assert_eq!(registers(&cpuid, 0x8000_001e, 0), [4, 4, 0, 0]);
}

#[test]
fn cache_leaves_share_only_the_last_level() {
    let cpuid = guest(0, 5, CLOCK);
    assert_eq!(registers(&cpuid, 4, 0)[0], 7 << 26 | 0x121);
    assert_eq!(registers(&cpuid, 4, 3)[0], 7 << 26 | 7 << 14 | 0x163);
    assert_eq!(registers(&cpuid, 4, 4)[0], 0);
    assert_eq!(registers(&cpuid, 0x8000_001d, 0)[0], 0x121);
    assert_eq!(registers(&cpuid, 0x8000_001d, 3)[0], 4 << 14 | 0x163);
}

#[test]
fn counters_and_mwait_are_gone() {
    let cpuid = guest(0, 1, CLOCK);
    for function in [5, 0xa, 0x8000_0022] {
        assert_eq!(registers(&cpuid, function, 0), [0; 4]);
    }
    assert_eq!(registers(&cpuid, 0x8000_0001, 0)[2], 0x7442_37fd);
}

#[test]
fn timing_leaf_is_there_only_if_the_frequency_is_known() {
    let cpuid = guest(0, 1, CLOCK);
    assert_eq!(registers(&cpuid, 0x4000_0000, 0)[0], 0x4000_0010);
    assert_eq!(
        registers(&cpuid, 0x4000_0010, 0),
        [2_450_000, 1_000_000, 0, 0]
    );
    let cpuid = guest(
        0,
        1,
        GuestClock {
            tsc_khz: None,
            ..CLOCK
        },
    );
    assert_eq!(registers(&cpuid, 0x4000_0000, 0)[0], 0x4000_0001);
    assert!(
        cpuid
            .as_slice()
            .iter()
            .all(|entry| entry.function != 0x4000_0010)
    );
}

#[test]
fn guest_can_move_to_the_host_it_was_made_on() {
    for vcpus in 1..=32 {
        assert_eq!(superset_missing(&host(), &guest(0, vcpus, CLOCK)), []);
    }
    assert_eq!(vendor(&host()), Some(*b"AuthenticAMD"));
}

#[test]
fn missing_features_are_named() {
    let mut poorer = host();
    for entry in poorer.as_mut_slice() {
        match entry.function {
            1 => entry.ecx &= !(1 << 25 | 1 << 24),
            7 => entry.ebx &= !(1 << 5 | 1 << 21),
            0x4000_0001 => entry.eax &= !(1 << 3),
            0x8000_0001 => entry.ecx &= !(1 << 10),
            _ => {}
        }
    }
    let missing = superset_missing(&poorer, &guest(0, 2, CLOCK));
    let names: Vec<_> = missing.iter().map(ToString::to_string).collect();
    let expected = [
        "aes",
        "avx2",
        "avx512ifma",
        "kvm.clocksource2",
        "0x80000001.0.ecx.bit 10",
    ];
    assert_eq!(names, expected);
}

#[test]
fn feature_of_an_absent_leaf_counts_as_missing() {
    let empty = CpuId::from_entries(&[]).unwrap();
    let missing = superset_missing(&empty, &guest(0, 1, CLOCK));
    assert!(missing.iter().any(|feature| feature.to_string() == "avx2"));
    assert_eq!(vendor(&empty), None);
}
