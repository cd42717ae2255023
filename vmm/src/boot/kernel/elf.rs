//! ELF kernels: the header, the segments and the PVH note (System V ABI, "Object Files"; Xen
//! docs/misc/pvh.pandoc).

use std::io::{Read, Seek, SeekFrom};

use linux_loader::loader::KernelLoader;
use linux_loader::loader::bootparam::{LOADED_HIGH, setup_header};
use linux_loader::loader::elf::Elf;
use thiserror::Error as ThisError;
use vm_memory::ReadVolatile;

use super::{Head, KernelEntry, LoadedKernel, cannot_read, check_fits, check_whole};
use crate::boot::GuestMemory;
use crate::boot::error::BootError;
use crate::boot::layout;
use crate::boot::regions::RamLayout;

const ELF_HEADER_BYTES: u64 = 64;
const PROGRAM_HEADER_BYTES: usize = 56;
const CLASS_64: u8 = 2;
const LITTLE_ENDIAN: u8 = 1;
const MACHINE_X86_64: u16 = 62;
const TYPE_LOAD: u32 = 1;
const TYPE_NOTE: u32 = 4;

/// `XEN_ELFNOTE_PHYS32_ENTRY` (Xen public/elfnote.h): the 32-bit entry of the PVH protocol.
const NOTE_PHYS32_ENTRY: u32 = 18;
/// The most program headers looked at. Our choice: Linux has 5, so this bounds a hostile file.
const PROGRAM_HEADERS_MAX: u16 = 64;
/// The most bytes of notes looked at. Our choice: Linux has some hundred bytes.
const NOTES_MAX_BYTES: u64 = 64 << 10;

/// Why an ELF file is not a kernel for this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ThisError)]
pub enum ElfDefect {
    /// It is not a 64-bit little-endian file.
    #[error("it is not a 64-bit little-endian file (class {class}, data {data})")]
    Class {
        /// `EI_CLASS` of the header.
        class: u8,
        /// `EI_DATA` of the header.
        data: u8,
    },
    /// It is for another processor.
    #[error("it is for the processor {machine}, not for x86-64 (62)")]
    Machine {
        /// `e_machine` of the header.
        machine: u16,
    },
    /// The size of its program headers is not that of ELF64.
    #[error("its program headers have {header_bytes} bytes each, not 56")]
    ProgramHeaderSize {
        /// `e_phentsize` of the header.
        header_bytes: u16,
    },
    /// Its program headers are inside the file header.
    #[error("its program headers begin at {offset:#x}, inside the file header")]
    ProgramHeaderOffset {
        /// `e_phoff` of the header.
        offset: u64,
    },
    /// It has more program headers than any kernel.
    #[error("it has {count} program headers, more than 64")]
    TooManyProgramHeaders {
        /// `e_phnum` of the header.
        count: u16,
    },
    /// A segment is bigger in the file than in memory, or ends beyond all addresses.
    #[error("the sizes of its segment at {address:#x} contradict each other")]
    SegmentSize {
        /// The physical address of the segment.
        address: u64,
    },
    /// A segment would overwrite what the monitor tells the kernel.
    #[error("its segment at {address:#x} is below 1 MiB; is it a kernel, or a program?")]
    SegmentTooLow {
        /// The physical address of the segment.
        address: u64,
    },
    /// It has more notes than any kernel.
    #[error("it has {notes_bytes} bytes of notes, more than 65536")]
    NotesTooBig {
        /// The size of the note segment.
        notes_bytes: u64,
    },
    /// The entry is not inside anything that is loaded.
    #[error("its entry {entry:#x} is outside its segments; is it a kernel, or a program?")]
    EntryOutside {
        /// The PVH entry if there is one, the ELF entry otherwise.
        entry: u64,
    },
}

/// What of a program header matters here.
struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    file_bytes: u64,
    memory_bytes: u64,
}

impl Segment {
    fn parse(header: &[u8; PROGRAM_HEADER_BYTES]) -> Self {
        Self {
            kind: u32_at(header, 0),
            offset: u64_at(header, 8),
            address: u64_at(header, 24),
            file_bytes: u64_at(header, 32),
            memory_bytes: u64_at(header, 40),
        }
    }

    fn is_loaded(&self) -> bool {
        self.kind == TYPE_LOAD && self.memory_bytes > 0
    }

    fn contains(&self, address: u64) -> bool {
        (self.address..self.address + self.memory_bytes).contains(&address)
    }
}

/// Loads the ELF kernel in `image`: by its PVH entry if it has one, else by its 64-bit entry.
pub(super) fn load<F>(
    memory: &GuestMemory,
    ram: RamLayout,
    image: &mut F,
    head: &Head,
) -> Result<LoadedKernel, BootError>
where
    F: Read + ReadVolatile + Seek,
{
    check_whole(ELF_HEADER_BYTES, head.file_bytes)?;
    let segments = read_segments(image, head)?;
    let mut end = 0;
    for segment in segments.iter().filter(|segment| segment.is_loaded()) {
        end = end.max(check_segment(segment, ram, head.file_bytes)?);
    }

    let pvh_entry = read_pvh_entry(image, head.file_bytes, &segments)?;
    let entry = pvh_entry.map_or(u64_at(&head.prefix, 24), u64::from);
    if !segments
        .iter()
        .any(|segment| segment.is_loaded() && segment.contains(entry))
    {
        return Err(BootError::Elf(ElfDefect::EntryOutside { entry }));
    }

    Elf::load(memory, None, image, None).map_err(BootError::LoadKernel)?;
    Ok(LoadedKernel {
        entry: match pvh_entry {
            Some(entry) => KernelEntry::Pvh { entry },
            None => KernelEntry::Long64 {
                entry,
                header: plain_setup_header(),
            },
        },
        end,
        command_line_max_bytes: super::LINUX_COMMAND_LINE_MAX_BYTES,
        initrd_addr_max: super::LINUX_INITRD_ADDR_MAX,
    })
}

/// Reads and checks the table of segments that the file header names.
fn read_segments<F: Read + Seek>(image: &mut F, head: &Head) -> Result<Vec<Segment>, BootError> {
    let header = &head.prefix;
    let (class, data) = (header[4], header[5]);
    let machine = u16_at(header, 18);
    let offset = u64_at(header, 32);
    let header_bytes = u16_at(header, 54);
    let count = u16_at(header, 56);
    if class != CLASS_64 || data != LITTLE_ENDIAN {
        return Err(BootError::Elf(ElfDefect::Class { class, data }));
    }
    if machine != MACHINE_X86_64 {
        return Err(BootError::Elf(ElfDefect::Machine { machine }));
    }
    if count > 0 && usize::from(header_bytes) != PROGRAM_HEADER_BYTES {
        return Err(BootError::Elf(ElfDefect::ProgramHeaderSize {
            header_bytes,
        }));
    }
    if count > 0 && offset < ELF_HEADER_BYTES {
        return Err(BootError::Elf(ElfDefect::ProgramHeaderOffset { offset }));
    }
    if count > PROGRAM_HEADERS_MAX {
        return Err(BootError::Elf(ElfDefect::TooManyProgramHeaders { count }));
    }
    let table_bytes = u64::from(count) * u64::from(header_bytes);
    check_whole(offset.saturating_add(table_bytes), head.file_bytes)?;

    image.seek(SeekFrom::Start(offset)).map_err(cannot_read)?;
    let mut table = vec![0; usize::from(count) * PROGRAM_HEADER_BYTES];
    image.read_exact(&mut table).map_err(cannot_read)?;
    Ok(table.as_chunks().0.iter().map(Segment::parse).collect())
}

/// Checks one loaded segment; returns its end in guest memory.
fn check_segment(segment: &Segment, ram: RamLayout, file_bytes: u64) -> Result<u64, BootError> {
    let address = segment.address;
    check_whole(
        segment.offset.saturating_add(segment.file_bytes),
        file_bytes,
    )?;
    let end = address.checked_add(segment.memory_bytes);
    let Some(end) = end.filter(|_| segment.file_bytes <= segment.memory_bytes) else {
        return Err(BootError::Elf(ElfDefect::SegmentSize { address }));
    };
    if address < layout::KERNEL_START {
        return Err(BootError::Elf(ElfDefect::SegmentTooLow { address }));
    }
    check_fits(end, ram)?;
    Ok(end)
}

/// Finds the PVH entry in any note segment; a file may have several (one per alignment).
fn read_pvh_entry<F: Read + Seek>(
    image: &mut F,
    file_bytes: u64,
    segments: &[Segment],
) -> Result<Option<u32>, BootError> {
    for segment in segments.iter().filter(|segment| segment.kind == TYPE_NOTE) {
        let notes_bytes = segment.file_bytes;
        check_whole(segment.offset.saturating_add(notes_bytes), file_bytes)?;
        let Some(size) = usize::try_from(notes_bytes)
            .ok()
            .filter(|_| notes_bytes <= NOTES_MAX_BYTES)
        else {
            return Err(BootError::Elf(ElfDefect::NotesTooBig { notes_bytes }));
        };
        image
            .seek(SeekFrom::Start(segment.offset))
            .map_err(cannot_read)?;
        let mut notes = vec![0; size];
        image.read_exact(&mut notes).map_err(cannot_read)?;
        if let Some(entry) = pvh_entry(&notes) {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}

/// The PVH entry among `notes`: each has three words (sizes of name and description, type), then
/// name and description, each padded to 4 bytes.
fn pvh_entry(mut notes: &[u8]) -> Option<u32> {
    while notes.len() >= 12 {
        let name_bytes = usize::try_from(u32_at(notes, 0)).ok()?;
        let description_bytes = usize::try_from(u32_at(notes, 4)).ok()?;
        let kind = u32_at(notes, 8);
        let description = 12 + name_bytes.next_multiple_of(4);
        if kind == NOTE_PHYS32_ENTRY
            && notes.get(12..12 + name_bytes) == Some(b"Xen\0".as_slice())
            && let Some(entry) = notes.get(description..description + 4)
        {
            return Some(u32_at(entry, 0));
        }
        notes = notes.get(description + description_bytes.next_multiple_of(4)..)?;
    }
    None
}

/// The setup header for a kernel that has none of its own
/// (Linux Documentation/arch/x86/boot.rst, "64-bit Boot Protocol").
fn plain_setup_header() -> setup_header {
    setup_header {
        boot_flag: 0xaa55,
        header: u32::from_le_bytes(*b"HdrS"),
        version: 0x20c,
        loadflags: LOADED_HIGH,
        cmdline_size: super::LINUX_COMMAND_LINE_MAX_BYTES,
        initrd_addr_max: super::LINUX_INITRD_ADDR_MAX,
        ..setup_header::default()
    }
}

fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes([bytes[offset], bytes[offset + 1]])
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    let field: [u8; 4] = bytes[offset..offset + 4].try_into().expect("four bytes");
    u32::from_le_bytes(field)
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    let field: [u8; 8] = bytes[offset..offset + 8].try_into().expect("eight bytes");
    u64::from_le_bytes(field)
}
