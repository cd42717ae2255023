//! Tests of the balloon's level and of the statistics.

use super::frames::Request;
use super::{Level, Statistics};

#[test]
fn level_reaches_its_target_and_no_more() {
    let mut level = Level::default();
    assert_eq!(level.next(), None);
    level.set_target(300);
    assert_eq!(level.next(), Some((Request::Inflate, 300)));
    level.served(Request::Inflate, 256);
    assert_eq!(level.next(), Some((Request::Inflate, 44)));
    level.served(Request::Inflate, 44);
    level.served(Request::Report, 1000);
    assert_eq!((level.next(), level.actual()), (None, 300));
    level.set_target(100);
    assert_eq!(level.next(), Some((Request::Deflate, 200)));
}

#[test]
fn level_that_yielded_waits_for_another_target() {
    let mut level = Level::default();
    level.set_target(300);
    level.served(Request::Inflate, 300);
    level.yielded();
    level.served(Request::Deflate, 256);
    level.set_target(300);
    assert_eq!(level.next(), None);
    level.set_target(40);
    assert_eq!(level.next(), Some((Request::Deflate, 4)));
    level.set_target(45);
    assert_eq!(level.next(), Some((Request::Inflate, 1)));
}

#[test]
fn statistics_are_the_bytes_of_the_standard() {
    let statistics = Statistics {
        major_faults: 3,
        free_bytes: 0x1000,
        total_bytes: 0x2000_0000,
    };
    assert_eq!(
        statistics.encode(),
        [
            2, 0, 3, 0, 0, 0, 0, 0, 0, 0, //
            4, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, //
            5, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, //
            6, 0, 0, 0x10, 0, 0, 0, 0, 0, 0,
        ]
    );
}
