//! Linux bzImages, by the 64-bit boot protocol (Linux Documentation/arch/x86/boot.rst).

use std::io::{Read, Seek};

use linux_loader::loader::KernelLoader;
use linux_loader::loader::bootparam::{LOADED_HIGH, XLF_KERNEL_64, setup_header};
use linux_loader::loader::bzimage::BzImage;
use thiserror::Error as ThisError;
use vm_memory::{ByteValued, ReadVolatile};

use super::{Head, KernelEntry, LoadedKernel, check_fits, check_whole};
use crate::boot::GuestMemory;
use crate::boot::error::BootError;
use crate::boot::layout;
use crate::boot::regions::RamLayout;

/// The offset of the setup header in the file and in the zero page.
const SETUP_HEADER_OFFSET: usize = 0x1f1;
/// The protocol version 2.12, the first with `xloadflags` and so with a 64-bit entry.
const VERSION_MIN: u16 = 0x20c;
/// Where the 64-bit entry is, from the load address of the kernel ("64-bit Boot Protocol").
const ENTRY_64_OFFSET: u64 = 0x200;
const SECTOR_BYTES: u64 = 512;
/// The unit of `syssize`.
const PARAGRAPH_BYTES: u64 = 16;

/// Why a bzImage is not a kernel for this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ThisError)]
pub enum BzImageDefect {
    /// Its boot protocol is older than 2.12 (Linux 3.8).
    #[error("it speaks the boot protocol {}.{}; 2.12 (Linux 3.8) or later is needed",
        version >> 8, version & 0xff)]
    OldProtocol {
        /// `version` of the setup header.
        version: u16,
    },
    /// It has no 64-bit entry.
    #[error("it is a 32-bit kernel; a 64-bit one is needed")]
    Not64Bit,
    /// It loads to where the monitor keeps what it tells the kernel.
    #[error("it loads at {address:#x}, below 1 MiB")]
    LoadsTooLow {
        /// `code32_start` of the setup header, or 0 for a zImage.
        address: u32,
    },
}

/// Loads the bzImage in `image` at the address that it prefers for its packed form.
pub(super) fn load<F>(
    memory: &GuestMemory,
    ram: RamLayout,
    image: &mut F,
    head: &Head,
) -> Result<LoadedKernel, BootError>
where
    F: Read + ReadVolatile + Seek,
{
    let header = parse_header(head)?;
    let payload_bytes = check_payload(&header, head.file_bytes)?;
    let end = memory_end(&header, payload_bytes);
    check_fits(end, ram)?;

    let loaded = BzImage::load(memory, None, image, None).map_err(BootError::LoadKernel)?;
    Ok(LoadedKernel {
        entry: KernelEntry::Long64 {
            entry: loaded.kernel_load.0 + ENTRY_64_OFFSET,
            header,
        },
        end,
        command_line_max_bytes: header.cmdline_size,
        initrd_addr_max: header.initrd_addr_max,
    })
}

fn parse_header(head: &Head) -> Result<setup_header, BootError> {
    let end = SETUP_HEADER_OFFSET + size_of::<setup_header>();
    check_whole(
        u64::try_from(end).expect("a small constant"),
        head.file_bytes,
    )?;
    let header = *setup_header::from_slice(&head.prefix[SETUP_HEADER_OFFSET..end])
        .expect("the slice has the size of the header, which has no alignment");
    let (version, address) = (header.version, header.code32_start);
    let defect = if version < VERSION_MIN {
        BzImageDefect::OldProtocol { version }
    } else if header.xloadflags & XLF_KERNEL_64 == 0 {
        BzImageDefect::Not64Bit
    } else if header.loadflags & LOADED_HIGH == 0 {
        BzImageDefect::LoadsTooLow { address: 0 }
    } else if u64::from(address) < layout::KERNEL_START {
        BzImageDefect::LoadsTooLow { address }
    } else {
        return Ok(header);
    };
    Err(BootError::BzImage(defect))
}

/// Checks that the file holds the whole protected-mode kernel; returns the size of all that
/// follows the real-mode part (a signature may come after the kernel).
fn check_payload(header: &setup_header, file_bytes: u64) -> Result<u64, BootError> {
    let setup_sectors = match header.setup_sects {
        0 => 4,
        sectors => u64::from(sectors),
    };
    let setup_bytes = (setup_sectors + 1) * SECTOR_BYTES;
    let kernel_bytes = u64::from(header.syssize) * PARAGRAPH_BYTES;
    check_whole(
        setup_bytes + kernel_bytes.max(ENTRY_64_OFFSET + 1),
        file_bytes,
    )?;
    Ok(file_bytes - setup_bytes)
}

/// The end of the memory that the kernel uses until it has unpacked itself: of the packed kernel
/// where it is loaded, and of `init_size` bytes from where it unpacks itself to, which is not
/// below `pref_address` ("Details of Header Fields", `init_size`).
fn memory_end(header: &setup_header, payload_bytes: u64) -> u64 {
    let load_address = u64::from(header.code32_start);
    let alignment = u64::from(header.kernel_alignment).max(1);
    let unpack_address = load_address
        .next_multiple_of(alignment)
        .max(header.pref_address);
    let unpacked_end = unpack_address.saturating_add(u64::from(header.init_size));
    unpacked_end.max(load_address.saturating_add(payload_bytes))
}
