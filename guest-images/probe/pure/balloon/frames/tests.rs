//! Tests of the table of pages.

use std::sync::atomic::{AtomicBool, AtomicU8};

use super::{Frame, Frames, Request};
use crate::pure::options::PAGE_BYTES;

fn table(pages: usize) -> Vec<AtomicU8> {
    (0..pages).map(|_| AtomicU8::new(0xff)).collect()
}

#[test]
fn new_has_the_first_pages_in_use_whatever_was_there() {
    let dirtied = AtomicBool::new(true);
    let table = table(10);
    let frames = Frames::new(&table, &dirtied, 4);
    assert_eq!((frames.count(), frames.free()), (10, 6));
    assert!((0..4).all(|index| frames.claim(index).is_none()));
}

#[test]
fn page_is_only_ever_in_one_hand() {
    use Request::{Deflate, Inflate, Report};
    let dirtied = AtomicBool::new(true);
    let table = table(3);
    let frames = Frames::new(&table, &dirtied, 0);
    assert_eq!(frames.claim(1), Some(Frame::Clean));
    for request in [Inflate, Deflate, Report] {
        assert!(!frames.ask(1, request), "{request:?}");
    }
    assert_eq!(frames.claim(1), None);
    assert!(!frames.were_dirtied());
    frames.release(1, Frame::Dirty);
    assert!(frames.were_dirtied() && !frames.were_dirtied());

    assert!(!frames.ask(0, Report), "a clean page");
    assert!(frames.ask(1, Report) && !frames.ask(1, Inflate));
    assert_eq!((frames.claim(1), frames.free()), (None, 2));
    frames.settle(1, Report);
    assert!(!frames.ask(1, Report), "reported already");

    assert!(frames.ask(1, Inflate));
    frames.settle(1, Inflate);
    assert!(!frames.ask(1, Inflate) && frames.claim(1).is_none());
    assert!(frames.ask(1, Deflate) && !frames.ask(1, Deflate));
    frames.settle(1, Deflate);
    assert_eq!(frames.claim(1), Some(Frame::Clean));
}

#[test]
fn page_that_does_not_exist_is_nobodys() {
    let dirtied = AtomicBool::new(true);
    let table = table(2);
    let frames = Frames::new(&table, &dirtied, 0);
    for index in [2, u64::MAX] {
        assert!(frames.claim(index).is_none() && !frames.ask(index, Request::Inflate));
        frames.release(index, Frame::Dirty);
        frames.settle(index, Request::Inflate);
    }
    assert_eq!(frames.free(), 2);
}

#[test]
fn largest_requests_fit_into_a_buffer_of_32_bits() {
    assert_eq!(Request::Inflate.most_pages(), Request::Deflate.most_pages());
    assert!(u32::try_from(Request::Report.most_pages() * PAGE_BYTES).is_ok());
}
