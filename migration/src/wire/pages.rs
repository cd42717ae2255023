//! The frames of the page connections. They are decoded in place: nothing is allocated for them.

use crate::bitmap::PageBitmap;
use crate::error::{Error, Result};
use crate::page::{PAGE_BYTES, PageIndex, PageRange, to_u64};
use crate::wire::header::FrameKind;

/// Most pages in a `Pages` frame: 2 MiB, the size up to which a batched install gains speed.
pub(crate) const MAX_FRAME_PAGES: usize = 512;
/// Most ranges in an `Absent` frame: 64 KiB.
pub(crate) const MAX_FRAME_RANGES: usize = 4096;
/// Most pages in a `Want` frame.
pub(crate) const MAX_FRAME_WANTS: usize = 512;
/// Most words of pages in a `Discard` frame: 64 KiB, and enough for a memory of 1 GiB.
pub(crate) const MAX_FRAME_WORDS: usize = 4096;

/// Bytes before the content of a `Pages` frame.
pub(crate) const PAGES_PREFIX_BYTES: usize = 16;
/// Bytes of a range in an `Absent` frame.
pub(crate) const RANGE_BYTES: usize = 16;
/// Bytes of a word of pages in a `Discard` frame.
pub(crate) const WORD_BYTES: usize = 16;
/// Bytes of a page number in a `Want` frame.
pub(crate) const WANT_BYTES: usize = 8;

/// What comes before the content of a `Pages` frame. The content follows, 4096 bytes for each page.
///
/// | bytes | what |
/// |---|---|
/// | 0..8 | number of the first page |
/// | 8..16 | number of pages |
/// | 16.. | their content |
pub(crate) fn pages_prefix(range: PageRange) -> [u8; PAGES_PREFIX_BYTES] {
    range_bytes(range)
}

/// Range and content of a `Pages` frame.
///
/// # Errors
/// If the content has another length than the range, or the range is not below `limit`.
pub(crate) fn decode_pages(payload: &[u8], limit: u64) -> Result<(PageRange, &[u8])> {
    let malformed = || Error::Malformed {
        kind: FrameKind::Pages,
        length_bytes: payload.len(),
    };
    let (prefix, content) = payload.split_first_chunk().ok_or_else(malformed)?;
    let (first, pages) = split_range(prefix);
    if !content.len().is_multiple_of(PAGE_BYTES) || to_u64(content.len() / PAGE_BYTES) != pages {
        return Err(malformed());
    }
    Ok((checked_range(first, pages, limit)?, content))
}

/// Fills `payload` with the ranges of an `Absent` frame.
///
/// | bytes | what |
/// |---|---|
/// | 16n..16n+8 | number of the first page of range n |
/// | 16n+8..16n+16 | number of its pages |
pub(crate) fn absent_payload(ranges: &[PageRange], payload: &mut Vec<u8>) {
    payload.clear();
    for &range in ranges {
        payload.extend_from_slice(&range_bytes(range));
    }
}

/// The ranges of an `Absent` frame.
///
/// # Errors
/// If there is none, the length is odd, or (each item for itself) a range is not below `limit`.
pub(crate) fn decode_absent(
    payload: &[u8],
    limit: u64,
) -> Result<impl Iterator<Item = Result<PageRange>>> {
    let ranges = items::<RANGE_BYTES>(payload, FrameKind::Absent)?;
    Ok(ranges.iter().map(move |range| {
        let (first, pages) = split_range(range);
        checked_range(first, pages, limit)
    }))
}

/// Fills `payload` with the pages of a `Discard` frame, as words of a [`PageBitmap`]: at most a
/// quarter of a byte for each page of memory, however they are scattered.
///
/// | bytes | what |
/// |---|---|
/// | 16n..16n+8 | number of word n: its first page, divided by 64 |
/// | 16n+8..16n+16 | a bit for each of 64 pages from there on, the lowest for the first |
pub(crate) fn discard_payload(words: &[(u64, u64)], payload: &mut Vec<u8>) {
    payload.clear();
    for (number, bits) in words {
        payload.extend_from_slice(&number.to_le_bytes());
        payload.extend_from_slice(&bits.to_le_bytes());
    }
}

/// The pages of a `Discard` frame, out of `limit`.
///
/// # Errors
/// If there is none, the length is odd, or a page is not below `limit`.
pub(crate) fn decode_discards(payload: &[u8], limit: u64) -> Result<PageBitmap> {
    let mut pages = PageBitmap::empty(limit);
    for word in items::<WORD_BYTES>(payload, FrameKind::Discard)? {
        let (number, bits) = split_range(word);
        for bit in (0..u64::from(u64::BITS)).filter(|bit| bits >> bit & 1 == 1) {
            let page = number
                .saturating_mul(u64::from(u64::BITS))
                .saturating_add(bit);
            pages.insert(checked_range(page, 1, limit)?.first());
        }
    }
    Ok(pages)
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
