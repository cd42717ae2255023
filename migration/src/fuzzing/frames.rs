//! Payloads by the number of their kind: a new kind of frame is one line in one of the two tables.

use std::fmt;

use super::{round_trip, split_number};
use crate::bitmap::PageBitmap;
use crate::layout::MAX_PAGES;
use crate::page::{PAGE_BYTES, PageIndex, to_u64};
use crate::wire::{
    About, Accept, Attach, Challenge, Complete, Done, Drained, Failed, Flush, Flushed, Frame,
    FrameKind, Hello, Proof, Ready, Recover, Refuse, Run, Running, Standing, State,
    decode_pages as decode_content, decode_ranges, decode_wants, decode_words, ranges_payload,
    want_payload, words_payload,
};

/// Frames whose payload is a value.
const VALUES: &[(FrameKind, fn(&[u8]))] = &[
    value::<Hello>(),
    value::<Accept>(),
    value::<Refuse>(),
    value::<Attach>(),
    value::<State>(),
    value::<Ready>(),
    value::<Run>(),
    value::<Running>(),
    value::<Drained>(),
    value::<Complete>(),
    value::<Failed>(),
    value::<About>(),
    value::<Flush>(),
    value::<Flushed>(),
    value::<Recover>(),
    value::<Standing>(),
    value::<Done>(),
    value::<Challenge>(),
    value::<Proof>(),
];

/// Frames that name pages, of which there are so many.
const PAGES: &[(FrameKind, fn(&[u8], u64))] = &[
    (FrameKind::Pages, content),
    (FrameKind::Absent, ranges),
    (FrameKind::Again, ranges),
    (FrameKind::GivenUp, ranges),
    (FrameKind::Discard, words),
    (FrameKind::Missing, words),
    (FrameKind::Want, wants),
];

/// Largest memory in which a set of pages is decoded: the set takes an eighth of a byte for each of
/// its own side's pages, not for what a peer sends.
const MAX_SET_PAGES: u64 = 1 << 16;

const fn value<F: Frame + fmt::Debug + PartialEq>() -> (FrameKind, fn(&[u8])) {
    (F::KIND, round_trip::<F>)
}

/// Decodes a payload: bytes 0..2 are the number of its kind.
pub fn decode_control(data: &[u8]) {
    if let Some((number, payload)) = split_number(data) {
        let number = u16::from_le_bytes(number);
        if let Some((_, decode)) = VALUES.iter().find(|(kind, _)| *kind as u16 == number) {
            decode(payload);
        }
    }
}

/// Decodes the payload of a frame that names pages: bytes 0..2 are the number of its kind, 2..10
/// the pages that exist.
pub fn decode_pages(data: &[u8]) {
    if let Some((number, data)) = split_number(data)
        && let Some((limit, payload)) = split_number(data)
    {
        let number = u16::from_le_bytes(number);
        let limit = u64::from_le_bytes(limit).min(MAX_PAGES);
        if let Some((_, decode)) = PAGES.iter().find(|(kind, _)| *kind as u16 == number) {
            decode(payload, limit);
        }
    }
}

/// Decodes a payload that came as a frame of this kind.
pub(super) fn decode_one(kind: FrameKind, payload: &[u8]) {
    if let Some((_, decode)) = VALUES.iter().find(|(known, _)| *known == kind) {
        decode(payload);
    } else {
        let (_, decode) = PAGES
            .iter()
            .find(|(known, _)| *known == kind)
            .expect("every kind of frame is in one of the tables");
        decode(payload, MAX_PAGES);
    }
}

fn content(payload: &[u8], limit: u64) {
    if let Ok((prefix, content)) = decode_content(payload, limit) {
        let range = prefix.range;
        assert!(range.end() <= limit && range.bytes() == content.len());
        assert!(content.len().is_multiple_of(PAGE_BYTES));
        assert_eq!([&prefix.encode()[..], content].concat(), payload);
    }
}

fn ranges(payload: &[u8], limit: u64) {
    // The kind is only for errors.
    let Ok(ranges) = decode_ranges(FrameKind::Absent, payload, limit) else {
        return;
    };
    if let Ok(ranges) = ranges.collect::<Result<Vec<_>, _>>() {
        assert!(ranges.iter().all(|range| range.end() <= limit));
        let mut again = Vec::new();
        ranges_payload(&ranges, &mut again);
        assert_eq!(again, payload);
    }
}

fn words(payload: &[u8], limit: u64) {
    let limit = limit.min(MAX_SET_PAGES);
    let Some(pages) = words_of(payload, limit) else {
        return;
    };
    assert!(pages.iter().all(|page| page.get() < limit));
    assert!(pages.count() <= to_u64(payload.len()) * u64::from(u64::BITS));
    let words: Vec<_> = pages.words().collect();
    if words.is_empty() {
        return;
    }
    let mut again = Vec::new();
    words_payload(&words, &mut again);
    assert_eq!(words_of(&again, limit), Some(pages));
}

fn words_of(payload: &[u8], limit: u64) -> Option<PageBitmap> {
    let mut pages = PageBitmap::empty(limit);
    decode_words(FrameKind::Discard, payload, &mut pages).ok()?;
    Some(pages)
}

fn wants(payload: &[u8], limit: u64) {
    let Ok(pages) = decode_wants(payload, limit) else {
        return;
    };
    if let Ok(pages) = pages.collect::<Result<Vec<PageIndex>, _>>() {
        assert!(pages.iter().all(|page| page.get() < limit));
        let mut again = Vec::new();
        want_payload(&pages, &mut again);
        assert_eq!(again, payload);
    }
}
