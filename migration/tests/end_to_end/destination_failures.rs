//! What a destination does with bad sources: it goes on listening, and never runs a guest whose
//! token did not arrive or whose memory it would have to make up.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::time::Duration;

use migration::{
    CancelToken, Cancellation, MigrationError as Error, PAGE_BYTES, Progress, Timeouts, migrate,
};

use crate::machine::{FakeSource, Waiting, can_receive, hasty, options_to};
use crate::memory::Memory;
use crate::peer::{
    ABSENT, DRAINED, FAILED, HELLO, MIGRATE, PAGES, POST_COPY, Peer, READY, REFUSE, RUN, RUNNING,
    STATE, STOP_AND_COPY, TO_ATTACH, hello, offer_vm, pages,
};

/// The state that the fake VM accepts.
const GOOD_STATE: &[u8] = b"state of the machine";

/// A whole migration to the same destination must succeed, and be the first whose guest ran.
fn next_one_succeeds(waiting: Waiting) {
    assert_eq!(waiting.watch.resumed.load(Ordering::SeqCst), 0);
    let vm = FakeSource::new(Memory::filled(500));
    let cancel = CancelToken::new().unwrap();
    migrate(
        &vm,
        &options_to(waiting.address),
        &|_: &Progress| {},
        &cancel,
    )
    .unwrap();
    let watch = waiting.watch.clone();
    assert!(waiting.join().unwrap().outcome.is_ok());
    assert_eq!(watch.resumed.load(Ordering::SeqCst), 1);
    assert_eq!(watch.alive.load(Ordering::SeqCst), 0);
}

#[test]
fn strangers_are_told_apart_and_hold_nobody_up() {
    if !can_receive() {
        return;
    }
    let waiting = Waiting::start(Timeouts::default());
    let silent = TcpStream::connect(waiting.address).unwrap();
    drop(TcpStream::connect(waiting.address).unwrap());
    let mut browser = TcpStream::connect(waiting.address).unwrap();
    browser
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let mut liar = Peer::connect(waiting.address, MIGRATE);
    liar.header(HELLO, u32::MAX);
    liar.drain();
    let mut half = Peer::connect(waiting.address, MIGRATE);
    half.header(HELLO, 1000);
    half.send(&[0; 10]);
    let mut other = Peer::connect(waiting.address, 77);
    other.drain();
    let mut intruder = Peer::connect(waiting.address, TO_ATTACH);
    intruder.frame(4, &[0; 20]);
    intruder.drain();
    next_one_succeeds(waiting);
    drop((silent, half));
}

#[test]
fn source_of_another_version_is_refused_with_both_versions() {
    let waiting = Waiting::start(Timeouts::default());
    let mut source = Peer(TcpStream::connect(waiting.address).unwrap());
    source.preamble(9, MIGRATE);
    source.skip_preamble();
    // Refusal::Version { ours: 3, theirs: 9 }
    assert_eq!(source.expect(REFUSE), [0, 3, 9]);
    waiting.stop.cancel();
    assert!(waiting.join().is_err());
}

#[test]
fn nonsense_for_an_offer_is_rejected() {
    let waiting = Waiting::start(Timeouts::default());
    let good = hello(POST_COPY, 5);
    let mut bad: Vec<Vec<u8>> = (0..good.len())
        .map(|length| good[..length].to_vec())
        .collect();
    bad.push(vec![0xff; 100]);
    bad.push([&good[..], &[0]].concat());
    for payload in bad {
        let mut source = Peer::connect(waiting.address, MIGRATE);
        source.frame(HELLO, &payload);
        source.drain();
    }
    assert_eq!(waiting.watch.made.load(Ordering::SeqCst), 0);
    waiting.stop.cancel();
    assert!(waiting.join().is_err());
}

/// What a source may do wrong between acceptance and token, its connections being closed after it.
type Misdeed = fn([Peer; 3]);

const MISDEEDS: [(u8, Misdeed); 9] = [
    (POST_COPY, drop),
    (POST_COPY, |[mut control, _urgent, _background]| {
        control.header(STATE, 1 << 30)
    }),
    (POST_COPY, |[mut control, _urgent, _background]| {
        control.header(STATE, 1000);
        control.send(&[0; 500]);
    }),
    (POST_COPY, |[mut control, _urgent, _background]| {
        // The token before the state.
        control.frame(RUN, &[]);
        control.expect(FAILED);
    }),
    (POST_COPY, |[mut control, _urgent, _background]| {
        control.frame(STATE, GOOD_STATE);
        control.expect(READY);
    }),
    (STOP_AND_COPY, |[mut control, _urgent, _background]| {
        // The token before the memory.
        control.frame(STATE, GOOD_STATE);
        control.expect(READY);
        control.frame(RUN, &[]);
        control.expect(FAILED);
    }),
    (STOP_AND_COPY, |[mut control, _urgent, mut background]| {
        // A page that does not exist.
        control.frame(STATE, GOOD_STATE);
        control.expect(READY);
        background.numbers(ABSENT, &[99, 2]);
        control.expect(FAILED);
    }),
    (STOP_AND_COPY, |[mut control, _urgent, mut background]| {
        // Two pages announced, one and a half sent.
        control.frame(STATE, GOOD_STATE);
        control.expect(READY);
        background.frame(PAGES, &pages(0, &[1; PAGE_BYTES * 3 / 2]));
        control.expect(FAILED);
    }),
    (STOP_AND_COPY, |[mut control, _urgent, mut background]| {
        // All pages there, but not the right ones.
        control.frame(STATE, GOOD_STATE);
        control.expect(READY);
        background.numbers(ABSENT, &[0, 100]);
        control.numbers(DRAINED, &[0, 100, 0xbad]);
        control.expect(FAILED);
    }),
];

#[test]
fn source_that_fails_before_the_token_leaves_no_trace() {
    if !can_receive() {
        return;
    }
    let waiting = Waiting::start(Timeouts::default());
    for (mode, misdeed) in MISDEEDS {
        let peers = offer_vm(waiting.address, mode, 100);
        let source = peers[0].address();
        misdeed(peers);
        waiting.rejection(|peer| *peer == source);
    }
    next_one_succeeds(waiting);
}

#[test]
fn source_that_vanishes_while_restoring_waits_for_a_page_frees_the_restorer() {
    if !can_receive() {
        return;
    }
    let waiting = Waiting::start(Timeouts::default());
    // The fake VM checks page 5, which holds zeroes at the source too, so that it notices nothing.
    *waiting.watch.restore_touches.lock().unwrap() = vec![5];
    let [mut control, mut urgent, background] = offer_vm(waiting.address, POST_COPY, 100);
    let source = control.address();
    control.frame(STATE, GOOD_STATE);
    assert_eq!(urgent.expect(9), 5u64.to_le_bytes());
    // A reset of the urgent connection alone must do.
    drop(urgent);
    let mut broken = background;
    broken.send(b"nonsense");
    waiting.rejection(|peer| *peer == source);
    next_one_succeeds(waiting);
}

#[test]
fn silent_source_is_given_up_in_time() {
    if !can_receive() {
        return;
    }
    let waiting = Waiting::start(hasty());
    let peers = offer_vm(waiting.address, POST_COPY, 100);
    let source = peers[0].address();
    assert!(
        waiting
            .rejection(|peer| *peer == source)
            .starts_with("no answer from")
    );
    drop(peers);
    next_one_succeeds(waiting);
}

#[test]
fn second_source_is_refused_while_a_vm_arrives() {
    if !can_receive() {
        return;
    }
    let waiting = Waiting::start(Timeouts::default());
    let first = offer_vm(waiting.address, POST_COPY, 100);
    let source = first[0].address();
    let mut second = Peer::connect(waiting.address, MIGRATE);
    second.frame(HELLO, &hello(POST_COPY, 5));
    second.skip_preamble();
    // Refusal::Busy
    assert_eq!(second.expect(REFUSE), [1]);
    drop(first);
    waiting.rejection(|peer| *peer == source);
    next_one_succeeds(waiting);
}

#[test]
fn source_that_vanishes_after_the_token_freezes_the_guest_and_makes_up_nothing() {
    if !can_receive() {
        return;
    }
    let waiting = Waiting::start(Timeouts::default());
    let [mut control, mut urgent, background] = offer_vm(waiting.address, POST_COPY, 100);
    control.frame(STATE, GOOD_STATE);
    control.expect(READY);
    control.frame(RUN, &[]);
    control.expect(RUNNING);
    // The guest's first visit is to page 0.
    assert_eq!(urgent.expect(9), 0u64.to_le_bytes());
    assert_eq!(waiting.stop.cancel(), Cancellation::TooLate);
    drop((control, urgent, background));

    let arrived = waiting.arrived.clone();
    let error = waiting.join().unwrap().outcome.unwrap_err();
    assert!(
        matches!(error, Error::Closed { .. } | Error::Receive { .. }),
        "{error:?}"
    );
    // A guest that was given zeroes would go through all its pages and end.
    let guest = arrived.guest.lock().unwrap().take().unwrap();
    let deadline = std::time::Instant::now() + Duration::from_millis(100);
    while std::time::Instant::now() < deadline {
        assert!(!guest.is_finished());
        std::thread::yield_now();
    }
}

#[test]
fn stop_while_a_vm_arrives_ends_the_wait() {
    if !can_receive() {
        return;
    }
    let waiting = Waiting::start(Timeouts::default());
    let [mut control, _urgent, _background] = offer_vm(waiting.address, POST_COPY, 100);
    assert_eq!(waiting.stop.cancel(), Cancellation::Accepted);
    control.expect(FAILED);
    let watch = waiting.watch.clone();
    assert!(matches!(waiting.join(), Err(Error::Stopped)));
    assert_eq!(watch.alive.load(Ordering::SeqCst), 0);
}
