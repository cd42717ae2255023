//! What a driver asks for: pure functions from the shape of a chain and its first bytes to a request
//! that is known to be possible (virtio 1.2, section 5.2.6).
//!
//! | bytes that the device reads | bytes that it writes |
//! |---|---|
//! | 4 type, 4 reserved, 8 sector, then the data of a write, or ranges of 16 bytes | the data of a read, then 1 status |
//!
//! Where descriptors begin and end does not matter: a header may lie in several, and the status is the
//! last byte that may be written, wherever it is.

use vm_memory::{Address, GuestAddress};

use super::SECTOR_BYTES;
use super::config::{DISCARD, MAX_RANGE_SECTORS, MAX_RANGES, MAX_SEGMENTS, WRITE_ZEROES};
use super::image::Access;
use crate::virtio::{GuestRange, GuestRanges};

#[cfg(test)]
mod tests;

/// VIRTIO_BLK_T_IN and so on.
const IN: u32 = 0;
const OUT: u32 = 1;
const FLUSH: u32 = 4;
const GET_ID: u32 = 8;
const DISCARD_TYPE: u32 = 11;
const WRITE_ZEROES_TYPE: u32 = 13;

/// The flag `unmap` of a range.
const UNMAP: u32 = 1;

const HEADER_BYTES: usize = 16;
const RANGE_BYTES: usize = 16;

/// How much of what the device may read is looked at: a header and the most ranges there may be.
pub(super) const HEAD_BYTES: usize = HEADER_BYTES + RANGE_BYTES * MAX_RANGES as usize;

/// What bounds requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Length of the disk.
    pub(super) size_bytes: u64,
    pub(super) access: Access,
    /// What device and driver have agreed on.
    pub(super) features: u64,
}

/// A part of the disk, inside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) offset_bytes: u64,
    pub(super) len_bytes: u64,
}

/// What becomes of a range that shall read as zeroes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zeroing {
    /// Its storage goes back to the host.
    Discard,
    /// Its storage stays.
    Keep,
}

/// Something that can be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Fill memory with that part of the disk.
    Read(Extent, GuestRanges),
    /// Fill that part of the disk with memory.
    Write(Extent, GuestRanges),
    /// Bring what was written to stable storage.
    Flush,
    /// Write the disk's serial number to memory.
    Identify(GuestRanges),
    /// Have these parts of the disk read as zeroes.
    Zero(Vec<(Extent, Zeroing)>),
}

impl Request {
    /// How many bytes of data are written to memory when it is done whole, as the ring counts them, which
    /// takes no chain of 4 GiB.
    pub(super) fn data_bytes(&self) -> u32 {
        match self {
            Self::Read(extent, _) => u32::try_from(extent.len_bytes).unwrap_or(u32::MAX - 1),
            Self::Write(..) | Self::Flush | Self::Identify(_) | Self::Zero(_) => 0,
        }
    }
}

/// Something that cannot be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Rejection {
    #[error("request has {len_bytes} bytes, less than its header")]
    NoHeader { len_bytes: usize },
    #[error("request of type {kind} is unknown, or was not agreed on")]
    Unknown { kind: u32 },
    #[error("range has the flags {flags:#x}")]
    Flags { flags: u32 },
    #[error("request has {segments} pieces of data, more than {MAX_SEGMENTS}")]
    Segments { segments: usize },
    #[error("data of {len_bytes} bytes are no whole number of sectors, or too many ranges")]
    Length { len_bytes: u64 },
    #[error("{len_bytes} bytes at sector {sector} are not on the disk")]
    Outside { sector: u64, len_bytes: u64 },
    #[error("range of {sectors} sectors is too long")]
    RangeLength { sectors: u32 },
    #[error("the disk is read-only")]
    ReadOnly,
}

impl Rejection {
    /// Whether the driver has to learn that there is no such request, as opposed to that it failed.
    pub(super) fn is_unsupported(self) -> bool {
        matches!(self, Self::Unknown { .. } | Self::Flags { .. })
    }
}

/// Where the status goes, unless the driver has left no place for it.
pub(super) fn status_place(writable: &[GuestRange]) -> Option<GuestAddress> {
    let last = writable.iter().rfind(|range| range.len_bytes > 0)?;
    Some(last.address.unchecked_add(u64::from(last.len_bytes) - 1))
}

/// The request of a chain with a [status](status_place), of which `head` are the first
/// [`HEAD_BYTES`] bytes that can be read, or all.
pub(super) fn parse(
    head: &[u8],
    readable: &[GuestRange],
    writable: &[GuestRange],
    rules: &Rules,
) -> Result<Request, Rejection> {
    let len_bytes = head.len();
    let (header, ranges) = head
        .split_first_chunk::<HEADER_BYTES>()
        .ok_or(Rejection::NoHeader { len_bytes })?;
    let kind = word(header, 0);
    let sector = u64::from(word(header, 8)) | u64::from(word(header, 12)) << 32;
    let input = || part_of(writable, 0, total_bytes(writable) - 1);
    let payload_bytes = total_bytes(readable) - HEADER_BYTES as u64;
    let output = || part_of(readable, HEADER_BYTES as u64, payload_bytes);
    match kind {
        IN => {
            let data = segments(input())?;
            Ok(Request::Read(
                rules.extent(sector, total_bytes(&data))?,
                data,
            ))
        }
        OUT if rules.access == Access::ReadOnly => Err(Rejection::ReadOnly),
        OUT => {
            let data = segments(output())?;
            Ok(Request::Write(rules.extent(sector, payload_bytes)?, data))
        }
        FLUSH => Ok(Request::Flush),
        GET_ID => Ok(Request::Identify(segments(input())?)),
        DISCARD_TYPE if rules.features & DISCARD != 0 => {
            parse_ranges(ranges, payload_bytes, rules, |flags| match flags {
                0 => Some(Zeroing::Discard),
                _ => None,
            })
        }
        WRITE_ZEROES_TYPE if rules.features & WRITE_ZEROES != 0 => {
            parse_ranges(ranges, payload_bytes, rules, |flags| match flags {
                0 => Some(Zeroing::Keep),
                UNMAP => Some(Zeroing::Discard),
                _ => None,
            })
        }
        _ => Err(Rejection::Unknown { kind }),
    }
}

fn parse_ranges(
    ranges: &[u8],
    payload_bytes: u64,
    rules: &Rules,
    zeroing_of: impl Fn(u32) -> Option<Zeroing>,
) -> Result<Request, Rejection> {
    let (ranges, rest) = ranges.as_chunks::<RANGE_BYTES>();
    let is_whole = rest.is_empty() && payload_bytes == (ranges.len() * RANGE_BYTES) as u64;
    if !is_whole || ranges.is_empty() {
        let len_bytes = payload_bytes;
        return Err(Rejection::Length { len_bytes });
    }
    let parts = ranges.iter().map(|range| {
        let sector = u64::from(word(range, 0)) | u64::from(word(range, 4)) << 32;
        let (sectors, flags) = (word(range, 8), word(range, 12));
        let zeroing = zeroing_of(flags).ok_or(Rejection::Flags { flags })?;
        if sectors > MAX_RANGE_SECTORS {
            return Err(Rejection::RangeLength { sectors });
        }
        let extent = rules.extent(sector, u64::from(sectors) * SECTOR_BYTES)?;
        Ok((extent, zeroing))
    });
    Ok(Request::Zero(parts.collect::<Result<_, _>>()?))
}

impl Rules {
    /// A part of the disk, if it consists of sectors and lies inside.
    fn extent(&self, sector: u64, len_bytes: u64) -> Result<Extent, Rejection> {
        if !len_bytes.is_multiple_of(SECTOR_BYTES) {
            return Err(Rejection::Length { len_bytes });
        }
        let outside = Rejection::Outside { sector, len_bytes };
        let offset_bytes = sector.checked_mul(SECTOR_BYTES).ok_or(outside)?;
        let end_bytes = offset_bytes.checked_add(len_bytes).ok_or(outside)?;
        if end_bytes > self.size_bytes {
            return Err(outside);
        }
        Ok(Extent {
            offset_bytes,
            len_bytes,
        })
    }
}

fn segments(data: GuestRanges) -> Result<GuestRanges, Rejection> {
    if data.len() > MAX_SEGMENTS as usize {
        let segments = data.len();
        return Err(Rejection::Segments { segments });
    }
    Ok(data)
}

fn total_bytes(ranges: &[GuestRange]) -> u64 {
    ranges.iter().map(|range| u64::from(range.len_bytes)).sum()
}

/// The memory of `len_bytes` bytes of `ranges` after the first `skipped_bytes`, empty ranges left out.
fn part_of(ranges: &[GuestRange], skipped_bytes: u64, len_bytes: u64) -> GuestRanges {
    let (mut skipped, mut left) = (skipped_bytes, len_bytes);
    let mut part = GuestRanges::new();
    for range in ranges {
        let before = skipped.min(u64::from(range.len_bytes));
        let len = left.min(u64::from(range.len_bytes) - before);
        skipped -= before;
        left -= len;
        if len > 0 {
            part.push(GuestRange {
                address: range.address.unchecked_add(before),
                len_bytes: u32::try_from(len).expect("it is part of one"),
            });
        }
    }
    part
}

/// The little-endian word at `offset` of 16 bytes.
fn word(bytes: &[u8; 16], offset: usize) -> u32 {
    let word = bytes[offset..].first_chunk().expect("it lies in the bytes");
    u32::from_le_bytes(*word)
}
