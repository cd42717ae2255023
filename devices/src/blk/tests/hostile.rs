//! Drivers that do what they must not, and storage that fails.

use super::*;
use crate::virtio::fake_driver::Descriptor;

const NEXT: u16 = 1;
const INDIRECT: u16 = 4;

#[test]
fn request_without_a_place_for_its_status_comes_back_undone() {
    with_each_engine(|| {
        let (file, mut driver) = started();
        driver.put(HEADER, &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        driver.put(DATA, &[0xee; 512]);
        driver.offer(QUEUE, &[readable(HEADER, 16), readable(DATA, 512)]);
        driver.offer(QUEUE, &[readable(HEADER, 16), writable(STATUS, 0)]);
        assert_eq!(driver.wait_used(2), [0, 0]);
        assert_eq!(sector_of(&file, 0), [0; 512]);
        assert_eq!(driver.read(0x070), 0xf);
    });
}

#[test]
fn request_that_cannot_be_is_answered_with_an_error_and_the_next_one_done() {
    with_each_engine(|| {
        let (file, mut driver) = started();
        let outside = [writable(DATA, 512)];
        for (kind, sector, data, status) in [
            (0, SECTORS, &outside[..], 1),
            (0, u64::MAX, &outside, 1),
            (0, 0, &[writable(DATA, 100)], 1),
            (1, SECTORS - 1, &[readable(DATA, 1024)], 1),
            (11, 0, &[readable(DATA, 15)], 1),
            (99, 0, &[], 2),
        ] {
            let answer = driver.do_one(kind, sector, data);
            assert_eq!(answer, (status, 1), "type {kind}, sector {sector}");
        }
        driver.offer(QUEUE, &[readable(HEADER, 8), writable(STATUS, 1)]);
        assert_eq!(driver.wait_used(1), [1]);
        assert_eq!(driver.get(STATUS, 1), [1]);
        assert_eq!(driver.do_one(0, 1, &outside), (0, 513));
        assert_eq!(sector_of(&file, SECTORS - 1), [content(SECTORS - 1); 512]);
    });
}

#[test]
fn write_to_a_read_only_disk_is_an_error_and_changes_nothing() {
    with_each_engine(|| {
        let file = file();
        let mut driver = driver_of(disk(&file, Access::ReadOnly), FLUSH);
        driver.put(DATA, &[0xee; 512]);
        assert_eq!(driver.do_one(1, 2, &[readable(DATA, 512)]), (1, 1));
        assert_eq!(sector_of(&file, 2), [2; 512]);
        assert_eq!(driver.do_one(0, 2, &[writable(DATA, 512)]), (0, 513));
    });
}

#[test]
fn file_that_shrinks_under_the_disk_makes_errors_and_no_end() {
    with_each_engine(|| {
        let (file, mut driver) = started();
        file.as_file().set_len(512).unwrap();
        assert_eq!(driver.do_one(0, 9, &[writable(DATA, 512)]), (1, 1));
        assert_eq!(driver.do_one(0, 0, &[writable(DATA, 512)]), (0, 513));
    });
}

#[test]
fn chain_that_is_broken_makes_the_disk_need_a_reset_after_which_it_works() {
    with_each_engine(|| {
        let broken = [
            // It leads back to itself, lies outside of memory, leads nowhere.
            Descriptor::new(HEADER, 16, NEXT, 0),
            Descriptor::new(1 << 40, 16, 0, 0),
            Descriptor::new(HEADER, 16, NEXT, 999),
            Descriptor::new(DATA, 17, INDIRECT, 0),
        ];
        for descriptor in broken {
            let (_file, mut driver) = started();
            driver.write_descriptor(QUEUE, 0, descriptor);
            driver.offer_head(QUEUE, 0);
            driver.kick(QUEUE);
            let began = Instant::now();
            // NEEDS_RESET, which the driver is told by an interrupt.
            while driver.read(0x070) != 0x4f {
                assert!(began.elapsed() < PATIENCE, "{descriptor:?}");
                std::thread::yield_now();
            }
            assert_eq!(driver.take_interrupt(), Some(2));
            driver.start(ALL, 64);
            assert_eq!(driver.do_one(0, 1, &[writable(DATA, 512)]), (0, 513));
        }
    });
}

#[test]
fn available_index_far_ahead_breaks_the_queue() {
    with_each_engine(|| {
        let (_file, mut driver) = started();
        driver.write_available_index(QUEUE, 1000);
        driver.kick(QUEUE);
        let began = Instant::now();
        while driver.read(0x070) != 0x4f {
            assert!(began.elapsed() < PATIENCE);
            std::thread::yield_now();
        }
    });
}
