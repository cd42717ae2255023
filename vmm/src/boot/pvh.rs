//! What a PVH guest is told: the start info (Xen public/arch-x86/hvm/start_info.h, version 1).
//!
//! ```text
//! 0x6000  hvm_start_info          56 bytes
//! 0x6040  hvm_modlist_entry       32 bytes: the initrd, if there is one
//! 0x6080  hvm_memmap_table_entry  24 bytes each
//! ```

use linux_loader::loader::elf::start_info::{
    XEN_HVM_START_MAGIC_VALUE, hvm_memmap_table_entry, hvm_modlist_entry, hvm_start_info,
};
use vm_memory::{ByteValued, GuestAddress};

use super::error::BootError;
use super::initrd::LoadedInitrd;
use super::regions::RamLayout;
use super::{GuestMemory, layout, write_guest};

const MODULES_OFFSET: usize = 0x40;
const MEMORY_MAP_OFFSET: usize = 0x80;

/// Writes the start info and what it points to; returns its address.
pub(super) fn write_start_info(
    memory: &GuestMemory,
    ram: RamLayout,
    initrd: Option<LoadedInitrd>,
) -> Result<GuestAddress, BootError> {
    let page = start_info_page(ram, initrd);
    write_guest(memory, "PVH start info", layout::PVH_START_INFO, &page)?;
    Ok(layout::PVH_START_INFO)
}

/// Builds the bytes from [`layout::PVH_START_INFO`] on.
fn start_info_page(ram: RamLayout, initrd: Option<LoadedInitrd>) -> Vec<u8> {
    let map = ram.memory_map();
    let module = initrd.map(|initrd| hvm_modlist_entry {
        paddr: u64::from(initrd.start),
        size: u64::from(initrd.size_bytes),
        ..hvm_modlist_entry::default()
    });
    let start_info = hvm_start_info {
        magic: XEN_HVM_START_MAGIC_VALUE,
        version: 1,
        flags: 0,
        nr_modules: u32::from(module.is_some()),
        modlist_paddr: module.map_or(0, |_| address_of(MODULES_OFFSET)),
        cmdline_paddr: layout::COMMAND_LINE.0,
        rsdp_paddr: layout::ACPI_TABLES.0,
        memmap_paddr: address_of(MEMORY_MAP_OFFSET),
        memmap_entries: u32::try_from(map.len()).expect("a handful of entries"),
        reserved: 0,
    };

    let mut page = start_info.as_slice().to_vec();
    page.resize(MODULES_OFFSET, 0);
    page.extend_from_slice(module.unwrap_or_default().as_slice());
    page.resize(MEMORY_MAP_OFFSET, 0);
    for entry in map {
        let entry = hvm_memmap_table_entry {
            addr: entry.start,
            size: entry.length_bytes,
            type_: entry.kind.number(),
            reserved: 0,
        };
        page.extend_from_slice(entry.as_slice());
    }
    page
}

fn address_of(offset: usize) -> u64 {
    let offset = u64::try_from(offset).expect("an offset in a page");
    layout::PVH_START_INFO.0 + offset
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_info_with_an_initrd_has_the_bytes_of_the_specification() {
        let ram = RamLayout::new(64 << 20).unwrap();
        let initrd = LoadedInitrd {
            start: 0x3ff_0000,
            size_bytes: 0x1234,
        };
        let page = start_info_page(ram, Some(initrd));
        let words: Vec<u64> = page
            .as_chunks()
            .0
            .iter()
            .map(|word| u64::from_le_bytes(*word))
            .collect();
        assert_eq!(page.len(), 0x80 + 5 * 24);
        assert_eq!(words[0], 1 << 32 | 0x336e_c578);
        assert_eq!(words[1], 1 << 32);
        assert_eq!(words[2..7], [0x6040, 0x2_0000, 0xe_0000, 0x6080, 5]);
        assert_eq!(words[8..12], [0x3ff_0000, 0x1234, 0, 0]);
        assert_eq!(words[16..19], [0, 0x9_fc00, 1]);
        assert_eq!(words[19..22], [0x9_fc00, 0x400, 2]);
        assert_eq!(words[22..25], [0xe_0000, 0x2_0000, 2]);
        assert_eq!(words[25..28], [0x10_0000, 63 << 20, 1]);
        assert_eq!(words[28..31], [0xfffb_c000, 0x4000, 2]);
    }

    #[test]
    fn start_info_without_an_initrd_has_no_modules() {
        let page = start_info_page(RamLayout::new(64 << 20).unwrap(), None);
        assert_eq!(page[12..24], [0; 12]);
        assert_eq!(page[MODULES_OFFSET..MEMORY_MAP_OFFSET], [0; 0x40]);
    }

    #[test]
    fn start_info_of_the_biggest_guest_stays_in_its_page() {
        let ram = RamLayout::new(crate::boot::MEMORY_MAX_BYTES).unwrap();
        assert!(start_info_page(ram, None).len() <= 4096);
    }
}
