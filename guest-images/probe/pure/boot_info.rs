//! What the monitor says about the machine: Xen PVH `hvm_start_info` (xen/include/public/arch-x86/hvm/
//! start_info.h) or Linux `boot_params` (Documentation/arch/x86/zero-page.rst).

#[cfg(test)]
pub mod tests;

use super::memory_map::MemoryMap;

/// Reads guest-physical memory; what is out of reach reads as 0.
pub trait PhysicalMemory {
    /// The byte at an address.
    fn byte(&self, gpa: u64) -> u8;

    /// Four bytes, little endian.
    #[inline(never)]
    fn word32(&self, gpa: u64) -> u32 {
        u32::from_le_bytes(core::array::from_fn(|place| {
            self.byte(gpa.wrapping_add(place as u64))
        }))
    }

    /// Eight bytes, little endian.
    #[inline(never)]
    fn word64(&self, gpa: u64) -> u64 {
        u64::from_le_bytes(core::array::from_fn(|place| {
            self.byte(gpa.wrapping_add(place as u64))
        }))
    }
}

/// Our choice: because it is what Linux accepts on x86 (COMMAND_LINE_SIZE).
const COMMAND_LINE_BYTES: usize = 2048;

/// Our choice: because e820 has 128 entries at most, too.
const MOST_MEMORY_ENTRIES: u32 = 128;

/// `XEN_HVM_START_MAGIC_VALUE`.
const PVH_MAGIC: u32 = 0x336e_c578;

/// `E820_TYPE_RAM` and `XEN_HVM_MEMMAP_TYPE_RAM`.
const RAM: u32 = 1;

/// The ways a monitor starts us; the numbers are those of boot/entry.s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Xen PVH.
    Pvh,
    /// The Linux 64-bit boot protocol.
    Linux,
}

/// A copy of all we need from the monitor's tables, so that their memory is free afterwards.
#[derive(Clone, Debug)]
pub struct BootInfo {
    /// RAM, whole pages.
    pub memory: MemoryMap,
    /// Address of the ACPI root pointer, if the monitor gave one.
    pub rsdp_gpa: Option<u64>,
    command_line: [u8; COMMAND_LINE_BYTES],
    command_line_length: usize,
}

impl BootInfo {
    /// Reads the tables at `gpa`. RAM below `usable_start` and from `usable_end` on is left out.
    pub fn read(
        memory: &impl PhysicalMemory,
        protocol: Protocol,
        gpa: u64,
        usable: core::ops::Range<u64>,
    ) -> Self {
        let mut info = Self {
            memory: MemoryMap::EMPTY,
            rsdp_gpa: None,
            command_line: [0; COMMAND_LINE_BYTES],
            command_line_length: 0,
        };
        let add = |info: &mut Self, entry: u64, kind: u32| {
            let (start, size) = (memory.word64(entry), memory.word64(entry + 8));
            if kind == RAM {
                let end = start.saturating_add(size).min(usable.end);
                info.memory.add(start.max(usable.start), end);
            }
        };
        let (command_line_gpa, rsdp_gpa) = match protocol {
            Protocol::Pvh if memory.word32(gpa) != PVH_MAGIC => (0, 0),
            Protocol::Pvh => {
                // Version 0 of the structure ends before the memory map.
                let version = memory.word32(gpa + 4);
                let entries = if version == 0 {
                    0
                } else {
                    memory.word32(gpa + 48)
                };
                let table = memory.word64(gpa + 40);
                for number in 0..u64::from(entries.min(MOST_MEMORY_ENTRIES)) {
                    let entry = table.wrapping_add(24 * number);
                    add(&mut info, entry, memory.word32(entry + 16));
                }
                (memory.word64(gpa + 24), memory.word64(gpa + 32))
            }
            Protocol::Linux => {
                for number in 0..u64::from(memory.byte(gpa + 0x1e8)) {
                    let entry = gpa + 0x2d0 + 20 * number;
                    add(&mut info, entry, memory.word32(entry + 16));
                }
                let low = u64::from(memory.word32(gpa + 0x228));
                let high = u64::from(memory.word32(gpa + 0xc8));
                (low | high << 32, memory.word64(gpa + 0x70))
            }
        };
        info.rsdp_gpa = (rsdp_gpa != 0).then_some(rsdp_gpa);
        if command_line_gpa != 0 {
            info.copy_command_line(memory, command_line_gpa);
        }
        info
    }

    /// The command line, without the zero at its end.
    #[must_use]
    pub fn command_line(&self) -> &[u8] {
        &self.command_line[..self.command_line_length]
    }

    fn copy_command_line(&mut self, memory: &impl PhysicalMemory, gpa: u64) {
        for (place, address) in self.command_line.iter_mut().zip(gpa..) {
            *place = memory.byte(address);
            if *place == 0 {
                return;
            }
            self.command_line_length += 1;
        }
    }
}
