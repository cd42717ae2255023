//! How much memory a guest has and where: the split of a size into RAM regions, and the map of
//! the address space that the guest is told (an E820 map; ACPI 6.4, section 15).

use vm_memory::GuestAddress;

use super::error::BootError;
use super::layout;

/// The least memory a guest can have. Our choice: below this no Linux kernel starts.
pub const MEMORY_MIN_BYTES: u64 = 16 << 20;
/// The most memory a guest can have: low RAM and all of high RAM.
pub const MEMORY_MAX_BYTES: u64 =
    layout::LOW_RAM_END + (layout::HIGH_RAM_END - layout::HIGH_RAM_START);

/// The RAM of a guest: its size, valid, and with it the one or two regions it occupies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RamLayout {
    memory_bytes: u64,
}

/// A piece of the guest-physical address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// The first address, page aligned.
    pub start: GuestAddress,
    /// The length in bytes, a multiple of the page size.
    pub length_bytes: u64,
}

/// What a range of the guest's address space may be used for, by its E820 number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeKind {
    /// Memory for the guest to use.
    Ram,
    /// Not to be used: tables, device memory, or what KVM needs for itself.
    Reserved,
}

impl RangeKind {
    /// The number of the kind in an E820 map, and in a PVH memory map too.
    pub fn number(self) -> u32 {
        match self {
            Self::Ram => 1,
            Self::Reserved => 2,
        }
    }
}

/// One entry of the memory map that a guest is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapEntry {
    /// The first address.
    pub start: u64,
    /// The length in bytes.
    pub length_bytes: u64,
    /// What the range is for.
    pub kind: RangeKind,
}

impl MapEntry {
    fn spanning(kind: RangeKind, start: u64, end: u64) -> Self {
        Self {
            start,
            length_bytes: end - start,
            kind,
        }
    }
}

impl RamLayout {
    /// Lays out `memory_bytes` of RAM.
    ///
    /// # Errors
    /// If the size is not a multiple of the page size, or outside [`MEMORY_MIN_BYTES`] to
    /// [`MEMORY_MAX_BYTES`].
    pub fn new(memory_bytes: u64) -> Result<Self, BootError> {
        if memory_bytes < MEMORY_MIN_BYTES {
            return Err(BootError::MemoryTooSmall { memory_bytes });
        }
        if memory_bytes > MEMORY_MAX_BYTES {
            return Err(BootError::MemoryTooBig { memory_bytes });
        }
        if !memory_bytes.is_multiple_of(layout::PAGE_BYTES) {
            return Err(BootError::MemoryUnaligned { memory_bytes });
        }
        Ok(Self { memory_bytes })
    }

    /// The size of all RAM in bytes.
    pub fn memory_bytes(self) -> u64 {
        self.memory_bytes
    }

    /// The end of low RAM, which begins at address 0.
    pub fn low_end(self) -> u64 {
        self.memory_bytes.min(layout::LOW_RAM_END)
    }

    /// The size in bytes of the RAM at 4 GiB and above; 0 when all fits below the hole.
    pub fn high_bytes(self) -> u64 {
        self.memory_bytes - self.low_end()
    }

    /// The regions of RAM in ascending order, one or two.
    pub fn regions(self) -> impl Iterator<Item = Region> {
        let low = Region {
            start: GuestAddress(0),
            length_bytes: self.low_end(),
        };
        let high = Region {
            start: GuestAddress(layout::HIGH_RAM_START),
            length_bytes: self.high_bytes(),
        };
        [low, high]
            .into_iter()
            .filter(|region| region.length_bytes > 0)
    }

    /// The map that a guest is told, in ascending order and without overlaps.
    pub fn memory_map(self) -> Vec<MapEntry> {
        use RangeKind::{Ram, Reserved};
        let kvm_private = layout::KVM_IDENTITY_MAP.0;
        let mut map = vec![
            MapEntry::spanning(Ram, 0, layout::EBDA_START),
            MapEntry::spanning(Reserved, layout::EBDA_START, layout::VIDEO_START),
            MapEntry::spanning(Reserved, layout::ACPI_TABLES.0, layout::KERNEL_START),
            MapEntry::spanning(Ram, layout::KERNEL_START, self.low_end()),
            MapEntry::spanning(
                Reserved,
                kvm_private,
                kvm_private + layout::KVM_PRIVATE_BYTES,
            ),
        ];
        if self.high_bytes() > 0 {
            let end = layout::HIGH_RAM_START + self.high_bytes();
            map.push(MapEntry::spanning(Ram, layout::HIGH_RAM_START, end));
        }
        map
    }
}

#[cfg(test)]
mod tests;
