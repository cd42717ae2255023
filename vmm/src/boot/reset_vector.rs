//! The one piece of firmware: what runs at the reset vector of the first megabyte.
//!
//! Linux with EFI support does not trust the reset register of a hardware-reduced machine (it
//! expects EFI's own reset there) and, without EFI, jumps to the BIOS in real mode, f000:fff0
//! (arch/x86/kernel/reboot.c, `BOOT_EFI` then `BOOT_BIOS`). So the code there writes the reset
//! register, and a reboot works whatever the kernel's command line says.

use super::error::BootError;
use super::{GuestMemory, layout, write_guest};

/// Writes the code to [`layout::RESET_VECTOR`].
pub(super) fn write(memory: &GuestMemory) -> Result<(), BootError> {
    write_guest(memory, "reset vector", layout::RESET_VECTOR, &code())
}

/// In real mode: `mov dx, port; mov al, value; out dx, al; hlt; jmp` back to the `hlt`.
fn code() -> [u8; 9] {
    let [port_low, port_high] = layout::ACPI_RESET_PORT.to_le_bytes();
    [
        0xba,
        port_low,
        port_high,
        0xb0,
        layout::ACPI_RESET_VALUE,
        0xee,
        0xf4,
        0xeb,
        0xfd,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_ends_below_1_mib_and_writes_the_reset_register() {
        let code = code();
        assert_eq!(code[..6], [0xba, 0x02, 0x06, 0xb0, 0x01, 0xee]);
        let end = layout::RESET_VECTOR.0 + u64::try_from(code.len()).unwrap();
        assert!(end <= layout::KERNEL_START);
    }
}
