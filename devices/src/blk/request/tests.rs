//! Requests by their bytes, right and wrong.

use proptest::prelude::{any, prop, proptest};

use super::*;

const RULES: Rules = Rules {
    size_bytes: 64 * 512,
    access: Access::ReadWrite,
    features: DISCARD | WRITE_ZEROES,
};

fn range(address: u64, len_bytes: u32) -> GuestRange {
    GuestRange {
        address: GuestAddress(address),
        len_bytes,
    }
}

fn header(kind: u32, sector: u64) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &[0; 4], &sector.to_le_bytes()].concat()
}

fn extent(offset_bytes: u64, len_bytes: u64) -> Extent {
    Extent {
        offset_bytes,
        len_bytes,
    }
}

/// Parses a header alone, with memory to write to.
fn with_header(kind: u32, sector: u64, writable: &[GuestRange]) -> Result<Request, Rejection> {
    parse(&header(kind, sector), &[range(0, 16)], writable, &RULES)
}

/// Parses a request of ranges, each of a sector, a number of sectors and flags.
fn with_ranges(kind: u32, ranges: &[(u64, u32, u32)]) -> Result<Request, Rejection> {
    let ranges = ranges.iter().flat_map(|(sector, sectors, flags)| {
        let sector = sector.to_le_bytes().into_iter();
        sector
            .chain(sectors.to_le_bytes())
            .chain(flags.to_le_bytes())
    });
    let bytes: Vec<u8> = header(kind, 0).into_iter().chain(ranges).collect();
    let readable = [range(0, u32::try_from(bytes.len()).unwrap())];
    let head = &bytes[..bytes.len().min(HEAD_BYTES)];
    parse(head, &readable, &[range(0x1000, 1)], &RULES)
}

#[test]
fn read_takes_all_that_may_be_written_but_the_status() {
    let writable = [range(0x1000, 512), range(0x2000, 0), range(0x3000, 513)];
    let data = vec![range(0x1000, 512), range(0x3000, 512)];
    let request = with_header(IN, 3, &writable);
    assert_eq!(request, Ok(Request::Read(extent(1536, 1024), data.into())));
    assert_eq!(status_place(&writable), Some(GuestAddress(0x3200)));
}

#[test]
fn status_may_lie_in_any_last_descriptor_that_is_not_empty() {
    let writable = [range(0x1000, 512), range(0x3000, 1), range(0x4000, 0)];
    assert_eq!(status_place(&writable), Some(GuestAddress(0x3000)));
    let data = vec![range(0x1000, 512)];
    let request = with_header(IN, 0, &writable);
    assert_eq!(request, Ok(Request::Read(extent(0, 512), data.into())));
    assert_eq!(status_place(&[]), None);
    assert_eq!(status_place(&[range(0x1000, 0)]), None);
}

#[test]
fn write_takes_what_follows_the_header_wherever_descriptors_end() {
    let readable = [
        range(0, 7),
        range(0x100, 0),
        range(0x200, 17),
        range(0x300, 504),
    ];
    let request = parse(&header(OUT, 1), &readable, &[range(0x1000, 1)], &RULES);
    let data = vec![range(0x209, 8), range(0x300, 504)];
    assert_eq!(request, Ok(Request::Write(extent(512, 512), data.into())));
}

#[test]
fn request_shorter_than_its_header_is_refused() {
    for len in 0..16 {
        let head = &header(IN, 0)[..len];
        let readable = [range(0, u32::try_from(len).unwrap())];
        let refused = parse(head, &readable, &[range(0x1000, 513)], &RULES);
        assert_eq!(refused, Err(Rejection::NoHeader { len_bytes: len }));
    }
}

#[test]
fn transfer_outside_the_disk_or_of_half_sectors_is_refused() {
    let read = |sector, len: u32| with_header(IN, sector, &[range(0x1000, len + 1)]);
    assert!(read(63, 512).is_ok() && read(0, 64 * 512).is_ok() && read(64, 0).is_ok());
    for (sector, len) in [
        (64, 512),
        (63, 1024),
        (u64::MAX, 512),
        (u64::MAX / 512, 512),
    ] {
        let refused = read(sector, len).unwrap_err();
        assert!(matches!(refused, Rejection::Outside { .. }), "{refused}");
    }
    for len in [1, 511, 513] {
        let refused = read(0, len).unwrap_err();
        assert!(matches!(refused, Rejection::Length { .. }), "{refused}");
    }
}

#[test]
fn data_in_more_pieces_than_were_announced_is_refused() {
    let pieces = |count: u32| {
        let mut writable = vec![range(0x1000, 512); count as usize];
        writable.push(range(0x9000, 1));
        let rules = Rules {
            size_bytes: 1 << 20,
            ..RULES
        };
        parse(&header(IN, 0), &[range(0, 16)], &writable, &rules)
    };
    assert!(pieces(MAX_SEGMENTS).is_ok());
    assert_eq!(
        pieces(MAX_SEGMENTS + 1),
        Err(Rejection::Segments { segments: 255 })
    );
}

#[test]
fn write_to_a_read_only_disk_is_refused() {
    let rules = Rules {
        access: Access::ReadOnly,
        features: 0,
        ..RULES
    };
    let refused = parse(
        &header(OUT, 0),
        &[range(0, 528)],
        &[range(0x1000, 1)],
        &rules,
    );
    assert_eq!(refused, Err(Rejection::ReadOnly));
}

#[test]
fn type_unknown_or_not_agreed_on_is_unsupported() {
    let rules = Rules {
        features: 0,
        ..RULES
    };
    for kind in [
        2,
        3,
        5,
        7,
        10,
        DISCARD_TYPE,
        12,
        WRITE_ZEROES_TYPE,
        u32::MAX,
    ] {
        let refused = parse(
            &header(kind, 0),
            &[range(0, 16)],
            &[range(0x1000, 1)],
            &rules,
        );
        assert_eq!(refused, Err(Rejection::Unknown { kind }));
        assert!(refused.unwrap_err().is_unsupported());
    }
}

#[test]
fn ranges_are_discarded_or_kept_as_their_flags_say() {
    let discarded = with_ranges(DISCARD_TYPE, &[(1, 2, 0), (8, 0, 0)]);
    let parts = vec![
        (extent(512, 1024), Zeroing::Discard),
        (extent(4096, 0), Zeroing::Discard),
    ];
    assert_eq!(discarded, Ok(Request::Zero(parts)));
    let zeroed = with_ranges(WRITE_ZEROES_TYPE, &[(0, 1, 0), (1, 1, UNMAP)]);
    let parts = vec![
        (extent(0, 512), Zeroing::Keep),
        (extent(512, 512), Zeroing::Discard),
    ];
    assert_eq!(zeroed, Ok(Request::Zero(parts)));
}

#[test]
fn ranges_that_cannot_be_are_refused() {
    use Rejection::{Flags, Length, Outside, RangeLength};
    let one = |kind, range| with_ranges(kind, &[range]).unwrap_err();
    assert_eq!(one(DISCARD_TYPE, (0, 1, 1)), Flags { flags: 1 });
    assert_eq!(one(WRITE_ZEROES_TYPE, (0, 1, 2)), Flags { flags: 2 });
    assert!(matches!(one(DISCARD_TYPE, (63, 2, 0)), Outside { .. }));
    let sectors = MAX_RANGE_SECTORS + 1;
    assert_eq!(one(DISCARD_TYPE, (0, sectors, 0)), RangeLength { sectors });
    for count in [0, 17, 300] {
        let refused = with_ranges(DISCARD_TYPE, &vec![(0, 1, 0); count]).unwrap_err();
        assert!(matches!(refused, Length { .. }), "{count}: {refused}");
    }
    let cut = [&header(DISCARD_TYPE, 0)[..], &[0; 15]].concat();
    let refused = parse(&cut, &[range(0, 31)], &[range(0x1000, 1)], &RULES);
    assert_eq!(refused, Err(Length { len_bytes: 15 }));
}

proptest! {
    #[test]
    fn request_of_any_shape_stays_on_the_disk_and_in_its_memory(
        kind in prop::sample::select(vec![IN, OUT, FLUSH, GET_ID, DISCARD_TYPE, WRITE_ZEROES_TYPE, 99]),
        sector in prop::sample::select(vec![0, 1, 62, 63, 64, u64::MAX >> 9, u64::MAX]),
        payload in prop::collection::vec(any::<u8>(), 0..80),
        cuts in prop::collection::vec(0_u32..40, 0..8),
        sizes in prop::collection::vec(0_u32..1100, 1..6),
    ) {
        let bytes = [header(kind, sector), payload].concat();
        let mut left = u32::try_from(bytes.len()).unwrap();
        let mut readable = Vec::new();
        for cut in cuts.into_iter().chain([u32::MAX]) {
            readable.push(range(u64::from(left) << 16, cut.min(left)));
            left -= cut.min(left);
        }
        let writable: Vec<_> = (1_u64..).zip(&sizes).map(|(n, len)| range(n << 32, *len)).collect();
        if status_place(&writable).is_none() {
            return Ok(());
        }
        let on_disk = |part: &Extent| part.offset_bytes + part.len_bytes <= RULES.size_bytes;
        let inside = |data: &[GuestRange], whole: &[GuestRange]| {
            data.iter().all(|part| part.len_bytes > 0 && whole.iter().any(|range| {
                let (start, end) = (range.address.0, range.address.0 + u64::from(range.len_bytes));
                part.address.0 >= start && part.address.0 + u64::from(part.len_bytes) <= end
            }))
        };
        match parse(&bytes[..bytes.len().min(HEAD_BYTES)], &readable, &writable, &RULES) {
            Ok(Request::Read(part, data)) => {
                assert!(on_disk(&part) && inside(&data, &writable));
                assert_eq!(total_bytes(&data), part.len_bytes);
                assert_eq!(part.len_bytes + 1, total_bytes(&writable));
            }
            Ok(Request::Write(part, data)) => {
                assert!(on_disk(&part) && inside(&data, &readable));
                assert_eq!(total_bytes(&data), part.len_bytes);
            }
            Ok(Request::Identify(data)) => assert!(inside(&data, &writable)),
            Ok(Request::Zero(parts)) => assert!(parts.iter().all(|(part, _)| on_disk(part))),
            Ok(Request::Flush) | Err(_) => {}
        }
    }
}
