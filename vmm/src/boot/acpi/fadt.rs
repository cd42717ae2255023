//! The fixed description table: how to sleep and to reset, and what the machine does not have
//! (ACPI 6.4, section 5.2.9).

use acpi_tables::fadt::{FADT, FADTBuilder, Flags};
use acpi_tables::gas::{AccessSize, AddressSpace, GAS};

use super::{OEM_ID, OEM_REVISION, OEM_TABLE_ID};
use crate::boot::layout;

const MINOR_VERSION: u8 = 4;
/// IAPC_BOOT_ARCH (ACPI 6.4, table 5.11): no VGA (bit 2), no MSI (3), no PCIe ASPM (4), no CMOS
/// clock (5); bits 0 and 1 are 0, so there are no legacy devices and no i8042 to look for.
const BOOT_ARCHITECTURE: u16 = 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5;

/// Builds the table that points to the DSDT at `dsdt`.
pub(super) fn build(dsdt: u64) -> FADT {
    let mut table = FADTBuilder::new(OEM_ID, OEM_TABLE_ID, OEM_REVISION)
        .dsdt_64(dsdt)
        .flag(Flags::HwReducedAcpi)
        .flag(Flags::ResetRegSup)
        .flag(Flags::Wbinvd)
        .flag(Flags::PwrButton)
        .flag(Flags::SlpButton);
    table.fadt_minor_version = MINOR_VERSION;
    table.iapc_boot_arch = BOOT_ARCHITECTURE.into();
    table.reset_reg = port(layout::ACPI_RESET_PORT);
    table.reset_value = layout::ACPI_RESET_VALUE;
    table.sleep_control_reg = port(layout::ACPI_SLEEP_CONTROL_PORT);
    table.sleep_status_reg = port(layout::ACPI_SLEEP_STATUS_PORT);
    table.hypervisor_vendor_identity = u64::from_le_bytes(OEM_TABLE_ID).into();
    table.finalize()
}

/// One I/O port of 8 bits.
fn port(number: u16) -> GAS {
    GAS::new(
        AddressSpace::SystemIo,
        8,
        0,
        AccessSize::ByteAccess,
        u64::from(number),
    )
}
