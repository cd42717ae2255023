//! The end: ACPI sleep control of skiff, then the reset of a PC's keyboard controller, then a triple
//! fault, which resets every machine.

use core::arch::asm;
use core::sync::atomic::Ordering;

use super::{port, processor};
use crate::boot;

/// ACPI 6.5, 4.8.3.7 "Sleep Control Register": SLP_EN, and S5 as SLP_TYP, at the port skiff's FADT gives.
const SLEEP_CONTROL: (u16, u8) = (0x600, 0x20 | 5 << 2);

/// The keyboard controller's "pulse the reset line".
const RESET: (u16, u8) = (0x64, 0xfe);

/// Our choice: because a monitor may act on a port a moment after the write was done.
const PATIENCE_TICKS: u64 = 100_000_000;

/// Switches the machine off.
pub fn off() -> ! {
    for (port, byte) in [SLEEP_CONTROL, RESET] {
        port::write(port, byte);
        let start = processor::ticks();
        while processor::ticks().wrapping_sub(start) < PATIENCE_TICKS {
            core::hint::spin_loop();
        }
    }
    // SAFETY: the symbol is an array of that type and size (boot/tables.s), changed by atomics only.
    for gate in unsafe { &boot::idt } {
        gate.store(0, Ordering::SeqCst);
    }
    // SAFETY: without a gate for it the exception cannot be delivered, and ends the machine.
    unsafe { asm!("ud2", options(noreturn)) }
}
