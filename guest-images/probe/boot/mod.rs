//! The assembly of the start, what it exports, and the entries that it calls in ring 3.

use core::arch::global_asm;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU8, AtomicU64};

use crate::hw::{power, serial};
use crate::pure::boot_info::Protocol;
use crate::pure::text::Line;
use crate::run;

global_asm!(
    include_str!("tables.s"),
    include_str!("entry.s"),
    include_str!("traps.s"),
    options(raw)
);

/// `BOOT_LINUX` of entry.s.
const BOOT_LINUX: u64 = 1;

/// Bytes of a ring-0 stack, `RING0_STACK_BYTES` of tables.s.
pub const RING0_STACK_BYTES: usize = 512;

/// Processors that tables.s has room for.
pub const PROCESSORS: usize = 32;

/// A stack for ring 0.
#[repr(C)]
#[derive(Debug)]
pub struct Ring0Stack {
    frames: [AtomicU64; RING0_STACK_BYTES / 8 - 2],
    /// Not 0 once the timer interrupt came while the processor was in ring 3.
    pub timer_fired: AtomicU64,
    padding: u64,
}

unsafe extern "C" {
    /// The third and fourth level of the page tables are 512 entries of 8 bytes.
    pub static page_directory_pointers: [AtomicU64; 512];
    /// Gates of 16 bytes.
    pub static idt: [AtomicU64; 2 * 48];
    /// One for each processor.
    pub static ring0_stacks: [Ring0Stack; PROCESSORS];
    /// Numbers of processors by identifier of their local APIC.
    pub static processor_of_apic: [AtomicU8; 256];
    /// First byte of the code an application processor starts with.
    pub static ap_entry: u8;
    /// First byte after that code.
    pub static ap_entry_end: u8;
    /// First byte after the memory this program was loaded to; of link.ld.
    pub static image_end: u8;
}

#[unsafe(no_mangle)]
extern "C" fn ring3_entry(protocol: u64, parameters_gpa: u64, processor: u64) -> ! {
    match protocol {
        0 => run::boot_processor(Protocol::Pvh, parameters_gpa),
        BOOT_LINUX => run::boot_processor(Protocol::Linux, parameters_gpa),
        _ => run::application_processor(processor),
    }
}

#[unsafe(no_mangle)]
extern "C" fn fault_entry(vector: u64, error_code: u64, instruction: u64, address: u64) -> ! {
    let mut line = Line::record("fault vector=");
    line.decimal(vector).text(" error=").hexadecimal(error_code);
    line.text(" rip=")
        .hexadecimal(instruction)
        .text(" cr2=")
        .hexadecimal(address);
    serial::report(line);
    power::off()
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let mut line = Line::record("error defect in ");
    match info.location() {
        Some(place) => line
            .text(place.file())
            .text(" line ")
            .decimal(u64::from(place.line())),
        None => line.text("an unknown place"),
    };
    serial::report(line);
    power::off()
}
