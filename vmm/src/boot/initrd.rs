//! The initial RAM disk: its place in guest memory, and its way there.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};

use vm_memory::{Bytes, GuestAddress};

use super::GuestMemory;
use super::error::{BootError, BootFile};
use super::kernel::LoadedKernel;
use super::layout;
use super::regions::RamLayout;

/// A RAM disk in guest memory: page aligned, below 4 GiB, not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LoadedInitrd {
    pub start: u32,
    pub size_bytes: u32,
}

impl LoadedInitrd {
    /// Copies `file`, all of it, into `memory`.
    pub(super) fn load(
        memory: &GuestMemory,
        ram: RamLayout,
        kernel: &LoadedKernel,
        mut file: File,
    ) -> Result<Self, BootError> {
        let initrd_bytes = file.seek(SeekFrom::End(0)).map_err(cannot_read)?;
        file.rewind().map_err(cannot_read)?;
        let initrd = Self::place(initrd_bytes, ram, kernel.end, kernel.initrd_addr_max)?;
        let size = usize::try_from(initrd.size_bytes).expect("a u32 fits into a usize");
        let start = u64::from(initrd.start);
        memory
            .read_exact_volatile_from(GuestAddress(start), &mut file, size)
            .map_err(|source| {
                let source = io::Error::other(source);
                BootError::ReadFile {
                    file: BootFile::Initrd,
                    source,
                }
            })?;
        Ok(initrd)
    }

    /// Finds the place for `initrd_bytes`: as high as RAM and the kernel's limit allow, out of the
    /// way of a kernel that unpacks itself upwards from `kernel_end`.
    fn place(
        initrd_bytes: u64,
        ram: RamLayout,
        kernel_end: u64,
        initrd_addr_max: u32,
    ) -> Result<Self, BootError> {
        if initrd_bytes == 0 {
            return Err(BootError::InitrdEmpty);
        }
        let limit = ram.low_end().min(u64::from(initrd_addr_max) + 1);
        let lowest = kernel_end.next_multiple_of(layout::PAGE_BYTES);
        let start = limit
            .checked_sub(initrd_bytes)
            .map(|highest| highest - highest % layout::PAGE_BYTES)
            .filter(|start| *start >= lowest);
        let Some(start) = start else {
            let available_bytes = limit.saturating_sub(lowest);
            return Err(BootError::InitrdTooBig {
                initrd_bytes,
                available_bytes,
            });
        };
        Ok(Self {
            start: u32::try_from(start).expect("low RAM has 32-bit addresses"),
            size_bytes: u32::try_from(initrd_bytes).expect("it fits into low RAM"),
        })
    }
}

fn cannot_read(source: io::Error) -> BootError {
    BootError::ReadFile {
        file: BootFile::Initrd,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn place(initrd_bytes: u64, memory_mib: u64) -> Result<LoadedInitrd, BootError> {
        let ram = RamLayout::new(memory_mib * MIB).unwrap();
        LoadedInitrd::place(initrd_bytes, ram, 20 * MIB + 1, 0x7fff_ffff)
    }

    #[test]
    fn place_is_page_aligned_below_the_end_of_ram() {
        let initrd = place(5000, 64).unwrap();
        assert_eq!(
            initrd,
            LoadedInitrd {
                start: (64 << 20) - 8192,
                size_bytes: 5000
            }
        );
    }

    #[test]
    fn place_is_below_the_limit_of_the_kernel() {
        let initrd = place(4096, 8192).unwrap();
        assert_eq!(initrd.start, 0x7fff_f000);
    }

    #[test]
    fn place_just_above_the_kernel_is_taken_and_one_byte_more_refused() {
        let available_bytes = 44 * MIB - 4096;
        assert_eq!(place(available_bytes, 64).unwrap().start, (20 << 20) + 4096);
        let error = place(available_bytes + 1, 64).unwrap_err();
        let BootError::InitrdTooBig {
            initrd_bytes,
            available_bytes: available,
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!(
            (initrd_bytes, available),
            (available_bytes + 1, available_bytes)
        );
    }

    #[test]
    fn place_of_nothing_or_of_more_than_all_memory_is_refused() {
        assert!(matches!(place(0, 64), Err(BootError::InitrdEmpty)));
        assert!(matches!(
            place(u64::MAX, 64),
            Err(BootError::InitrdTooBig { .. })
        ));
    }
}
