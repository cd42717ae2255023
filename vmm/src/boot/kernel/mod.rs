//! Kernel files: what kind a file is, whether it fits, and its way into guest memory.
//!
//! A file is judged by its headers before a byte of it reaches the guest, so that a wrong file is
//! named as such. Its body is then read once, by linux-loader, straight into guest memory.

mod bzimage;
mod elf;
mod format;

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};

use linux_loader::loader::bootparam::setup_header;
use vm_memory::ReadVolatile;

use super::GuestMemory;
use super::error::{BootError, BootFile};
use super::layout;
use super::regions::RamLayout;
pub use bzimage::BzImageDefect;
pub use elf::ElfDefect;
pub use format::FileFormat;

/// The longest command line in bytes that an x86 Linux kernel keeps
/// (arch/x86/include/asm/setup.h, `COMMAND_LINE_SIZE` less the NUL).
const LINUX_COMMAND_LINE_MAX_BYTES: u32 = 2047;
/// The greatest last address of an initrd that Linux's 64-bit kernels name in their setup header
/// (arch/x86/boot/header.S, `initrd_addr_max`).
const LINUX_INITRD_ADDR_MAX: u32 = 0x7fff_ffff;
/// How much of a file decides its kind: enough for the setup header of a bzImage.
const PREFIX_BYTES: usize = 1024;

/// Where a kernel comes from.
#[derive(Debug)]
pub enum KernelImage {
    /// An open file, read from its start.
    File(File),
    /// A kernel that is part of this program.
    Bytes(&'static [u8]),
}

/// A kernel in guest memory and all that its headers say about how to start it.
#[derive(Debug)]
pub(super) struct LoadedKernel {
    pub entry: KernelEntry,
    /// The first address above all that the kernel uses before it reads its memory map.
    pub end: u64,
    /// The longest command line it takes, in bytes without the terminating NUL.
    pub command_line_max_bytes: u32,
    /// The greatest address that a byte of the initrd may have.
    pub initrd_addr_max: u32,
}

/// How a loaded kernel is entered.
#[derive(Debug)]
pub(super) enum KernelEntry {
    /// By the PVH note of an ELF file, in 32-bit mode.
    Pvh { entry: u32 },
    /// By the 64-bit boot protocol of Linux.
    Long64 { entry: u64, header: setup_header },
}

/// The head of a kernel file, read once, and the length of the whole.
struct Head {
    prefix: [u8; PREFIX_BYTES],
    prefix_bytes: usize,
    file_bytes: u64,
}

impl Head {
    fn read<F: Read + Seek>(image: &mut F) -> io::Result<Self> {
        let file_bytes = image.seek(SeekFrom::End(0))?;
        image.rewind()?;
        let mut prefix = [0; PREFIX_BYTES];
        let mut prefix_bytes = 0;
        while prefix_bytes < PREFIX_BYTES {
            match image.read(&mut prefix[prefix_bytes..]) {
                Ok(0) => break,
                Ok(read_bytes) => prefix_bytes += read_bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self {
            prefix,
            prefix_bytes,
            file_bytes,
        })
    }

    fn bytes(&self) -> &[u8] {
        &self.prefix[..self.prefix_bytes]
    }
}

impl LoadedKernel {
    /// Checks `image` and copies it into `memory`, which is laid out as `ram`.
    pub(super) fn load(
        memory: &GuestMemory,
        ram: RamLayout,
        image: KernelImage,
    ) -> Result<Self, BootError> {
        match image {
            KernelImage::File(mut file) => load_from(memory, ram, &mut file),
            KernelImage::Bytes(bytes) => load_from(memory, ram, &mut Cursor::new(bytes)),
        }
    }
}

fn load_from<F>(
    memory: &GuestMemory,
    ram: RamLayout,
    image: &mut F,
) -> Result<LoadedKernel, BootError>
where
    F: Read + ReadVolatile + Seek,
{
    let head = Head::read(image).map_err(cannot_read)?;
    match FileFormat::of(head.bytes()) {
        FileFormat::Elf => elf::load(memory, ram, image, &head),
        FileFormat::BzImage => bzimage::load(memory, ram, image, &head),
        found => Err(BootError::NotAKernel { found }),
    }
}

fn cannot_read(source: io::Error) -> BootError {
    BootError::ReadFile {
        file: BootFile::Kernel,
        source,
    }
}

/// Checks that a kernel which reaches up to `end` has the memory to do so.
fn check_fits(end: u64, ram: RamLayout) -> Result<(), BootError> {
    if end > layout::LOW_RAM_END {
        return Err(BootError::KernelTooHigh {
            required_bytes: end,
        });
    }
    if end > ram.low_end() {
        return Err(BootError::KernelTooBig {
            required_bytes: end,
            available_bytes: ram.low_end(),
        });
    }
    Ok(())
}

/// Checks that the kernel file has the `expected_bytes` that its headers promise.
fn check_whole(expected_bytes: u64, actual_bytes: u64) -> Result<(), BootError> {
    if expected_bytes > actual_bytes {
        return Err(BootError::Truncated {
            file: BootFile::Kernel,
            expected_bytes,
            actual_bytes,
        });
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod samples;
#[cfg(test)]
mod tests;
