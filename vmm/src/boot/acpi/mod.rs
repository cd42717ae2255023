//! The ACPI tables of the machine: hardware-reduced ACPI 6.4 (section 4.1), so no legacy power
//! management, no timer but the vCPUs' own, and interrupts by local and I/O APICs only.
//!
//! ```text
//! 0xe_0000  RSDP -> XSDT -> FADT -> DSDT
//!                        -> MADT
//! ```
//! The tables follow each other on 16-byte boundaries, so that a guest touches few pages.

mod dsdt;
mod fadt;
mod madt;

use acpi_tables::Aml;
use acpi_tables::rsdp::Rsdp;
use acpi_tables::xsdt::XSDT;

use super::error::BootError;
use super::{GuestMemory, Platform, layout, write_guest};

const OEM_ID: [u8; 6] = *b"SKIFF ";
const OEM_TABLE_ID: [u8; 8] = *b"SKIFFVM ";
const OEM_REVISION: u32 = 1;
/// The boundary on which an RSDP lies (ACPI 6.4, section 5.2.5.1); enough for all tables.
const TABLE_ALIGNMENT_BYTES: usize = 16;

/// Builds the tables of `platform` and writes them to [`layout::ACPI_TABLES`].
pub(super) fn write(memory: &GuestMemory, platform: &Platform) -> Result<(), BootError> {
    let tables = build(platform);
    let needed_bytes = tables.len();
    let space = usize::try_from(layout::ACPI_TABLES_END.0 - layout::ACPI_TABLES.0);
    if space.is_ok_and(|space_bytes| needed_bytes > space_bytes) {
        return Err(BootError::AcpiTooBig { needed_bytes });
    }
    write_guest(memory, "ACPI tables", layout::ACPI_TABLES, &tables)
}

/// Builds the bytes from [`layout::ACPI_TABLES`] on, the RSDP first.
fn build(platform: &Platform) -> Vec<u8> {
    let mut space = TableSpace::after_rsdp();
    let dsdt = space.append(&dsdt::build(platform));
    let fadt = space.append(&to_bytes(&fadt::build(dsdt)));
    let madt = space.append(&madt::build(platform.vcpus));
    let mut xsdt = XSDT::new(OEM_ID, OEM_TABLE_ID, OEM_REVISION);
    xsdt.add_entry(fadt);
    xsdt.add_entry(madt);
    let xsdt = space.append(&to_bytes(&xsdt));
    space.finish(&to_bytes(&Rsdp::new(OEM_ID, xsdt)))
}

/// Tables that follow each other in guest memory.
struct TableSpace {
    bytes: Vec<u8>,
}

impl TableSpace {
    /// Leaves room for the RSDP, which is known last.
    fn after_rsdp() -> Self {
        Self {
            bytes: vec![0; Rsdp::len()],
        }
    }

    /// Adds a table; returns its guest address.
    fn append(&mut self, table: &[u8]) -> u64 {
        let offset = self.bytes.len().next_multiple_of(TABLE_ALIGNMENT_BYTES);
        self.bytes.resize(offset, 0);
        self.bytes.extend_from_slice(table);
        layout::ACPI_TABLES.0 + u64::try_from(offset).expect("tables are small")
    }

    fn finish(mut self, rsdp: &[u8]) -> Vec<u8> {
        self.bytes[..rsdp.len()].copy_from_slice(rsdp);
        self.bytes
    }
}

fn to_bytes(table: &dyn Aml) -> Vec<u8> {
    let mut bytes = Vec::new();
    table.to_aml_bytes(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests;
