//! Literal bytes of every frame, and decoders under truncation and corruption.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::auth::{Nonce, Tag};
use crate::bitmap::PageBitmap;
use crate::digest::Digest;
use crate::error::Error;
use crate::layout::{MemoryLayout, MemoryRegion};
use crate::offer::{Offer, PeerText, Refusal};
use crate::options::{Mode, Streams};
use crate::page::{PAGE_BYTES, PageIndex, PageRange, Pfn};
use crate::report::{Latency, LatencyParts};

fn payload_of<F: Frame>(frame: &F) -> Vec<u8> {
    let mut payload = Vec::new();
    frame.encode(&mut payload);
    payload
}

/// Checks a frame against its bytes, in both directions, and that no other length decodes.
fn check<F: Frame + PartialEq + std::fmt::Debug>(frame: F, bytes: &[u8]) {
    assert_eq!(payload_of(&frame), bytes);
    assert_eq!(decode::<F>(bytes).unwrap(), frame);
    assert!(bytes.len() <= F::KIND.max_bytes());
    for length in 0..bytes.len() {
        assert!(decode::<F>(&bytes[..length]).is_err(), "{length} bytes");
    }
    assert!(decode::<F>(&[bytes, &[0]].concat()).is_err());
}

fn prefix(first: u64, pages: u64) -> PagesPrefix {
    PagesPrefix {
        range: range(first, pages),
        digest: Digest::from_bits(0xd1),
        waited: Duration::from_nanos(0x77),
    }
}

fn range(first: u64, pages: u64) -> PageRange {
    PageRange::within(PageIndex::new(first), pages, u64::MAX).unwrap()
}

fn hello() -> Hello {
    let region = |first, pages| MemoryRegion {
        first: Pfn::new(first),
        pages,
    };
    Hello {
        mode: Mode::StopAndCopy,
        streams: Streams::new(4).unwrap(),
        offer: Offer {
            name: PeerText::from("vm"),
            memory: MemoryLayout::new(vec![region(0, 3), region(0x100, 2)]).unwrap(),
            vcpus: 2,
            machine: vec![0xaa, 0xbb],
        },
    }
}

#[test]
fn preamble_has_its_literal_bytes() {
    for (access, bytes) in [
        (Access::Open, *b"skiffmov\x03\0\0\0\x02\0\0\0"),
        (Access::Key, *b"skiffmov\x03\0\0\0\x02\0\x01\0"),
        (Access::Tls, *b"skiffmov\x03\0\0\0\x02\0\x02\0"),
    ] {
        let preamble = Preamble::new(Purpose::Attach, access);
        assert_eq!(preamble.encode(), bytes);
        assert_eq!(Preamble::decode(bytes), Some(preamble));
    }
    let later = Preamble {
        version: 0x0403_0201,
        purpose: Purpose::Unknown(9),
        access: Access::Unknown(8),
    };
    assert_eq!(
        Preamble::decode(*b"skiffmov\x01\x02\x03\x04\x09\0\x08\0"),
        Some(later)
    );
    assert_eq!(Preamble::decode(later.encode()), Some(later));
    assert_eq!(Preamble::decode(*b"SSH-2.0-OpenSSH_"), None);
}

#[test]
fn header_has_its_literal_bytes() {
    let header = Header {
        kind: FrameKind::Drained,
        length_bytes: 24,
    };
    assert_eq!(header.encode(), [12, 0, 0, 0, 24, 0, 0, 0]);
    assert_eq!(Header::decode([12, 0, 0, 0, 24, 0, 0, 0]).unwrap(), header);
}

#[test]
fn header_of_unknown_kind_with_flags_or_too_long_is_refused() {
    let refused = |bytes| Header::decode(bytes).unwrap_err();
    assert!(matches!(
        refused([0; 8]),
        Error::UnknownFrame { kind: 0, flags: 0 }
    ));
    assert!(matches!(
        refused(*b"GET / HT"),
        Error::UnknownFrame { kind: 0x4547, .. }
    ));
    assert!(matches!(
        refused([7, 0, 1, 0, 0, 0, 0, 0]),
        Error::UnknownFrame { flags: 1, .. }
    ));
    let length = u32::try_from(FrameKind::State.max_bytes() + 1)
        .unwrap()
        .to_le_bytes();
    let [l0, l1, l2, l3] = length;
    let too_long = refused([5, 0, 0, 0, l0, l1, l2, l3]);
    assert!(matches!(
        too_long,
        Error::FrameTooLong {
            kind: FrameKind::State,
            ..
        }
    ));
}

#[test]
fn hello_has_its_literal_bytes() {
    // mode, streams, name, regions (first, pages), vCPUs, machine
    let bytes = [1, 4, 2, b'v', b'm', 2, 0, 3, 0x80, 2, 2, 2, 2, 0xaa, 0xbb];
    check(hello(), &bytes);
}

#[test]
fn hello_with_bad_layout_or_streams_is_refused() {
    for bytes in [
        // no stream; overlapping regions; no region
        &[1, 0, 0, 1, 0, 3, 1, 0][..],
        &[1, 1, 0, 2, 0, 3, 2, 2, 1, 0],
        &[1, 1, 0, 0, 1, 0],
    ] {
        assert!(decode::<Hello>(bytes).is_err());
    }
}

#[test]
fn frames_of_the_handshake_have_their_literal_bytes() {
    let session = SessionId([3; 16]);
    check(Accept { session }, &[3; 16]);
    check(
        Attach {
            session,
            role: Role::Background,
            lap: 0x0506,
        },
        &[&[3; 16][..], &[2, 0, 6, 5]].concat(),
    );
    check(Recover { session }, &[3; 16]);
    check(
        Refuse(Refusal::Vcpus {
            needed: 9,
            available: 4,
        }),
        &[3, 9, 4],
    );
    check(Failed(PeerText::from("no")), &[2, b'n', b'o']);
    assert!(decode::<Attach>(&[&[3; 16][..], &[3, 0, 0, 0]].concat()).is_err());
    check(Challenge(Nonce([4; 32])), &[4; 32]);
    check(Proof(Tag([5; 32])), &[5; 32]);
    check(Refuse(Refusal::KeysDiffer), &[7]);
    check(Refuse(Refusal::Abandoned), &[8]);
}

#[test]
fn frames_of_numbers_have_their_literal_bytes() {
    check(Ready { restore_us: 0x0102 }, &[2, 1, 0, 0, 0, 0, 0, 0]);
    check(Flush { pages: 0x0304 }, &[4, 3, 0, 0, 0, 0, 0, 0]);
    check(Flushed {}, &[]);
    check(Run {}, &[]);
    check(Done {}, &[]);
    let standing = Standing {
        lap: 1,
        has_token: 0,
        missing_pages: 3,
    };
    check(standing, &[1u64, 0, 3].map(u64::to_le_bytes).concat());
    check(Running { resume_us: 7 }, &[7, 0, 0, 0, 0, 0, 0, 0]);
    let about = About {
        available_bytes: 1,
        serves_faults: 2,
        busy: 3,
    };
    check(about, &[1u64, 2, 3].map(u64::to_le_bytes).concat());
    let digest = Digest::from_bits(0x1122_3344_5566_7788);
    let drained = Drained {
        sent_pages: 5,
        absent_pages: 6,
        digest,
    };
    check(
        drained,
        &[5, 6, 0x1122_3344_5566_7788_u64]
            .map(u64::to_le_bytes)
            .concat(),
    );
    let latency = Latency {
        p50_ns: 4,
        p90_ns: 5,
        p99_ns: 6,
        max_ns: 7,
        mean_ns: 8,
    };
    let digest = Digest::from_bits(1);
    let complete = Complete {
        digest,
        network_faults: 2,
        underway_faults: 3,
        latency,
        parts: LatencyParts {
            queue_ns: 9,
            wire_ns: 10,
            install_ns: 11,
            wake_ns: 12,
        },
    };
    let numbers: Vec<_> = (1u64..=12).flat_map(u64::to_le_bytes).collect();
    check(complete, &numbers);
}

#[test]
fn drained_with_counts_that_could_overflow_is_refused() {
    let bytes = [u64::MAX, u64::MAX, 0].map(u64::to_le_bytes).concat();
    assert!(decode::<Drained>(&bytes).is_err());
}

#[test]
fn state_is_its_own_bytes() {
    assert_eq!(payload_of(&State(vec![1, 2, 3])), [1, 2, 3]);
    assert_eq!(decode::<State>(&[1, 2, 3]).unwrap(), State(vec![1, 2, 3]));
}

#[test]
fn page_frames_have_their_literal_bytes() {
    assert_eq!(
        prefix(0x1234, 2).encode()[..],
        [0x1234u64, 2, 0xd1, 0x77].map(u64::to_le_bytes).concat()
    );
    let mut payload = vec![0xff];
    ranges_payload(&[range(1, 2), range(8, 1)], &mut payload);
    assert_eq!(payload, [1u64, 2, 8, 1].map(u64::to_le_bytes).concat());
    let ranges: Result<Vec<_>, _> = decode_ranges(FrameKind::Absent, &payload, 9)
        .unwrap()
        .collect();
    assert_eq!(ranges.unwrap(), [range(1, 2), range(8, 1)]);
    want_payload(&[PageIndex::new(3), PageIndex::new(1)], &mut payload);
    assert_eq!(payload, [3u64, 1].map(u64::to_le_bytes).concat());
    let pages: Result<Vec<_>, _> = decode_wants(&payload, 4).unwrap().collect();
    assert_eq!(pages.unwrap(), [PageIndex::new(3), PageIndex::new(1)]);
}

#[test]
fn frames_of_words_have_their_literal_bytes_and_no_page_beyond_the_memory() {
    let mut payload = vec![0xff];
    let mut pages = PageBitmap::empty(200);
    for page in [0, 63, 130] {
        pages.insert(PageIndex::new(page));
    }
    let words: Vec<_> = pages.words().collect();
    words_payload(&words, &mut payload);
    let expected = [0, 1 << 63 | 1, 2, 1 << 2].map(u64::to_le_bytes).concat();
    assert_eq!(payload, expected);
    assert_eq!(words_of(&payload, 200).unwrap(), pages);
    for (payload, limit) in [
        (&payload[..], 130),
        (&[0xff; 16], 200),
        (&[], 200),
        (&[0; 15], 200),
    ] {
        assert!(words_of(payload, limit).is_err());
    }
}

#[test]
fn pages_frame_whose_content_and_count_differ_is_refused() {
    let frame = |pages, bytes| [&prefix(0, pages).encode()[..], &vec![1; bytes]].concat();
    assert!(decode_pages(&frame(2, 2 * PAGE_BYTES), 2).is_ok());
    assert!(decode_pages(&frame(2, 2 * PAGE_BYTES), 1).is_err());
    assert!(decode_pages(&frame(2, PAGE_BYTES), 2).is_err());
    assert!(decode_pages(&frame(1, PAGE_BYTES + 1), 2).is_err());
    assert!(decode_pages(&[0; 31], 2).is_err());
    // No page at all.
    assert!(decode_pages(&[0; 32], 2).is_err());
}

/// The pages of a frame, out of `limit`.
fn words_of(payload: &[u8], limit: u64) -> Result<PageBitmap, Error> {
    let mut pages = PageBitmap::empty(limit);
    decode_words(FrameKind::Discard, payload, &mut pages)?;
    Ok(pages)
}

/// Runs every decoder over the bytes; none may panic, and what decodes must be in bounds.
fn decode_all(bytes: &[u8], limit: u64) {
    if let Some(bytes) = bytes.first_chunk() {
        let _ = Preamble::decode(*bytes);
    }
    if let Some(bytes) = bytes.first_chunk()
        && let Ok(header) = Header::decode(*bytes)
    {
        assert!(header.length_bytes <= header.kind.max_bytes());
    }
    if let Ok(hello) = decode::<Hello>(bytes) {
        assert!(hello.offer.machine.len() <= bytes.len());
    }
    if let Ok(Refuse(Refusal::Machine(text))) = decode(bytes) {
        assert!(text.to_string().len() <= crate::offer::MAX_TEXT_BYTES);
    }
    let _ = (
        decode::<Accept>(bytes),
        decode::<Attach>(bytes),
        decode::<Failed>(bytes),
        decode::<Challenge>(bytes),
        decode::<Proof>(bytes),
    );
    let _ = (
        decode::<Ready>(bytes),
        decode::<Run>(bytes),
        decode::<About>(bytes),
    );
    let _ = (
        decode::<Drained>(bytes),
        decode::<Complete>(bytes),
        decode::<State>(bytes),
    );
    if let Ok((prefix, content)) = decode_pages(bytes, limit) {
        let range = prefix.range;
        assert!(range.end() <= limit && range.bytes() == content.len());
    }
    if let Ok(ranges) = decode_ranges(FrameKind::Again, bytes, limit) {
        assert!(ranges.flatten().all(|range| range.end() <= limit));
    }
    let _ = (decode::<Flush>(bytes), decode::<Flushed>(bytes));
    let _ = (
        decode::<Recover>(bytes),
        decode::<Standing>(bytes),
        decode::<Done>(bytes),
    );
    if let Ok(pages) = words_of(bytes, limit) {
        assert!(pages.iter().all(|page| page.get() < limit));
    }
    if let Ok(pages) = decode_wants(bytes, limit) {
        assert!(pages.flatten().all(|page| page.get() < limit));
    }
}

proptest! {
    #[test]
    fn decoders_survive_arbitrary_bytes(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        limit in 0u64..1000,
    ) {
        decode_all(&bytes, limit);
    }

    #[test]
    fn decoders_survive_corrupted_frames(
        which in 0usize..4,
        cut in 0usize..9000,
        (at, bit) in (0usize..9000, 0u32..8),
    ) {
        let mut absent = Vec::new();
        ranges_payload(&[range(1, 2), range(8, 1)], &mut absent);
        let mut bytes = match which {
            0 => payload_of(&hello()),
            1 => payload_of(&Refuse(Refusal::Machine(PeerText::from("no such CPU feature")))),
            2 => [&prefix(3, 2).encode()[..], &[5; 2 * PAGE_BYTES]].concat(),
            _ => absent,
        };
        bytes.truncate(cut.max(1));
        let length = bytes.len();
        bytes[at % length] ^= 1 << bit;
        decode_all(&bytes, 100);
    }
}
