//! Tests of filling and touching free pages.

use std::sync::atomic::{AtomicBool, AtomicU8};

use super::super::frames::{Frame, Frames, Request};
use super::Touched;
use crate::pure::pages::tests::VecPages;

#[test]
fn fill_and_touch_count_free_pages_and_what_is_in_them() {
    let dirtied = AtomicBool::new(true);
    let table: Vec<_> = (0..20).map(|_| AtomicU8::new(0)).collect();
    let frames = Frames::new(&table, &dirtied, 2);
    let mut pages = VecPages::new(20);
    assert!(frames.ask(5, Request::Inflate));
    assert_eq!(frames.fill(0, 10, &mut pages), 7);
    assert_eq!((pages.0[1].0, pages.0[5].0), ([0; 512], [0; 512]));
    let touch = |pages: &mut VecPages| frames.touch(1, u64::MAX, pages);
    let touched = Touched {
        pages: 17,
        zero: 10,
        filled: 7,
    };
    assert_eq!(touch(&mut pages), touched);
    pages.0[9].0[511] ^= 1;
    let spoilt = Touched {
        filled: 6,
        ..touched
    };
    assert_eq!(touch(&mut pages), spoilt);
    // What was filled is worth a report, and what was only read is what it was.
    let reported = (0..20).filter(|index| frames.ask(*index, Request::Report));
    assert_eq!(reported.count(), 7);
    assert_eq!(frames.claim(15), Some(Frame::Clean));
}
