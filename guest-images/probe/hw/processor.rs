//! The processor this code runs on: its counter, its identification and its sleep.

use core::arch::asm;
use core::arch::x86_64::{__cpuid, __cpuid_count, _rdtsc};
use core::sync::atomic::{AtomicU64, Ordering};

use crate::boot;

/// The time-stamp counter.
pub fn ticks() -> u64 {
    // SAFETY: every x86-64 processor has the instruction, and nothing forbids it to ring 3.
    unsafe { _rdtsc() }
}

/// Registers eax, ebx, ecx of a CPUID leaf, or nothing if `leaf` is above the highest of its range.
pub fn identification(leaf: u32) -> Option<(u32, u32, u32)> {
    let range = leaf & 0xffff_0000;
    let highest = __cpuid(range).eax;
    (range..=highest).contains(&leaf).then(|| {
        let result = __cpuid_count(leaf, 0);
        (result.eax, result.ebx, result.ecx)
    })
}

/// Whether the timer interrupt of processor `number` came since this word was last set to 0.
pub fn timer_fired(number: usize) -> &'static AtomicU64 {
    // SAFETY: the symbol is an array of that type and size (boot/tables.s), changed by atomics only.
    let stacks = unsafe { &boot::ring0_stacks };
    &stacks[number].timer_fired
}

/// Sleeps until the timer interrupt comes; returns at once if it came since `fired` was 0.
pub fn halt(fired: &AtomicU64) {
    if fired.load(Ordering::Acquire) == 0 {
        // SAFETY: boot/traps.s halts in our place, and looks at `fired` again before it does.
        unsafe { asm!("hlt", options(nostack)) }
    }
}

/// Halts for good.
pub fn halt_forever() -> ! {
    loop {
        // SAFETY: as in `halt`.
        unsafe { asm!("hlt", options(nostack)) }
    }
}
