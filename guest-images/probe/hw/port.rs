//! I/O ports. Ring 3 may use all of them: boot/tables.s has a bitmap that says so.

use core::arch::asm;

/// Writes a byte to a port.
pub fn write(port: u16, byte: u8) {
    // SAFETY: the devices behind our ports do not reach into memory.
    unsafe {
        asm!("out dx, al", in("dx") port, in("al") byte, options(nomem, nostack, preserves_flags))
    }
}

/// Reads a byte from a port; where nothing answers, 0xff.
pub fn read(port: u16) -> u8 {
    let byte;
    // SAFETY: the devices behind our ports do not reach into memory.
    unsafe {
        asm!("in al, dx", in("dx") port, out("al") byte, options(nomem, nostack, preserves_flags))
    }
    byte
}
