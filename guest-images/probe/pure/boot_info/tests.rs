//! Tests of the boot protocols' structures, as literal bytes in a sparse memory.

use std::collections::BTreeMap;

use super::{BootInfo, PhysicalMemory, Protocol};

/// Memory in which only the bytes written are not 0.
#[derive(Debug, Default)]
pub struct SparseMemory(BTreeMap<u64, u8>);

impl SparseMemory {
    /// Writes `bytes` at `gpa`.
    pub fn with(mut self, gpa: u64, bytes: &[u8]) -> Self {
        self.0.extend((gpa..).zip(bytes.iter().copied()));
        self
    }
}

impl PhysicalMemory for SparseMemory {
    fn byte(&self, gpa: u64) -> u8 {
        self.0.get(&gpa).copied().unwrap_or(0)
    }
}

const USABLE: core::ops::Range<u64> = 0x20_0000..1 << 40;

fn pvh(version: u32) -> SparseMemory {
    SparseMemory::default()
        .with(0x6000, &0x336e_c578_u32.to_le_bytes())
        .with(0x6004, &version.to_le_bytes())
        .with(0x6018, &0x2_0000_u64.to_le_bytes())
        .with(0x6020, &0xe_0000_u64.to_le_bytes())
        .with(0x6028, &0x7000_u64.to_le_bytes())
        .with(0x6030, &3_u32.to_le_bytes())
        .with(0x2_0000, b"console=ttyS0 ws=1M\0left over")
        .with(0x7000, &[0; 8])
        .with(0x7008, &0x9_fc00_u64.to_le_bytes())
        .with(0x7010, &[1])
        .with(0x7018, &0x10_0000_u64.to_le_bytes())
        .with(0x7020, &0x30_0000_u64.to_le_bytes())
        .with(0x7028, &[1])
        .with(0x7030, &0x40_0000_u64.to_le_bytes())
        .with(0x7038, &0x10_0000_u64.to_le_bytes())
        .with(0x7040, &[2])
}

#[test]
fn read_pvh_start_info_gives_ram_command_line_and_rsdp() {
    let info = BootInfo::read(&pvh(1), Protocol::Pvh, 0x6000, USABLE);
    assert_eq!(info.command_line(), b"console=ttyS0 ws=1M");
    assert_eq!(info.rsdp_gpa, Some(0xe_0000));
    assert_eq!(
        (info.memory.gpa_of(0), info.memory.pages()),
        (Some(0x20_0000), 512)
    );
}

#[test]
fn read_pvh_without_memory_map_or_magic_has_no_ram() {
    let info = BootInfo::read(&pvh(0), Protocol::Pvh, 0x6000, USABLE);
    assert_eq!((info.memory.pages(), info.command_line().len()), (0, 19));
    let info = BootInfo::read(&pvh(1), Protocol::Pvh, 0x6001, USABLE);
    assert_eq!(
        (
            info.memory.pages(),
            info.command_line().len(),
            info.rsdp_gpa
        ),
        (0, 0, None)
    );
}

#[test]
fn read_linux_boot_params_gives_ram_command_line_and_rsdp() {
    let memory = SparseMemory::default()
        .with(0x7070, &0xf_0000_u64.to_le_bytes())
        .with(0x71e8, &[2])
        .with(0x7228, &0x2_0000_u32.to_le_bytes())
        .with(0x72d0, &0x10_0000_u64.to_le_bytes())
        .with(0x72d8, &0x30_0000_u64.to_le_bytes())
        .with(0x72e0, &[1])
        .with(0x72e4, &0x1_0000_0000_u64.to_le_bytes())
        .with(0x72ec, &u64::MAX.to_le_bytes())
        .with(0x72f4, &[1])
        .with(0x2_0000, b"seed=4");
    let info = BootInfo::read(&memory, Protocol::Linux, 0x7000, USABLE);
    assert_eq!(info.command_line(), b"seed=4");
    assert_eq!(info.rsdp_gpa, Some(0xf_0000));
    assert_eq!(info.memory.extents()[1].gpa, 1 << 32);
    assert_eq!(info.memory.pages(), 512 + ((1 << 40) - (1 << 32)) / 4096);
}

#[test]
fn read_endless_command_line_is_cut() {
    let memory = pvh(1).with(0x2_0000, &[b'x'; 5000]);
    let info = BootInfo::read(&memory, Protocol::Pvh, 0x6000, USABLE);
    assert_eq!(info.command_line().len(), 2048);
}
