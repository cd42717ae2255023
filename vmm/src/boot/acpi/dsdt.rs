//! The devices that no bus announces: vCPUs, serial port, virtio-mmio windows, the VM generation
//! id, and the sleep type of soft off (ACPI 6.4, sections 5.2.11.1, 6.1 and 7.4.2).

use acpi_tables::Aml;
use acpi_tables::aml::{
    Device, EISAName, IO, Interrupt, Memory32Fixed, Method, Name, Notify, Package, Path,
    ResourceTemplate, Scope,
};
use acpi_tables::sdt::Sdt;

use super::{OEM_ID, OEM_REVISION, OEM_TABLE_ID, to_bytes};
use crate::boot::Platform;
use crate::boot::layout::{self, Gsi, VirtioWindow};
use crate::boot::vcpus::VcpuIndex;

/// Two since ACPI 2.0: integers have 64 bits.
const REVISION: u8 = 2;
const HEADER_BYTES: u32 = 36;
/// The name that Linux's virtio_mmio driver looks for (drivers/virtio/virtio_mmio.c).
const VIRTIO_MMIO_ID: &str = "LNRO0005";
/// A processor device (ACPI 6.4, table 5.168).
const PROCESSOR_ID: &str = "ACPI0007";
/// A generic event device (ACPI 6.4, section 5.6.9).
const GENERIC_EVENT_ID: &str = "ACPI0013";
/// The names of the VM generation id: Linux looks for the first (drivers/virt/vmgenid.c), the
/// second is that of Microsoft's paper, which also demands it as the description.
const GENERATION_ID: &str = "VMGENCTR";
const GENERATION_NAME: &str = "VM_Gen_Counter";
/// The notification of a new generation id (Microsoft, "Virtual Machine Generation ID").
const GENERATION_CHANGED: u8 = 0x80;

/// Builds the table for `platform`.
pub(super) fn build(platform: &Platform) -> Vec<u8> {
    let mut devices = Vec::new();
    for vcpu in platform.vcpus.indices() {
        devices.extend(processor(vcpu));
    }
    devices.extend(serial_port());
    for (index, window) in (0_u8..).zip(&platform.virtio) {
        devices.extend(virtio_mmio(index, window));
    }
    devices.extend(generation_id());
    devices.extend(generation_event());

    let mut table = Sdt::new(
        *b"DSDT",
        HEADER_BYTES,
        REVISION,
        OEM_ID,
        OEM_TABLE_ID,
        OEM_REVISION,
    );
    let mut body = soft_off();
    body.extend(Scope::raw(Path::new("\\_SB_"), devices));
    table.append_slice(&body);
    table.as_slice().to_vec()
}

/// `\_S5`: the sleep type, and three fields that only machines with PM1 registers use.
fn soft_off() -> Vec<u8> {
    let values = Package::new(vec![&layout::ACPI_S5_SLEEP_TYPE, &0_u8, &0_u8, &0_u8]);
    to_bytes(&Name::new(Path::new("\\_S5_"), &values))
}

/// The processor with the UID that the MADT gives it.
fn processor(VcpuIndex(vcpu): VcpuIndex) -> Vec<u8> {
    let id = name("_HID", &PROCESSOR_ID);
    let uid = name("_UID", &vcpu);
    to_bytes(&Device::new(
        Path::new(&format!("C{vcpu:03X}")),
        vec![&id, &uid],
    ))
}

fn serial_port() -> Vec<u8> {
    let ports = IO::new(
        layout::SERIAL_PORT,
        layout::SERIAL_PORT,
        1,
        layout::SERIAL_PORTS,
    );
    let interrupt = edge_interrupt(layout::SERIAL_GSI);
    let id = name("_HID", &EISAName::new("PNP0501"));
    let uid = name("_UID", &1_u8);
    let resources = name("_CRS", &ResourceTemplate::new(vec![&ports, &interrupt]));
    to_bytes(&Device::new(Path::new("COM1"), vec![&id, &uid, &resources]))
}

fn virtio_mmio(index: u8, window: &VirtioWindow) -> Vec<u8> {
    let registers = Memory32Fixed::new(true, window.base, window.size_bytes);
    let interrupt = edge_interrupt(window.gsi);
    let id = name("_HID", &VIRTIO_MMIO_ID);
    let uid = name("_UID", &index);
    let coherent = name("_CCA", &1_u8);
    let resources = name("_CRS", &ResourceTemplate::new(vec![&registers, &interrupt]));
    to_bytes(&Device::new(
        Path::new(&format!("V{index:03X}")),
        vec![&id, &uid, &coherent, &resources],
    ))
}

/// The device whose `ADDR` is the guest address of the generation id in two 32-bit halves.
fn generation_id() -> Vec<u8> {
    let address = layout::VM_GENERATION_ID.0;
    let halves: [u64; 2] = [address & u64::from(u32::MAX), address >> 32];
    let id = name("_HID", &GENERATION_ID);
    let compatible = name("_CID", &GENERATION_NAME);
    let description = name("_DDN", &GENERATION_NAME);
    let place = name("ADDR", &Package::new(vec![&halves[0], &halves[1]]));
    to_bytes(&Device::new(
        Path::new("VGEN"),
        vec![&id, &compatible, &description, &place],
    ))
}

/// The event device: its only interrupt says that the generation id has changed.
fn generation_event() -> Vec<u8> {
    let interrupt = edge_interrupt(layout::GENERATION_GSI);
    let id = name("_HID", &GENERIC_EVENT_ID);
    let uid = name("_UID", &0_u8);
    let resources = name("_CRS", &ResourceTemplate::new(vec![&interrupt]));
    let target = Path::new("\\_SB_.VGEN");
    let notify = Notify::new(&target, &GENERATION_CHANGED);
    let event = Method::new(Path::new("_EVT"), 1, true, vec![&notify]);
    to_bytes(&Device::new(
        Path::new("GED0"),
        vec![&id, &uid, &resources, &event],
    ))
}

/// An interrupt that the device consumes: edge triggered, active high, not shared.
fn edge_interrupt(gsi: Gsi) -> Interrupt {
    Interrupt::new(true, true, false, false, gsi.0)
}

fn name(path: &str, value: &dyn Aml) -> Name {
    Name::new(Path::new(path), value)
}
