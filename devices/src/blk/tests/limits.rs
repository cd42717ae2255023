//! Disks that may do only so much.

use std::num::NonZeroU64;

use super::*;
use crate::RateLimit;
use crate::virtio::VirtioTransport as _;

fn limited(requests_per_s: u64) -> (NamedTempFile, FakeDriver<Blk>) {
    let file = file();
    let limit = RateLimit {
        bits_per_s: None,
        requests_per_s: NonZeroU64::new(requests_per_s),
    };
    let disk = disk(&file, Access::ReadWrite).with_limit(limit);
    (file, driver_of(disk, ALL))
}

#[test]
fn requests_beyond_the_limit_wait_their_turn() {
    with_each_engine(|| {
        let (_file, mut driver) = limited(50);
        for _ in 0..16 {
            driver.ask(0, 3, &[writable(DATA, 512)]);
        }
        let began = Instant::now();
        assert_eq!(driver.wait_used(16), [513; 16]);
        // 15 of them have to be paid for, but for a burst of a tenth of a second.
        assert!(began.elapsed() >= Duration::from_millis(200), "{began:?}");
    });
}

#[test]
fn disk_at_its_limit_stops_at_once_and_does_the_rest_later() {
    with_each_engine(|| {
        let (_file, mut driver) = limited(1);
        for _ in 0..3 {
            driver.ask(0, 3, &[writable(DATA, 512)]);
        }
        assert_eq!(driver.wait_used(1), [513]);
        let began = Instant::now();
        driver.transport.pause();
        assert!(began.elapsed() < Duration::from_millis(500), "{began:?}");
        driver.transport.resume();
        assert_eq!(driver.wait_used(1), [513]);
    });
}
