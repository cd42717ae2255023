//! A request of a driver: the chain of descriptors it made available, checked as a whole.

use smallvec::SmallVec;
use virtio_queue::DescriptorChain;
use vm_memory::{Bytes, GuestAddress, GuestMemory as _, Permissions};

use crate::{DeviceError, GuestMemory};

/// Our choice: more than any device here has use for, and as much as Linux puts into one system
/// call (UIO_MAXIOV).
const MAX_DESCRIPTORS: usize = 1024;

/// A piece of guest RAM that a descriptor refers to; it was inside the RAM when it was parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestRange {
    /// Where it begins.
    pub address: GuestAddress,
    /// How long it is; may be zero.
    pub len_bytes: u32,
}

/// Pieces of guest RAM; the few that most requests have are not on the heap.
pub(crate) type GuestRanges = SmallVec<[GuestRange; 2]>;

/// A descriptor chain that is known to end, to be in order, and to lie in guest RAM.
///
/// Its content is another matter: the guest can change that at any time, so read it once.
#[derive(Debug)]
pub struct Chain {
    head: u16,
    readable: GuestRanges,
    writable: GuestRanges,
}

impl Chain {
    pub(super) fn parse(chain: DescriptorChain<&GuestMemory>) -> Result<Self, DeviceError> {
        let head = chain.head_index();
        let memory = chain.memory();
        let mut parsed = Self {
            head,
            readable: GuestRanges::new(),
            writable: GuestRanges::new(),
        };
        let mut is_complete = false;
        for (index, descriptor) in chain.clone().enumerate() {
            if index >= MAX_DESCRIPTORS {
                return Err(DeviceError::ChainTooLong { head });
            }
            let (address, len_bytes) = (descriptor.addr(), descriptor.len());
            let access = if descriptor.is_write_only() {
                Permissions::Write
            } else {
                Permissions::Read
            };
            if !memory.check_range(address, len_bytes as usize, access) {
                return Err(DeviceError::ChainOutsideMemory {
                    head,
                    address,
                    len_bytes,
                });
            }
            let range = GuestRange { address, len_bytes };
            if descriptor.is_write_only() {
                parsed.writable.push(range);
            } else if parsed.writable.is_empty() {
                parsed.readable.push(range);
            } else {
                return Err(DeviceError::ChainOutOfOrder { head });
            }
            is_complete = !descriptor.has_next();
        }
        // The iterator ends silently at a bad index, in a loop, and past 4 GiB in total.
        if is_complete {
            Ok(parsed)
        } else {
            Err(DeviceError::ChainBroken { head })
        }
    }

    pub(crate) fn head(&self) -> u16 {
        self.head
    }

    /// What the driver wants the device to read, in order.
    pub fn readable(&self) -> &[GuestRange] {
        &self.readable
    }

    /// Where the driver wants the device to write, in order.
    pub fn writable(&self) -> &[GuestRange] {
        &self.writable
    }

    /// How many bytes the device may read.
    pub fn readable_bytes(&self) -> u64 {
        self.readable
            .iter()
            .map(|range| u64::from(range.len_bytes))
            .sum()
    }

    /// How many bytes the device may write; the ring takes no chain of 4 GiB.
    pub fn writable_bytes(&self) -> u64 {
        self.writable
            .iter()
            .map(|range| u64::from(range.len_bytes))
            .sum()
    }

    /// Copies the first bytes that the device may read into `buffer`, and says how many there were.
    ///
    /// # Errors
    /// The memory cannot be read.
    pub fn read(&self, memory: &GuestMemory, buffer: &mut [u8]) -> Result<usize, DeviceError> {
        let mut filled = 0;
        for range in &self.readable {
            let len_bytes = (range.len_bytes as usize).min(buffer.len() - filled);
            memory
                .read_slice(&mut buffer[filled..filled + len_bytes], range.address)
                .map_err(DeviceError::AccessMemory)?;
            filled += len_bytes;
        }
        Ok(filled)
    }

    /// Copies `bytes` into what the device may write, and says how many found room.
    ///
    /// # Errors
    /// The memory cannot be written.
    pub fn write(&self, memory: &GuestMemory, bytes: &[u8]) -> Result<u32, DeviceError> {
        let mut written = 0;
        for range in &self.writable {
            let len_bytes = (range.len_bytes as usize).min(bytes.len() - written);
            memory
                .write_slice(&bytes[written..written + len_bytes], range.address)
                .map_err(DeviceError::AccessMemory)?;
            written += len_bytes;
        }
        Ok(u32::try_from(written).expect("a chain has less than 4 GiB"))
    }
}
