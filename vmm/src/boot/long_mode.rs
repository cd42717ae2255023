//! The tables of the 64-bit entry: a GDT, and page tables that map the first 4 GiB to themselves
//! (Linux Documentation/arch/x86/boot.rst, "64-bit Boot Protocol"; Intel SDM volume 3, section
//! 4.5).
//!
//! ```text
//! 0x9000  PML4  1 entry    -> 0xa000
//! 0xa000  PDPT  4 entries  -> 0xb000, 0xc000, 0xd000, 0xe000
//! 0xb000  PDs   2048 entries of 2 MiB each
//! ```

use super::error::BootError;
use super::{GuestMemory, layout, write_guest};

/// Present and writable.
const TABLE: u64 = 0b11;
/// Present, writable, and a page of 2 MiB.
const LARGE_PAGE: u64 = 0b1000_0011;
const LARGE_PAGE_BYTES: u64 = 2 << 20;
const PDPT: u64 = layout::PAGE_TABLES.0 + layout::PAGE_BYTES;
const PDS: u64 = PDPT + layout::PAGE_BYTES;
const PD_COUNT: u64 = 4;
const PD_ENTRIES: u64 = 512;

/// The flat segments. The selectors 0x10 and 0x18 are those of the boot protocol.
const GDT: [u64; 5] = [
    0,
    0,
    // 0x10: code, 64-bit, execute and read, accessed.
    0x00af_9b00_0000_ffff,
    // 0x18: data, read and write, accessed.
    0x00cf_9300_0000_ffff,
    // 0x20: a busy TSS with base 0; in 64-bit mode its upper half would follow, and nothing
    // reads this one after the segment registers are loaded.
    0x0000_8b00_0000_0067,
];

/// The limit of the GDT, for GDTR.
pub(super) const GDT_LIMIT: u16 = 5 * 8 - 1;

/// Writes the GDT and the page tables.
pub(super) fn write_tables(memory: &GuestMemory) -> Result<(), BootError> {
    write_guest(memory, "GDT", layout::GDT, &bytes_of(GDT))?;
    write_guest(memory, "page tables", layout::PAGE_TABLES, &page_tables())
}

/// Builds PML4, PDPT and PDs, one after the other.
fn page_tables() -> Vec<u8> {
    let page = usize::try_from(layout::PAGE_BYTES).expect("a small constant");
    let mut tables = bytes_of([PDPT | TABLE]);
    tables.resize(page, 0);
    tables.extend(bytes_of(
        (0..PD_COUNT).map(|pd| (PDS + pd * layout::PAGE_BYTES) | TABLE),
    ));
    tables.resize(2 * page, 0);
    tables.extend(bytes_of(
        (0..PD_COUNT * PD_ENTRIES).map(|entry| (entry * LARGE_PAGE_BYTES) | LARGE_PAGE),
    ));
    tables
}

fn bytes_of(words: impl IntoIterator<Item = u64>) -> Vec<u8> {
    words.into_iter().flat_map(u64::to_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_tables_map_each_large_page_to_itself() {
        let tables = page_tables();
        let word = |address: u64| {
            let offset = usize::try_from(address - layout::PAGE_TABLES.0).unwrap();
            u64::from_le_bytes(tables[offset..offset + 8].try_into().unwrap())
        };
        let frame = |entry: u64| entry & 0x000f_ffff_ffff_f000;
        for address in [0, 0x10_0000, 0x7fff_ffff, 0xd000_0000, 0xffff_ffff_u64] {
            let pdpt = frame(word(layout::PAGE_TABLES.0 + (address >> 39) * 8));
            let pd = frame(word(pdpt + ((address >> 30) & 511) * 8));
            let entry = word(pd + ((address >> 21) & 511) * 8);
            assert_eq!(entry & 0xfff, 0x83);
            assert_eq!(frame(entry) + address % LARGE_PAGE_BYTES, address);
        }
        assert_eq!(tables.len(), 6 * 4096);
    }
}
