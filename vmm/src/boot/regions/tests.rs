//! Sizes around each limit and around the hole.

use super::*;

const GIB: u64 = 1 << 30;

fn split(memory_bytes: u64) -> Vec<(u64, u64)> {
    let ram = RamLayout::new(memory_bytes).unwrap();
    ram.regions()
        .map(|region| (region.start.0, region.length_bytes))
        .collect()
}

#[test]
fn regions_up_to_the_hole_are_one() {
    assert_eq!(split(16 << 20), [(0, 16 << 20)]);
    assert_eq!(split(3 * GIB), [(0, 3 * GIB)]);
}

#[test]
fn regions_beyond_the_hole_are_two() {
    assert_eq!(split(3 * GIB + 4096), [(0, 3 * GIB), (4 * GIB, 4096)]);
    assert_eq!(split(64 * GIB), [(0, 3 * GIB), (4 * GIB, 61 * GIB)]);
    let (start, length_bytes) = split(MEMORY_MAX_BYTES)[1];
    assert_eq!(start + length_bytes, 1 << 40);
}

#[test]
fn size_outside_the_limits_is_refused() {
    assert!(matches!(
        RamLayout::new(0),
        Err(BootError::MemoryTooSmall { memory_bytes: 0 })
    ));
    assert!(matches!(
        RamLayout::new((16 << 20) - 4096),
        Err(BootError::MemoryTooSmall { .. })
    ));
    assert!(matches!(
        RamLayout::new(MEMORY_MAX_BYTES + 4096),
        Err(BootError::MemoryTooBig { .. })
    ));
    assert!(matches!(
        RamLayout::new(u64::MAX),
        Err(BootError::MemoryTooBig { .. })
    ));
    assert!(matches!(
        RamLayout::new((16 << 20) + 1),
        Err(BootError::MemoryUnaligned { .. })
    ));
}

#[test]
fn memory_map_is_ascending_and_counts_all_ram_but_the_first_megabyte() {
    for memory_bytes in [16 << 20, 128 << 20, 3 * GIB, 5 * GIB] {
        let map = RamLayout::new(memory_bytes).unwrap().memory_map();
        for pair in map.windows(2) {
            assert!(pair[0].start + pair[0].length_bytes <= pair[1].start);
        }
        let ram = map.iter().filter(|entry| entry.kind == RangeKind::Ram);
        let ram_bytes: u64 = ram.map(|entry| entry.length_bytes).sum();
        assert_eq!(
            ram_bytes,
            memory_bytes - (layout::KERNEL_START - layout::EBDA_START)
        );
    }
}
