//! What a driver reads of a disk: features and configuration space (virtio 1.2, sections 5.2.3 and
//! 5.2.4).

use super::SECTOR_BYTES;
use super::image::{Access, Discards, DiskShape};

/// VIRTIO_BLK_F_SEG_MAX.
const SEG_MAX: u64 = 1 << 2;
/// VIRTIO_BLK_F_RO.
const RO: u64 = 1 << 5;
/// VIRTIO_BLK_F_BLK_SIZE.
const BLK_SIZE: u64 = 1 << 6;
/// VIRTIO_BLK_F_FLUSH.
pub(super) const FLUSH: u64 = 1 << 9;
/// VIRTIO_BLK_F_TOPOLOGY.
const TOPOLOGY: u64 = 1 << 10;
/// VIRTIO_BLK_F_DISCARD.
pub(super) const DISCARD: u64 = 1 << 13;
/// VIRTIO_BLK_F_WRITE_ZEROES.
pub(super) const WRITE_ZEROES: u64 = 1 << 14;

/// Descriptors of the one queue. Our choice: what QEMU has.
pub(super) const QUEUE_SIZE: u16 = 256;

/// Most pieces of memory that the data of a request may have: a queue's worth, less header and
/// status.
pub(super) const MAX_SEGMENTS: u32 = QUEUE_SIZE as u32 - 2;

/// Most ranges that one request may discard or zero. Our choice: a page of a guest's file system
/// seldom frees more, and it bounds what a request can cost.
pub(super) const MAX_RANGES: u32 = 16;

/// Longest such range. Our choice: 2 GiB.
pub(super) const MAX_RANGE_SECTORS: u32 = 1 << 22;

/// Sectors of a block of most file systems, below which a hole gives nothing back, as a power of two
/// and as a number.
const BLOCK_EXPONENT: u8 = 3;
const BLOCK_SECTORS: u32 = 1 << BLOCK_EXPONENT;

/// Length of the configuration space up to its last field that is offered.
const CONFIG_BYTES: usize = 60;

/// The features of a disk of this shape.
pub(super) fn features(shape: &DiskShape) -> u64 {
    let access = match shape.access {
        Access::ReadOnly => RO,
        Access::ReadWrite => 0,
    };
    let discards = match shape.discards {
        Discards::Supported => DISCARD | WRITE_ZEROES,
        Discards::Unsupported => 0,
    };
    SEG_MAX | BLK_SIZE | FLUSH | TOPOLOGY | access | discards
}

/// The configuration space of a disk of this shape.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 8 | capacity, in sectors |
/// | 12 | 4 | seg_max |
/// | 20 | 4 | blk_size |
/// | 24 | 1 | physical_block_exp |
/// | 26 | 2 | min_io_size, in blocks |
/// | 36 | 4, 4, 4 | max_discard_sectors, max_discard_seg, discard_sector_alignment |
/// | 48 | 4, 4, 1 | max_write_zeroes_sectors, max_write_zeroes_seg, write_zeroes_may_unmap |
///
/// What is not in the table is zero.
pub(super) fn config_space(shape: &DiskShape) -> [u8; CONFIG_BYTES] {
    let mut space = [0; CONFIG_BYTES];
    let mut put = |offset: usize, bytes: &[u8]| {
        space[offset..offset + bytes.len()].copy_from_slice(bytes);
    };
    put(0, &(shape.size_bytes / SECTOR_BYTES).to_le_bytes());
    put(12, &MAX_SEGMENTS.to_le_bytes());
    put(20, &512_u32.to_le_bytes());
    put(24, &[BLOCK_EXPONENT]);
    put(26, &8_u16.to_le_bytes());
    if shape.discards == Discards::Supported {
        put(36, &MAX_RANGE_SECTORS.to_le_bytes());
        put(40, &MAX_RANGES.to_le_bytes());
        put(44, &BLOCK_SECTORS.to_le_bytes());
        put(48, &MAX_RANGE_SECTORS.to_le_bytes());
        put(52, &MAX_RANGES.to_le_bytes());
        put(56, &[1]);
    }
    space
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blk::DiskKind;

    #[test]
    fn config_space_has_the_fields_at_their_places() {
        let shape = DiskShape {
            kind: DiskKind::File,
            size_bytes: 0x1234 * 512,
            access: Access::ReadWrite,
            discards: Discards::Supported,
        };
        let mut expected = [0; 60];
        expected[..2].copy_from_slice(&[0x34, 0x12]);
        expected[12] = 254;
        expected[21] = 2;
        expected[24] = 3;
        expected[26] = 8;
        expected[38] = 0x40;
        expected[40] = 16;
        expected[44] = 8;
        expected[50] = 0x40;
        expected[52] = 16;
        expected[56] = 1;
        assert_eq!(config_space(&shape), expected);
        assert_eq!(features(&shape), 0x6644);
    }

    #[test]
    fn read_only_disk_offers_neither_writes_nor_discards() {
        let shape = DiskShape {
            kind: DiskKind::File,
            size_bytes: 512,
            access: Access::ReadOnly,
            discards: Discards::Unsupported,
        };
        assert_eq!(features(&shape), 0x0664);
        assert!(config_space(&shape)[28..].iter().all(|byte| *byte == 0));
    }
}
