//! The local APIC in its memory-mapped form (Intel SDM vol. 3, "Advanced Programmable Interrupt
//! Controller"): its one-shot timer, and the interrupts that start other processors.

use core::ptr::with_exposed_provenance_mut;

const BASE: usize = 0xfee0_0000;

/// Registers, as offsets from the base.
mod register {
    pub const ID: usize = 0x20;
    pub const SPURIOUS: usize = 0xf0;
    pub const COMMAND_LOW: usize = 0x300;
    pub const COMMAND_HIGH: usize = 0x310;
    pub const LVT_TIMER: usize = 0x320;
    pub const LVT_LINT0: usize = 0x350;
    pub const TIMER_INITIAL: usize = 0x380;
    pub const TIMER_CURRENT: usize = 0x390;
    pub const TIMER_DIVIDE: usize = 0x3e0;
}

/// `VECTOR_TIMER` and `VECTOR_SPURIOUS` of boot/traps.s.
const VECTOR_TIMER: u32 = 32;
const VECTOR_SPURIOUS: u32 = 47;

const MASKED: u32 = 1 << 16;
const SOFTWARE_ENABLED: u32 = 1 << 8;
const DIVIDE_BY_1: u32 = 0b1011;
const DELIVERY_PENDING: u32 = 1 << 12;
const INIT_ASSERT: u32 = 0x4500;
const STARTUP_ASSERT: u32 = 0x4600;

/// Our choice: because a command is under way for microseconds, if there is an APIC at all.
const MOST_POLLS: u32 = 100_000;

fn read(register: usize) -> u32 {
    // SAFETY: boot/tables.s maps the page uncached; the registers used have no effect when read.
    unsafe { with_exposed_provenance_mut::<u32>(BASE + register).read_volatile() }
}

fn write(register: usize, value: u32) {
    // SAFETY: boot/tables.s maps the page uncached; no register reaches into memory.
    unsafe { with_exposed_provenance_mut::<u32>(BASE + register).write_volatile(value) }
}

/// Identifier of this processor's APIC.
pub fn id() -> u8 {
    let [.., id] = read(register::ID).to_le_bytes();
    id
}

/// Gets the timer ready and keeps the interrupts of old devices away.
pub fn enable() {
    write(register::SPURIOUS, SOFTWARE_ENABLED | VECTOR_SPURIOUS);
    write(register::LVT_LINT0, MASKED);
    write(register::TIMER_DIVIDE, DIVIDE_BY_1);
    write(register::LVT_TIMER, VECTOR_TIMER);
}

/// Starts the timer, which interrupts once when it has counted down; 0 stops it.
pub fn start_timer(count: u32) {
    write(register::TIMER_INITIAL, count);
}

/// What the timer still has to count.
pub fn timer_count() -> u32 {
    read(register::TIMER_CURRENT)
}

/// Puts another processor into the state after a reset, waiting.
pub fn send_init(apic_id: u8) {
    send(apic_id, INIT_ASSERT);
}

/// Starts a waiting processor in real mode at the address `page` * 4096.
pub fn send_startup(apic_id: u8, page: u8) {
    send(apic_id, STARTUP_ASSERT | u32::from(page));
}

fn send(apic_id: u8, command: u32) {
    write(register::COMMAND_HIGH, u32::from(apic_id) << 24);
    write(register::COMMAND_LOW, command);
    for _ in 0..MOST_POLLS {
        if read(register::COMMAND_LOW) & DELIVERY_PENDING == 0 {
            return;
        }
    }
}
