//! Reads of a virtio disk (virtio 1.2, section 5.2.6): which block is next, and whether what came is it.

#[cfg(test)]
mod tests;

use super::mix::Random;
use super::options::{Options, PAGE_BYTES, Workload};

const SECTOR_BYTES: u64 = 512;

#[derive(Clone, Debug)]
enum Order {
    Sequential,
    Random(Random),
}

/// A read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// Number of the first page of the disk that is read.
    pub page: u64,
}

/// The reads of a workload, one after the other.
#[derive(Clone, Debug)]
pub struct Reads {
    order: Order,
    blocks: u64,
    block_pages: u64,
    started: u64,
}

impl Reads {
    /// Reads of a disk of that size; nothing if the workload does not read disks, or no block fits.
    #[must_use]
    pub fn new(options: &Options, capacity_sectors: u64) -> Option<Self> {
        let order = match options.workload {
            Workload::DiskSeq => Order::Sequential,
            Workload::DiskRandom => Order::Random(Random::new(options.seed)),
            _ => return None,
        };
        let block_pages = options.block_bytes / PAGE_BYTES;
        let blocks = capacity_sectors / (options.block_bytes / SECTOR_BYTES);
        (blocks > 0).then_some(Self {
            order,
            blocks,
            block_pages,
            started: 0,
        })
    }

    /// Pages in each of them.
    #[must_use]
    pub fn block_pages(&self) -> u64 {
        self.block_pages
    }

    /// How many reads make a pass: as many as the disk has blocks.
    #[must_use]
    pub fn per_pass(&self) -> u64 {
        self.blocks
    }

    /// The next read.
    pub fn next(&mut self) -> Read {
        let block = match &mut self.order {
            Order::Sequential => self.started % self.blocks,
            Order::Random(random) => random.below(self.blocks),
        };
        self.started += 1;
        Read {
            page: block * self.block_pages,
        }
    }
}

impl Read {
    /// What its request begins with: type (VIRTIO_BLK_T_IN), nothing, and the sector.
    #[must_use]
    pub fn header(self) -> [u64; 2] {
        [0, self.page * (PAGE_BYTES / SECTOR_BYTES)]
    }

    /// What the page at `place` of those read has to begin with: its number on the disk.
    #[must_use]
    pub fn first_word(self, place: u64) -> u64 {
        self.page + place
    }
}
