//! The processors, from the ACPI tables (ACPI 6.5: 5.2.5 RSDP, 5.2.7 RSDT, 5.2.8 XSDT, 5.2.12 MADT).

#[cfg(test)]
mod tests;

use super::boot_info::PhysicalMemory;

/// The most processors we use: the most vCPUs skiff gives a VM, and those of boot/tables.s.
pub const MOST_PROCESSORS: usize = 32;

/// Our choice: because no real table is longer, and a broken length must not keep us busy.
const LONGEST_TABLE_BYTES: u64 = 64 << 10;

/// Where a BIOS leaves the root pointer (5.2.5.1); it lies on a multiple of 16.
const BIOS_AREA: core::ops::Range<u64> = 0xe_0000..0x10_0000;

const RSDP_SIGNATURE: u64 = u64::from_le_bytes(*b"RSD PTR ");
const MADT_SIGNATURE: u32 = u32::from_le_bytes(*b"APIC");
const HEADER_BYTES: u64 = 36;

/// The one address of the local APICs that boot/tables.s maps.
const LOCAL_APIC_GPA: u32 = 0xfee0_0000;

/// Identifiers of the local APICs of all processors that can be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Processors {
    apic_ids: [u8; MOST_PROCESSORS],
    count: usize,
}

impl Processors {
    /// Finds the processors. Without usable tables the result is empty.
    pub fn find(memory: &impl PhysicalMemory, rsdp_gpa: Option<u64>) -> Self {
        let mut processors = Self {
            apic_ids: [0; MOST_PROCESSORS],
            count: 0,
        };
        let rsdp_gpa = rsdp_gpa.or_else(|| {
            BIOS_AREA
                .step_by(16)
                .find(|&gpa| memory.word64(gpa) == RSDP_SIGNATURE)
        });
        if let Some(madt) = rsdp_gpa.and_then(|rsdp| find_madt(memory, rsdp)) {
            processors.read_madt(memory, madt);
        }
        processors
    }

    /// The identifiers in the order of the table.
    #[must_use]
    pub fn apic_ids(&self) -> &[u8] {
        &self.apic_ids[..self.count]
    }

    fn read_madt(&mut self, memory: &impl PhysicalMemory, madt: u64) {
        if memory.word32(madt + HEADER_BYTES) != LOCAL_APIC_GPA {
            return;
        }
        let end = madt + table_bytes(memory, madt);
        let mut entry = madt + HEADER_BYTES + 8;
        while entry + 8 <= end {
            let length = memory.byte(entry + 1);
            // Type 0: processor local APIC; bit 0 of its flags: enabled.
            if memory.byte(entry) == 0 && length >= 8 && memory.word32(entry + 4) & 1 != 0 {
                self.add(memory.byte(entry + 3));
            }
            entry += u64::from(length.max(2));
        }
    }

    fn add(&mut self, apic_id: u8) {
        if let Some(place) = self.apic_ids.get_mut(self.count) {
            *place = apic_id;
            self.count += 1;
        }
    }
}

fn table_bytes(memory: &impl PhysicalMemory, table: u64) -> u64 {
    u64::from(memory.word32(table + 4)).min(LONGEST_TABLE_BYTES)
}

fn find_madt(memory: &impl PhysicalMemory, rsdp: u64) -> Option<u64> {
    if memory.word64(rsdp) != RSDP_SIGNATURE {
        return None;
    }
    let revision = memory.byte(rsdp + 15);
    let xsdt = if revision >= 2 {
        memory.word64(rsdp + 24)
    } else {
        0
    };
    let (root, entry_bytes) = if xsdt != 0 {
        (xsdt, 8)
    } else {
        (u64::from(memory.word32(rsdp + 16)), 4)
    };
    let entries = table_bytes(memory, root).saturating_sub(HEADER_BYTES) / entry_bytes;
    (0..entries)
        .map(|number| root + HEADER_BYTES + entry_bytes * number)
        .map(|entry| {
            if entry_bytes == 8 {
                memory.word64(entry)
            } else {
                u64::from(memory.word32(entry))
            }
        })
        .find(|&table| memory.word32(table) == MADT_SIGNATURE)
}
