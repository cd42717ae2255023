//! Start of the other processors (Intel SDM vol. 3, "Multiple-Processor Initialization"): INIT, a
//! wait, and the start-up interrupt twice.

use core::ptr::with_exposed_provenance_mut;
use core::sync::atomic::Ordering;

use super::clock::Clock;
use super::{local_apic, processor};
use crate::boot;

/// Page number of the code that a processor starts with: our choice, because it is RAM on every PC
/// and the monitor's tables there were copied.
const TRAMPOLINE_PAGE: u8 = 0x08;

/// How the SDM says to wait.
const AFTER_INIT_PER_S: u64 = 100;
const AFTER_STARTUP_PER_S: u64 = 5000;

/// Starts the processors with the identifiers `apic_ids`, which get the numbers 1, 2, ...
pub fn start_all(clock: &Clock, apic_ids: &[u8]) {
    // SAFETY: the symbol is an array of that type and size (boot/tables.s), changed by atomics only.
    let numbers = unsafe { &boot::processor_of_apic };
    for (&id, number) in apic_ids.iter().zip(1..) {
        numbers[usize::from(id)].store(number, Ordering::SeqCst);
    }
    let code = core::ptr::addr_of!(boot::ap_entry);
    let bytes = core::ptr::addr_of!(boot::ap_entry_end).addr() - code.addr();
    let trampoline = with_exposed_provenance_mut::<u8>(usize::from(TRAMPOLINE_PAGE) << 12);
    // SAFETY: the page is mapped and nobody uses it any more; the code is shorter than a page.
    unsafe { core::ptr::copy_nonoverlapping(code, trampoline, bytes) };

    apic_ids.iter().for_each(|&id| local_apic::send_init(id));
    wait(clock, AFTER_INIT_PER_S);
    for _ in 0..2 {
        apic_ids
            .iter()
            .for_each(|&id| local_apic::send_startup(id, TRAMPOLINE_PAGE));
        wait(clock, AFTER_STARTUP_PER_S);
    }
}

/// Waits for the given part of a second.
fn wait(clock: &Clock, per_s: u64) {
    let start = processor::ticks();
    while processor::ticks().wrapping_sub(start) < clock.ticks_of(1, per_s) {
        core::hint::spin_loop();
    }
}
