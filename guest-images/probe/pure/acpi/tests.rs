//! Tests of the search for processors, with tables as literal bytes.

use super::super::boot_info::tests::SparseMemory;
use super::Processors;

/// RSDP at 0xe0010, XSDT at 0xe1000 (FADT, MADT), RSDT at 0xe2000 (MADT only), MADT at 0xe3000.
fn tables(revision: u8) -> SparseMemory {
    let madt_entries = [
        [1, 12, 2, 0, 0, 0, 0, 0].as_slice(),
        &[0, 0, 0, 0],
        &[0, 8, 0, 0, 1, 0, 0, 0],
        &[0, 8, 1, 5, 1, 0, 0, 0],
        &[0, 8, 2, 7, 0, 0, 0, 0],
        &[0, 8, 3, 6, 1, 0, 0, 0],
    ];
    SparseMemory::default()
        .with(0xe_0010, b"RSD PTR ")
        .with(0xe_001f, &[revision])
        .with(0xe_0020, &0xe_2000_u32.to_le_bytes())
        .with(0xe_0028, &0xe_1000_u64.to_le_bytes())
        .with(0xe_1000, b"XSDT\x34\0\0\0")
        .with(0xe_1024, &0xe_4000_u64.to_le_bytes())
        .with(0xe_102c, &0xe_3000_u64.to_le_bytes())
        .with(0xe_2000, b"RSDT\x28\0\0\0")
        .with(0xe_2024, &0xe_3000_u32.to_le_bytes())
        .with(0xe_4000, b"FACP")
        .with(0xe_3000, b"APIC\x58\0\0\0")
        .with(0xe_3024, &0xfee0_0000_u32.to_le_bytes())
        .with(0xe_302c, &madt_entries.concat())
}

#[test]
fn find_by_either_root_table_lists_the_enabled_processors() {
    for revision in [0, 2] {
        let found = Processors::find(&tables(revision), Some(0xe_0010));
        assert_eq!(found.apic_ids(), [0, 5, 6]);
    }
}

#[test]
fn find_without_a_pointer_looks_where_a_bios_leaves_it() {
    assert_eq!(Processors::find(&tables(2), None).apic_ids(), [0, 5, 6]);
    assert_eq!(
        Processors::find(&SparseMemory::default(), None).apic_ids(),
        []
    );
}

#[test]
fn find_broken_tables_end_in_no_processors() {
    let broken = [
        tables(2).with(0xe_0010, b"?"),
        tables(2).with(0xe_102c, &[0; 8]),
        tables(2).with(0xe_1004, &[0; 4]),
        tables(2).with(0xe_3004, &[0; 4]),
        tables(2).with(0xe_3024, &[0; 4]),
        tables(2).with(0xe_302c, &[0; 64]),
    ];
    for memory in broken {
        assert_eq!(Processors::find(&memory, Some(0xe_0010)).apic_ids(), []);
    }
    let huge = tables(2)
        .with(0xe_1004, &[0xff; 4])
        .with(0xe_3004, &[0xff; 4]);
    assert_eq!(
        Processors::find(&huge, Some(0xe_0010)).apic_ids()[..3],
        [0, 5, 6]
    );
}

#[test]
fn find_more_processors_than_we_use_keeps_the_first() {
    let entries: Vec<u8> = (0..100).flat_map(|id| [0, 8, 0, id, 1, 0, 0, 0]).collect();
    let memory = tables(2)
        .with(0xe_3004, &2000_u32.to_le_bytes())
        .with(0xe_302c, &entries);
    assert_eq!(Processors::find(&memory, None).apic_ids().len(), 32);
}
