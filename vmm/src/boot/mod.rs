//! Making a guest ready to boot: its memory map, its kernel, what the kernel is told (command
//! line, ACPI tables, start info or zero page), and the state in which its first vCPU starts.
//!
//! Everything here is a pure function of its arguments or writes guest memory only; nothing knows
//! KVM beyond its plain structures. The order is:
//!
//! 1. [`RamLayout::new`] says which RAM regions there are; the caller maps them.
//! 2. [`load`] fills guest memory and returns the [`Entry`].
//! 3. [`guest_cpuid`](cpuid::guest_cpuid) makes the CPUID of each vCPU.
//! 4. [`INITIAL_MSRS`] are set on each vCPU, and [`Entry::registers`] makes the registers of the
//!    boot processor; all other vCPUs wait for their SIPI in the state in which KVM created them.
//!
//! Three kinds of kernels start, told apart by their first bytes: an ELF file with a PVH note, by
//! that; any other ELF file, by its 64-bit entry; a bzImage, by its 64-bit entry.

mod acpi;
mod command_line;
pub mod cpuid;
mod error;
mod initrd;
mod kernel;
pub mod layout;
mod long_mode;
mod pvh;
mod regions;
mod registers;
mod reset_vector;
mod vcpus;
mod zero_page;

use std::fs::File;

use devices::GuestMemory;
use vm_memory::{Bytes, GuestAddress};

pub use command_line::DEFAULT_COMMAND_LINE;
pub use error::{BootError, BootFile};
use initrd::LoadedInitrd;
pub use kernel::{BzImageDefect, ElfDefect, FileFormat, KernelImage};
use kernel::{KernelEntry, LoadedKernel};
pub use layout::{Gsi, VirtioWindow};
pub use regions::{MEMORY_MAX_BYTES, MEMORY_MIN_BYTES, MapEntry, RamLayout, RangeKind, Region};
pub use registers::{BootRegisters, INITIAL_MSRS};
pub use vcpus::{VCPUS_MAX, VcpuCount, VcpuIndex};

/// What to boot.
#[derive(Debug)]
pub struct BootSource<'a> {
    /// The kernel.
    pub kernel: KernelImage,
    /// The initial RAM disk, if there is one.
    pub initrd: Option<File>,
    /// The user's words for the kernel; blank stands for [`DEFAULT_COMMAND_LINE`].
    pub command_line: &'a str,
}

/// The machine that the guest is told of.
#[derive(Clone, Debug)]
pub struct Platform {
    /// The RAM, which the guest memory must be laid out as.
    pub ram: RamLayout,
    /// The vCPUs, with the APIC ids 0, 1, 2 and so on.
    pub vcpus: VcpuCount,
    /// The window of each virtio device.
    pub virtio: Vec<VirtioWindow>,
    /// The 16 bytes that are new in each clone of a VM.
    pub generation_id: [u8; 16],
}

/// Where and how the boot processor enters the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// In 32-bit mode without paging, with the address of the start info in EBX.
    Pvh {
        /// The address of the first instruction.
        entry: u32,
        /// The address of the `hvm_start_info`.
        start_info: GuestAddress,
    },
    /// In 64-bit mode with the first 4 GiB mapped to themselves, with the address of the zero
    /// page in RSI.
    Long64 {
        /// The address of the first instruction.
        entry: u64,
        /// The address of the `boot_params`.
        boot_params: GuestAddress,
    },
}

/// Fills `memory`, which is zero and laid out as `platform.ram`, with all that the guest starts
/// from. Nothing is zeroed, and no page is touched without need.
///
/// # Errors
/// If a file cannot be read or is not what it should be, or if something does not fit. Guest
/// memory may then hold a part of it.
pub fn load(
    memory: &GuestMemory,
    source: BootSource<'_>,
    platform: &Platform,
) -> Result<Entry, BootError> {
    let BootSource {
        kernel,
        initrd,
        command_line,
    } = source;
    let kernel = LoadedKernel::load(memory, platform.ram, kernel)?;
    let max_bytes = usize::try_from(kernel.command_line_max_bytes).unwrap_or(usize::MAX);
    let line = command_line::build(command_line, &platform.virtio, max_bytes)?;
    let initrd = initrd
        .map(|file| LoadedInitrd::load(memory, platform.ram, &kernel, file))
        .transpose()?;

    command_line::write(memory, &line)?;
    acpi::write(memory, platform)?;
    reset_vector::write(memory)?;
    write_generation_id(memory, platform.generation_id)?;
    match kernel.entry {
        KernelEntry::Pvh { entry } => {
            let start_info = pvh::write_start_info(memory, platform.ram, initrd)?;
            Ok(Entry::Pvh { entry, start_info })
        }
        KernelEntry::Long64 { entry, header } => {
            long_mode::write_tables(memory)?;
            let boot_params = zero_page::write(memory, platform.ram, header, initrd)?;
            Ok(Entry::Long64 { entry, boot_params })
        }
    }
}

/// Writes the VM generation id to its place in guest memory. A running guest is told of a change
/// by a pulse on [`layout::GENERATION_GSI`] afterwards.
///
/// # Errors
/// If there is no memory at [`layout::VM_GENERATION_ID`].
pub fn write_generation_id(memory: &GuestMemory, id: [u8; 16]) -> Result<(), BootError> {
    write_guest(memory, "VM generation id", layout::VM_GENERATION_ID, &id)
}

fn write_guest(
    memory: &GuestMemory,
    structure: &'static str,
    place: GuestAddress,
    bytes: &[u8],
) -> Result<(), BootError> {
    memory
        .write_slice(bytes, place)
        .map_err(|source| BootError::WriteGuest {
            structure,
            address: place.0,
            source,
        })
}

#[cfg(test)]
mod tests;
