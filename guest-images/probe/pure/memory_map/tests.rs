//! Tests of the memory map.

use super::{Extent, MemoryMap};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

fn map(regions: &[(u64, u64)]) -> MemoryMap {
    let mut map = MemoryMap::EMPTY;
    for &(start, end) in regions {
        map.add(start, end);
    }
    map
}

#[test]
fn gpa_of_steps_over_the_hole_below_4_gib() {
    let map = map(&[(MIB, 3 * GIB), (4 * GIB, 5 * GIB)]);
    let low = (3 * GIB - MIB) / 4096;
    assert_eq!(map.gpa_of(0), Some(MIB));
    assert_eq!(map.gpa_of(low - 1), Some(3 * GIB - 4096));
    assert_eq!(map.gpa_of(low), Some(4 * GIB));
    assert_eq!(map.gpa_of(map.pages() - 1), Some(5 * GIB - 4096));
    assert_eq!(map.gpa_of(map.pages()), None);
}

#[test]
fn add_partial_pages_are_left_out() {
    assert_eq!(map(&[(1, 8191)]).extents(), []);
    assert_eq!(
        map(&[(1, 8192)]).extents(),
        [Extent {
            gpa: 4096,
            pages: 1
        }]
    );
    assert_eq!(map(&[(u64::MAX - 1, u64::MAX)]).pages(), 0);
    assert_eq!(map(&[(8192, 4096)]).pages(), 0);
}

#[test]
fn add_out_of_order_and_overlapping_counts_each_page_once() {
    let map = map(&[(16384, 32768), (0, 8192), (4096, 20480), (4096, 8192)]);
    let gpas: Vec<u64> = (0..map.pages())
        .map(|index| map.gpa_of(index).unwrap())
        .collect();
    assert_eq!(gpas, (0..8).map(|page| page * 4096).collect::<Vec<_>>());
}

#[test]
fn add_more_pieces_than_there_is_room_for_keeps_the_first() {
    let regions: Vec<_> = (0..100)
        .map(|piece| (piece * 8192, piece * 8192 + 4096))
        .collect();
    assert_eq!(map(&regions).pages(), 16);
}

#[test]
fn take_removes_pages_from_the_front() {
    let mut map = map(&[(MIB, 2 * MIB), (4 * MIB, 5 * MIB)]);
    assert_eq!(map.take(6), Some(MIB));
    assert_eq!(map.gpa_of(0), Some(MIB + 6 * 4096));
    assert_eq!(map.pages(), 506);
    assert_eq!(map.take(251), None);
    assert_eq!(MemoryMap::EMPTY.clone().take(1), None);
}
