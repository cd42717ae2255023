//! The interrupt controllers: a local APIC for each vCPU, and the I/O APIC (ACPI 6.4, section
//! 5.2.12). There are no source overrides: each interrupt is the pin of its own number.

use acpi_tables::sdt::Sdt;

use super::{OEM_ID, OEM_REVISION, OEM_TABLE_ID};
use crate::boot::layout;
use crate::boot::vcpus::{VcpuCount, VcpuIndex};

const REVISION: u8 = 5;
const HEADER_BYTES: u32 = 44;
const LOCAL_APIC_ADDRESS_OFFSET: usize = 36;
/// The id that KVM's I/O APIC has at reset.
const IO_APIC_ID: u8 = 0;
const ENABLED: u32 = 1;

/// Builds the table for `vcpus`.
pub(super) fn build(vcpus: VcpuCount) -> Vec<u8> {
    let mut table = Sdt::new(
        *b"APIC",
        HEADER_BYTES,
        REVISION,
        OEM_ID,
        OEM_TABLE_ID,
        OEM_REVISION,
    );
    table.write_u32(LOCAL_APIC_ADDRESS_OFFSET, layout::LOCAL_APIC);
    let mut structures = Vec::new();
    for vcpu in vcpus.indices() {
        structures.extend_from_slice(&local_apic(vcpu));
    }
    structures.extend_from_slice(&io_apic());
    table.append_slice(&structures);
    table.as_slice().to_vec()
}

/// Type 0, 8 bytes: processor UID, APIC id, flags (section 5.2.12.2).
fn local_apic(VcpuIndex(vcpu): VcpuIndex) -> [u8; 8] {
    let [a, b, c, d] = ENABLED.to_le_bytes();
    [0, 8, vcpu, vcpu, a, b, c, d]
}

/// Type 1, 12 bytes: id, reserved, address, first interrupt (section 5.2.12.3).
fn io_apic() -> [u8; 12] {
    let [a, b, c, d] = layout::IO_APIC.to_le_bytes();
    [1, 12, IO_APIC_ID, 0, a, b, c, d, 0, 0, 0, 0]
}
