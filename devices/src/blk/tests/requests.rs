//! What a disk does for a proper driver.

use std::os::unix::fs::MetadataExt;

use vm_memory::bitmap::Bitmap;
use vm_memory::{GuestAddress, GuestMemoryBackend, GuestMemoryRegion};

use super::*;

#[test]
fn sectors_read_into_several_pieces_have_the_content_of_the_file() {
    with_each_engine(|| {
        let (_file, mut driver) = started();
        let data = [writable(DATA, 512), writable(DATA + 0x1000, 1024)];
        assert_eq!(driver.do_one(0, 7, &data), (0, 1537));
        assert_eq!(driver.get(DATA, 512), [7; 512]);
        assert_eq!(driver.get(DATA + 0x1000, 512), [8; 512]);
        assert_eq!(driver.get(DATA + 0x1200, 512), [9; 512]);
        // Used buffers are waiting.
        assert_eq!(driver.wait_interrupt(), 1);
    });
}

#[test]
fn sectors_written_from_several_pieces_are_in_the_file_and_nothing_else_changes() {
    with_each_engine(|| {
        let (file, mut driver) = started();
        driver.put(DATA, &[0xa1; 100]);
        driver.put(DATA + 0x1000, &[0xa1; 412]);
        let data = [readable(DATA, 100), readable(DATA + 0x1000, 412)];
        assert_eq!(driver.do_one(1, 20, &data), (0, 1));
        assert_eq!(sector_of(&file, 20), [0xa1; 512]);
        assert_eq!(sector_of(&file, 19), [19; 512]);
        assert_eq!(sector_of(&file, 21), [21; 512]);
        assert_eq!(driver.do_one(4, 0, &[]), (0, 1));
    });
}

#[test]
fn pages_that_a_read_fills_are_marked_dirty_and_those_of_a_write_are_not() {
    with_each_engine(|| {
        let (_file, mut driver) = started();
        let dirty = |driver: &FakeDriver<Blk>, address| {
            let region = driver.memory.find_region(GuestAddress(0)).unwrap();
            region.bitmap().dirty_at(address)
        };
        driver.do_one(0, 0, &[writable(0x20_0f00, 512)]);
        assert!(dirty(&driver, 0x20_0000) && dirty(&driver, 0x20_1000));
        assert!(!dirty(&driver, 0x20_2000));
        driver.do_one(1, 0, &[readable(0x30_0000, 512)]);
        assert!(!dirty(&driver, 0x30_0000));
    });
}

#[test]
fn serial_number_is_told_as_far_as_there_is_room() {
    with_each_engine(|| {
        let (_file, mut driver) = started();
        driver.put(DATA, &[0xff; 32]);
        assert_eq!(driver.do_one(8, 0, &[writable(DATA, 20)]), (0, 21));
        assert_eq!(driver.get(DATA, 20), *b"test-1\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        assert_eq!(driver.get(DATA + 20, 1), [0xff]);
        assert_eq!(driver.do_one(8, 0, &[writable(DATA, 4)]), (0, 5));
    });
}

#[test]
fn ranges_discarded_read_as_zeroes_and_take_no_storage() {
    with_each_engine(|| {
        let (file, mut driver) = started();
        let blocks = || file.as_file().metadata().unwrap().blocks();
        file.as_file().sync_all().unwrap();
        let before = blocks();
        for (kind, sector, flags) in [(11_u32, 8_u64, 0_u32), (13, 64, 1), (13, 128, 0)] {
            let range = [
                &sector.to_le_bytes()[..],
                &64_u32.to_le_bytes(),
                &flags.to_le_bytes(),
            ];
            driver.put(DATA, &range.concat());
            assert_eq!(driver.do_one(kind, 0, &[readable(DATA, 16)]), (0, 1));
            assert_eq!(sector_of(&file, sector), [0; 512]);
            assert_eq!(sector_of(&file, sector + 63), [0; 512]);
        }
        assert_eq!(sector_of(&file, 7), [7; 512]);
        assert_eq!(sector_of(&file, 192), [192; 512]);
        assert!(blocks() < before, "{} of {before} blocks", blocks());
        assert_eq!(file.as_file().metadata().unwrap().len(), SECTORS * 512);
    });
}

#[test]
fn many_requests_are_all_done_and_counted() {
    with_each_engine(|| {
        let (_file, mut driver) = started();
        let handle = driver.transport.device().handle();
        for round in 0..50 {
            for _ in 0..20 {
                driver.ask(0, 3, &[writable(DATA, 512)]);
            }
            assert_eq!(driver.wait_used(20), [513; 20], "round {round}");
        }
        driver.do_one(1, 3, &[readable(DATA, 1024)]);
        driver.do_one(4, 0, &[]);
        driver.do_one(0, SECTORS, &[writable(DATA, 512)]);
        let expected = DiskCounters {
            reads: 1000,
            writes: 1,
            flushes: 1,
            discards: 0,
            read_bytes: 512_000,
            written_bytes: 1024,
            errors: 1,
        };
        assert_eq!(handle.counters(), expected);
    });
}

#[test]
fn requests_side_by_side_have_each_its_own_data_and_answer() {
    with_each_engine(|| {
        let file = file();
        let mut driver = driver_of(disk(&file, Access::ReadWrite), ALL);
        let place = |number: u64| DATA + number * 512;
        for number in 0..8 {
            driver.ask_apart(number, 0, 10 + number, &[writable(place(number), 512)]);
        }
        assert_eq!(driver.wait_used(8), [513; 8]);
        for number in 0..8 {
            let expected = vec![content(10 + number); 512];
            assert_eq!(driver.get(place(number), 512), expected, "read {number}");
        }
        // What follows on the disk and is of the other kind is no part of it.
        for number in 0..8_u8 {
            let (sector, at) = (u64::from(number), place(u64::from(number)));
            driver.put(at, &[100 + number; 512]);
            driver.ask_apart(sector, 1, 40 + sector, &[readable(at, 512)]);
        }
        driver.ask_apart(8, 0, 48, &[writable(place(8), 512)]);
        driver.ask_apart(9, 1, 60, &[readable(place(0), 512)]);
        assert_eq!(driver.wait_used(10).len(), 10);
        for number in 0..8_u8 {
            let sector = sector_of(&file, 40 + u64::from(number));
            assert_eq!(sector, [100 + number; 512], "write {number}");
        }
        assert_eq!(driver.get(place(8), 512), [content(48); 512]);
        assert_eq!(sector_of(&file, 60), [100; 512]);
        assert_eq!(sector_of(&file, 49), [content(49); 512]);
    });
}

#[test]
fn run_that_ends_behind_the_file_fails_only_where_nothing_is() {
    with_each_engine(|| {
        let (file, mut driver) = started();
        file.as_file().set_len(12 * 512).unwrap();
        for number in 0..4 {
            driver.ask_apart(number, 0, 10 + number, &[writable(DATA, 512)]);
        }
        assert_eq!(driver.wait_used(4).len(), 4);
        assert_eq!(driver.get(STATUS, 4), [0, 0, 1, 1]);
    });
}

#[test]
fn driver_that_does_not_flush_is_served_as_well() {
    with_each_engine(|| {
        let file = file();
        let mut driver = driver_of(disk(&file, Access::ReadWrite), 0);
        driver.put(DATA, &[1; 512]);
        assert_eq!(driver.do_one(1, 0, &[readable(DATA, 512)]), (0, 1));
        assert_eq!(sector_of(&file, 0), [1; 512]);
        // Not agreed on.
        assert_eq!(driver.do_one(11, 0, &[readable(DATA, 16)]), (2, 1));
    });
}

#[test]
fn disk_on_an_event_loop_does_the_same() {
    let file = file();
    let disk = disk(&file, Access::ReadWrite).on_the_event_loop();
    let mut driver = driver_of(disk, ALL);
    for _ in 0..9 {
        driver.ask(0, 5, &[writable(DATA, 512)]);
    }
    driver.kick(QUEUE);
    assert_eq!(driver.take_used(QUEUE).len(), 9);
    assert_eq!(driver.get(DATA, 512), [5; 512]);
}

#[test]
fn driver_hears_of_each_kind_of_request_when_it_is_done() {
    with_each_engine(|| {
        let file = file();
        let mut driver = driver_of(disk(&file, Access::ReadWrite), ALL);
        for (kind, data) in [
            (0, &[writable(DATA, 512)][..]),
            (1, &[readable(DATA, 512)]),
            (4, &[]),
            (8, &[writable(DATA, 20)]),
            (99, &[]),
        ] {
            driver.ask(kind, 0, data);
            driver.kick(QUEUE);
            driver.wait_interrupt();
            assert_eq!(driver.take_used(QUEUE).len(), 1, "kind {kind}");
        }
    });
}
