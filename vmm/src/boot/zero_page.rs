//! What a Linux guest is told when it starts by its 64-bit entry: `boot_params`, "the zero page"
//! (Linux Documentation/arch/x86/boot.rst and zero-page.rst).

use linux_loader::loader::bootparam::{boot_e820_entry, boot_params, setup_header};
use vm_memory::{ByteValued, GuestAddress};

use super::error::BootError;
use super::initrd::LoadedInitrd;
use super::regions::RamLayout;
use super::{GuestMemory, layout, write_guest};

/// A boot loader without a number of its own (boot.rst, `type_of_loader`).
const LOADER_UNDEFINED: u8 = 0xff;

/// Writes the zero page around `header`, the kernel's own; returns its address.
pub(super) fn write(
    memory: &GuestMemory,
    ram: RamLayout,
    header: setup_header,
    initrd: Option<LoadedInitrd>,
) -> Result<GuestAddress, BootError> {
    let params = boot_params_of(ram, header, initrd);
    write_guest(memory, "zero page", layout::ZERO_PAGE, params.as_slice())?;
    Ok(layout::ZERO_PAGE)
}

fn boot_params_of(
    ram: RamLayout,
    header: setup_header,
    initrd: Option<LoadedInitrd>,
) -> boot_params {
    let mut params = boot_params {
        hdr: header,
        ..boot_params::default()
    };
    params.acpi_rsdp_addr = layout::ACPI_TABLES.0;
    params.hdr.type_of_loader = LOADER_UNDEFINED;
    params.hdr.cmd_line_ptr =
        u32::try_from(layout::COMMAND_LINE.0).expect("the command line is below 4 GiB");
    if let Some(LoadedInitrd { start, size_bytes }) = initrd {
        params.hdr.ramdisk_image = start;
        params.hdr.ramdisk_size = size_bytes;
    }

    let map = ram.memory_map();
    let mut table = params.e820_table;
    for (slot, entry) in table.iter_mut().zip(&map) {
        *slot = boot_e820_entry {
            addr: entry.start,
            size: entry.length_bytes,
            r#type: entry.kind.number(),
        };
    }
    params.e820_table = table;
    params.e820_entries = u8::try_from(map.len()).expect("a handful of entries");
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_page_has_each_field_where_linux_looks_for_it() {
        let ram = RamLayout::new(4 << 30).unwrap();
        let header = setup_header {
            version: 0x20f,
            ..setup_header::default()
        };
        let initrd = LoadedInitrd {
            start: 0x7ff0_0000,
            size_bytes: 0x1234,
        };
        let params = boot_params_of(ram, header, Some(initrd));
        let page = params.as_slice();
        assert_eq!(page.len(), 4096);
        assert_eq!(page[0x70..0x78], 0xe_0000_u64.to_le_bytes());
        assert_eq!(page[0x1e8], 6);
        assert_eq!(page[0x206..0x208], [0x0f, 0x02]);
        assert_eq!(page[0x210], 0xff);
        assert_eq!(page[0x218..0x21c], 0x7ff0_0000_u32.to_le_bytes());
        assert_eq!(page[0x21c..0x220], 0x1234_u32.to_le_bytes());
        assert_eq!(page[0x228..0x22c], 0x2_0000_u32.to_le_bytes());

        let last = 0x2d0 + 5 * 20;
        assert_eq!(page[last..last + 8], (4_u64 << 30).to_le_bytes());
        assert_eq!(page[last + 8..last + 16], (1_u64 << 30).to_le_bytes());
        assert_eq!(page[last + 16..last + 20], [1, 0, 0, 0]);
        assert_eq!(page[last + 20..last + 40], [0; 20]);
    }
}
