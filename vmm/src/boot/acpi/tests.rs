//! Checksums, links and contents of the tables.

use super::*;
use crate::boot::{RamLayout, VcpuCount, VirtioWindow};

fn platform(vcpus: u32, devices: usize) -> Platform {
    Platform {
        ram: RamLayout::new(128 << 20).unwrap(),
        vcpus: VcpuCount::new(vcpus).unwrap(),
        virtio: (0..devices).filter_map(VirtioWindow::of_device).collect(),
        generation_id: [0; 16],
    }
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(bytes[offset..offset + 8].try_into().unwrap())
}

/// The table at a guest address, its checksum verified.
fn table<'a>(bytes: &'a [u8], address: u64, signature: &[u8; 4]) -> &'a [u8] {
    let rest = &bytes[usize::try_from(address - layout::ACPI_TABLES.0).unwrap()..];
    let length = u32::from_le_bytes(rest[4..8].try_into().unwrap());
    let table = &rest[..usize::try_from(length).unwrap()];
    assert_eq!(&table[..4], signature);
    assert_eq!(sum(table), 0, "checksum of {signature:?}");
    table
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

#[test]
fn rsdp_has_revision_2_and_both_checksums() {
    let bytes = build(&platform(1, 0));
    assert_eq!(&bytes[..8], b"RSD PTR ");
    assert_eq!(bytes[15], 2);
    assert_eq!(sum(&bytes[..20]), 0);
    assert_eq!(sum(&bytes[..36]), 0);
}

#[test]
fn tables_are_linked_and_their_checksums_hold() {
    let bytes = build(&platform(2, 3));
    let xsdt = table(&bytes, u64_at(&bytes, 24), b"XSDT");
    assert_eq!(xsdt.len(), 36 + 2 * 8);
    let fadt = table(&bytes, u64_at(xsdt, 36), b"FACP");
    table(&bytes, u64_at(xsdt, 44), b"APIC");
    table(&bytes, u64_at(fadt, 140), b"DSDT");
}

#[test]
fn fadt_is_hardware_reduced_with_its_registers_at_the_ports() {
    let fadt = to_bytes(&fadt::build(0xe_0030));
    assert_eq!((fadt.len(), fadt[8], fadt[131]), (276, 6, 4));
    assert_eq!(fadt[109..111], [0x3c, 0]);
    let flags = u32::from_le_bytes(fadt[112..116].try_into().unwrap());
    assert_eq!(flags, 1 << 20 | 1 << 10 | 1 << 5 | 1 << 4 | 1);
    assert_eq!(fadt[116..128], [1, 8, 0, 1, 0x02, 0x06, 0, 0, 0, 0, 0, 0]);
    assert_eq!(fadt[128], 1);
    assert_eq!(fadt[244..256], [1, 8, 0, 1, 0x00, 0x06, 0, 0, 0, 0, 0, 0]);
    assert_eq!(fadt[256..268], [1, 8, 0, 1, 0x01, 0x06, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn madt_has_each_vcpu_and_the_io_apic() {
    let madt = madt::build(VcpuCount::new(2).unwrap());
    assert_eq!(madt[36..44], [0, 0, 0xe0, 0xfe, 0, 0, 0, 0]);
    assert_eq!(madt[44..52], [0, 8, 0, 0, 1, 0, 0, 0]);
    assert_eq!(madt[52..60], [0, 8, 1, 1, 1, 0, 0, 0]);
    assert_eq!(madt[60..], [1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0]);
}

#[test]
fn dsdt_describes_each_virtio_device() {
    let dsdt = dsdt::build(&platform(1, 2));
    assert!(contains(&dsdt, b"V000\x08_HID\x0dLNRO0005\0\x08_UID\0"));
    assert!(contains(&dsdt, b"V001\x08_HID\x0dLNRO0005\0\x08_UID\x01"));
    assert!(!contains(&dsdt, b"V002"));
    let registers = [0x86, 9, 0, 1, 0, 0x10, 0, 0xd0, 0, 0x10, 0, 0];
    let interrupt = [0x89, 6, 0, 0b0011, 1, 6, 0, 0, 0];
    assert!(contains(
        &dsdt,
        &[registers.as_slice(), &interrupt].concat()
    ));
}

#[test]
fn dsdt_describes_serial_port_generation_id_and_soft_off() {
    let dsdt = dsdt::build(&platform(1, 0));
    assert!(contains(&dsdt, &[0x47, 1, 0xf8, 0x03, 0xf8, 0x03, 1, 8]));
    assert!(contains(&dsdt, &[0x89, 6, 0, 0b0011, 1, 4, 0, 0, 0]));
    assert!(contains(&dsdt, b"ADDR\x12\x08\x02\x0c\x00\x00\x0f\x00\x00"));
    assert!(contains(&dsdt, b"\\_S5_\x12\x07\x04\x0a\x05\0\0\0"));
    assert!(contains(&dsdt, b"_EVT\x09\x86\\\x2e_SB_VGEN\x0a\x80"));
}

#[test]
fn tables_of_the_biggest_machine_fit_their_space() {
    let bytes = build(&platform(32, layout::VIRTIO_WINDOWS_MAX));
    let space = layout::ACPI_TABLES_END.0 - layout::ACPI_TABLES.0;
    assert!(bytes.len() < usize::try_from(space).unwrap());
}
