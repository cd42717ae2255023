//! What can be wrong with what a user wants to boot, with the value and what to do about it.

use std::fmt;
use std::io;

use linux_loader::{cmdline, loader};
use thiserror::Error as ThisError;
use vm_memory::GuestMemoryError;

use super::kernel::{BzImageDefect, ElfDefect, FileFormat};
use super::{regions, vcpus};

const MIB: u64 = 1 << 20;

/// A file that the user names for a guest to boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootFile {
    /// The kernel.
    Kernel,
    /// The initial RAM disk.
    Initrd,
}

impl fmt::Display for BootFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Kernel => "kernel",
            Self::Initrd => "initrd",
        })
    }
}

/// Why a guest cannot be made ready to boot.
#[derive(Debug, ThisError)]
pub enum BootError {
    /// The memory size is below the least.
    #[error(
        "a memory of {memory_bytes} bytes is too small for a guest; give at least {} MiB",
        regions::MEMORY_MIN_BYTES / MIB
    )]
    MemoryTooSmall {
        /// The size asked for.
        memory_bytes: u64,
    },
    /// The memory size is above the most.
    #[error(
        "a memory of {memory_bytes} bytes is too big for a guest; give at most {} MiB",
        regions::MEMORY_MAX_BYTES / MIB
    )]
    MemoryTooBig {
        /// The size asked for.
        memory_bytes: u64,
    },
    /// The memory size is not a number of pages.
    #[error("a memory of {memory_bytes} bytes is not a multiple of 4096; round it up")]
    MemoryUnaligned {
        /// The size asked for.
        memory_bytes: u64,
    },
    /// The number of vCPUs is not possible.
    #[error("a guest cannot have {count} vCPUs; give 1 to {}", vcpus::VCPUS_MAX)]
    VcpuCount {
        /// The number asked for.
        count: u32,
    },
    /// A file cannot be read, or is none (a directory, a pipe).
    #[error("cannot read the {file}")]
    ReadFile {
        /// Which file.
        file: BootFile,
        /// What the host says.
        #[source]
        source: io::Error,
    },
    /// A file ends before its own headers say it does.
    #[error(
        "the {file} is cut short: it has {actual_bytes} bytes and must have {expected_bytes}; \
         copy or download it again"
    )]
    Truncated {
        /// Which file.
        file: BootFile,
        /// The least size that the headers promise.
        expected_bytes: u64,
        /// The size that it has.
        actual_bytes: u64,
    },
    /// The kernel file is of another kind.
    #[error("not a kernel: the file {found}; give a bzImage (vmlinuz) or an ELF (vmlinux)")]
    NotAKernel {
        /// What it seems to be.
        found: FileFormat,
    },
    /// The ELF file is not one that can be booted here.
    #[error("the kernel's ELF file cannot be booted")]
    Elf(#[source] ElfDefect),
    /// The bzImage is not one that can be booted here.
    #[error("the kernel's bzImage cannot be booted")]
    BzImage(#[source] BzImageDefect),
    /// The kernel needs memory that the guest does not have.
    #[error(
        "the kernel needs memory up to {required_bytes} bytes to start, the guest has \
         {available_bytes} below 3 GiB; give at least {} MiB",
        required_bytes.div_ceil(MIB)
    )]
    KernelTooBig {
        /// The end of the kernel in guest memory.
        required_bytes: u64,
        /// The end of low RAM.
        available_bytes: u64,
    },
    /// The kernel lies where no guest has memory, however much it is given.
    #[error(
        "the kernel needs memory up to {required_bytes} bytes to start, beyond the 3 GiB in which \
         kernels are loaded; is the file damaged?"
    )]
    KernelTooHigh {
        /// The end of the kernel in guest memory.
        required_bytes: u64,
    },
    /// The kernel cannot be copied into guest memory.
    #[error("cannot load the kernel into guest memory")]
    LoadKernel(#[source] loader::Error),
    /// The initrd has no bytes.
    #[error("the initrd is empty; give one with content, or none")]
    InitrdEmpty,
    /// The initrd does not fit between the kernel and the end of low RAM.
    #[error(
        "the initrd of {initrd_bytes} bytes does not fit: {available_bytes} bytes are free \
         above the kernel and below 2 GiB; give {} MiB more memory, or a smaller initrd",
        initrd_bytes.saturating_sub(*available_bytes).div_ceil(MIB)
    )]
    InitrdTooBig {
        /// The size of the initrd.
        initrd_bytes: u64,
        /// The free space for it.
        available_bytes: u64,
    },
    /// The command line is longer than the kernel can take.
    #[error(
        "the command line of {given_bytes} bytes is too long, with the virtio devices in it; \
         this kernel takes {limit_bytes}"
    )]
    CommandLineTooLong {
        /// The length with all that the monitor adds.
        given_bytes: usize,
        /// The limit without the terminating NUL.
        limit_bytes: usize,
    },
    /// The command line holds a byte that is no printable ASCII character.
    #[error(
        "the command line has the byte {byte:#04x} at position {position}; \
         use printable ASCII only"
    )]
    CommandLineByte {
        /// The byte.
        byte: u8,
        /// Its position, from 0.
        position: usize,
    },
    /// The command line cannot be made.
    #[error("cannot build the command line")]
    CommandLine(#[source] cmdline::Error),
    /// The ACPI tables need more space than they have.
    #[error("the ACPI tables need {needed_bytes} bytes; give fewer devices")]
    AcpiTooBig {
        /// The size of all tables.
        needed_bytes: usize,
    },
    /// A structure for the guest cannot be written into its memory.
    #[error("cannot write the {structure} to guest address {address:#x}")]
    WriteGuest {
        /// What was to be written.
        structure: &'static str,
        /// Where.
        address: u64,
        /// Why not.
        #[source]
        source: GuestMemoryError,
    },
}
