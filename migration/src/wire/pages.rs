//! The frames of the page connections. They are decoded in place: nothing is allocated for them.

use std::time::Duration;

use crate::bitmap::PageBitmap;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::page::{PAGE_BYTES, PageIndex, PageRange, to_u64};
use crate::wire::header::FrameKind;

/// Most pages in a `Pages` frame: 2 MiB, the size up to which a batched install gains speed.
pub(crate) const MAX_FRAME_PAGES: usize = 512;
/// Most ranges in an `Absent` frame: 64 KiB.
pub(crate) const MAX_FRAME_RANGES: usize = 4096;
/// Most pages in a `Want` frame.
pub(crate) const MAX_FRAME_WANTS: usize = 512;
/// Most words of pages in a `Discard` or `Missing` frame: 64 KiB, and enough for a memory of 1 GiB.
pub(crate) const MAX_FRAME_WORDS: usize = 4096;

/// Bytes before the content of a `Pages` frame.
pub(crate) const PAGES_PREFIX_BYTES: usize = 32;
/// Bytes of a range in an `Absent` or `Again` frame.
pub(crate) const RANGE_BYTES: usize = 16;
/// Bytes of a word of pages in a `Discard` or `Missing` frame.
pub(crate) const WORD_BYTES: usize = 16;
/// Bytes of a page number in a `Want` frame.
pub(crate) const WANT_BYTES: usize = 8;

/// What a `Pages` frame says of its content.
///
/// | bytes | what |
/// |---|---|
/// | 0..8 | number of the first page |
/// | 8..16 | number of pages |
/// | 16..24 | [`Digest`] of all of them |
/// | 24..32 | ns that the source had the request for them, 0 if they were not asked for |
/// | 32.. | their content, 4096 bytes for each |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PagesPrefix {
    pub(crate) range: PageRange,
    pub(crate) digest: Digest,
    pub(crate) waited: Duration,
}

impl PagesPrefix {
    pub(crate) fn encode(&self) -> [u8; PAGES_PREFIX_BYTES] {
        let Self {
            range,
            digest,
            waited,
        } = self;
        let waited_ns = u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX);
        let mut bytes = [0; PAGES_PREFIX_BYTES];
        bytes[..16].copy_from_slice(&range_bytes(*range));
        bytes[16..24].copy_from_slice(&digest.to_bits().to_le_bytes());
        bytes[24..].copy_from_slice(&waited_ns.to_le_bytes());
        bytes
    }
}

/// Prefix and content of a `Pages` frame. That the content is what the digest says is for the
/// caller to check, who needs the digests of its pages anyway.
///
/// # Errors
/// If the content has another length than the range, or the range is not below `limit`.
pub(crate) fn decode_pages(payload: &[u8], limit: u64) -> Result<(PagesPrefix, &[u8])> {
    let malformed = || Error::Malformed {
        kind: FrameKind::Pages,
        length_bytes: payload.len(),
    };
    let (prefix, content) = payload
        .split_first_chunk::<PAGES_PREFIX_BYTES>()
        .ok_or_else(malformed)?;
    let (numbers, _) = prefix.as_chunks();
    let [first, pages, digest, waited_ns] = [0, 1, 2, 3].map(|n| u64::from_le_bytes(numbers[n]));
    if !content.len().is_multiple_of(PAGE_BYTES) || to_u64(content.len() / PAGE_BYTES) != pages {
        return Err(malformed());
    }
    let prefix = PagesPrefix {
        range: checked_range(first, pages, limit)?,
        digest: Digest::from_bits(digest),
        waited: Duration::from_nanos(waited_ns),
    };
    Ok((prefix, content))
}

/// Fills `payload` with the ranges of an `Absent`, `Again` or `GivenUp` frame.
///
/// | bytes | what |
/// |---|---|
/// | 16n..16n+8 | number of the first page of range n |
/// | 16n+8..16n+16 | number of its pages |
pub(crate) fn ranges_payload(ranges: &[PageRange], payload: &mut Vec<u8>) {
    payload.clear();
    for &range in ranges {
        payload.extend_from_slice(&range_bytes(range));
    }
}

/// The ranges of a frame of this `kind`.
///
/// # Errors
/// If there is none, the length is odd, or (each item for itself) a range is not below `limit`.
pub(crate) fn decode_ranges(
    kind: FrameKind,
    payload: &[u8],
    limit: u64,
) -> Result<impl Iterator<Item = Result<PageRange>>> {
    let ranges = items::<RANGE_BYTES>(payload, kind)?;
    Ok(ranges.iter().map(move |range| {
        let (first, pages) = split_range(range);
        checked_range(first, pages, limit)
    }))
}

/// Fills `payload` with the pages of a `Discard` or `Missing` frame, as words of a [`PageBitmap`]:
/// at most a quarter of a byte for each page of memory, however they are scattered.
///
/// | bytes | what |
/// |---|---|
/// | 16n..16n+8 | number of word n: its first page, divided by 64 |
/// | 16n+8..16n+16 | a bit for each of 64 pages from there on, the lowest for the first |
pub(crate) fn words_payload(words: &[(u64, u64)], payload: &mut Vec<u8>) {
    payload.clear();
    for (number, bits) in words {
        payload.extend_from_slice(&number.to_le_bytes());
        payload.extend_from_slice(&bits.to_le_bytes());
    }
}

/// Adds the pages of a frame of this `kind` to `pages`.
///
/// # Errors
/// If there is none, the length is odd, or a page does not exist in the set.
pub(crate) fn decode_words(kind: FrameKind, payload: &[u8], pages: &mut PageBitmap) -> Result<()> {
    for word in items::<WORD_BYTES>(payload, kind)? {
        let (number, bits) = split_range(word);
        for bit in (0..u64::from(u64::BITS)).filter(|bit| bits >> bit & 1 == 1) {
            let page = number
                .saturating_mul(u64::from(u64::BITS))
                .saturating_add(bit);
            let page = checked_range(page, 1, pages.pages())?.first();
            pages.insert(page);
        }
    }
    Ok(())
}

/// Fills `payload` with the pages of a `Want` frame: bytes 8n..8n+8 are the number of page n.
pub(crate) fn want_payload(pages: &[PageIndex], payload: &mut Vec<u8>) {
    payload.clear();
    for page in pages {
        payload.extend_from_slice(&page.get().to_le_bytes());
    }
}

/// The pages of a `Want` frame.
///
/// # Errors
/// If there is none, the length is odd, or (each item for itself) a page is not below `limit`.
pub(crate) fn decode_wants(
    payload: &[u8],
    limit: u64,
) -> Result<impl Iterator<Item = Result<PageIndex>>> {
    let pages = items::<WANT_BYTES>(payload, FrameKind::Want)?;
    Ok(pages.iter().map(move |page| {
        let page = u64::from_le_bytes(*page);
        Ok(checked_range(page, 1, limit)?.first())
    }))
}

/// The payload as items of `N` bytes, at least one.
fn items<const N: usize>(payload: &[u8], kind: FrameKind) -> Result<&[[u8; N]]> {
    match payload.as_chunks() {
        (items, []) if !items.is_empty() => Ok(items),
        _ => Err(Error::Malformed {
            kind,
            length_bytes: payload.len(),
        }),
    }
}

fn range_bytes(range: PageRange) -> [u8; RANGE_BYTES] {
    let mut bytes = [0; RANGE_BYTES];
    bytes[..8].copy_from_slice(&range.first().get().to_le_bytes());
    bytes[8..].copy_from_slice(&range.pages().to_le_bytes());
    bytes
}

fn split_range(bytes: &[u8; RANGE_BYTES]) -> (u64, u64) {
    let [f0, f1, f2, f3, f4, f5, f6, f7, pages @ ..] = *bytes;
    (
        u64::from_le_bytes([f0, f1, f2, f3, f4, f5, f6, f7]),
        u64::from_le_bytes(pages),
    )
}

fn checked_range(first: u64, pages: u64, limit: u64) -> Result<PageRange> {
    PageRange::within(PageIndex::new(first), pages, limit).ok_or(Error::PageOutOfRange {
        first,
        pages,
        limit,
    })
}
