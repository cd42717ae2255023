//! Frames over real sockets: cut anywhere, late, or longer than promised.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::*;
use crate::digest::Digest;
use crate::error::Error;
use crate::page::{PAGE_BYTES, PageIndex, PageRange};
use crate::stop::{Stop, Woken};
use crate::wire::{
    Access, FrameKind, PagesPrefix, Preamble, Purpose, Ready, Running, decode_pages,
};

const SOON: Patience = Patience::EachByte(Duration::from_millis(50));

/// Both ends of a connection.
fn pair() -> (TcpStream, Link) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, peer) = listener.accept().unwrap();
    (
        theirs,
        Link::new(stream, peer, Stop::new().unwrap()).unwrap(),
    )
}

fn prefix(range: PageRange) -> PagesPrefix {
    PagesPrefix {
        range,
        digest: Digest::default(),
        waited: Duration::ZERO,
    }
}

#[test]
fn frames_cut_at_every_byte_are_received_whole() {
    let bytes = [6u8, 0, 0, 0, 8, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0];
    for cut in 1..bytes.len() {
        let (mut theirs, link) = pair();
        let mut reader = FrameReader::new(link);
        theirs.write_all(&bytes[..cut]).unwrap();
        let rest = bytes[cut..].to_vec();
        let writer = thread::spawn(move || {
            thread::yield_now();
            theirs.write_all(&rest).unwrap();
        });
        let ready: Ready = reader
            .next(Patience::Endless)
            .unwrap()
            .into_frame()
            .unwrap();
        assert_eq!(ready, Ready { restore_us: 9 });
        writer.join().unwrap();
        assert!(reader.next_or_end(Patience::Endless).unwrap().is_none());
    }
}

#[test]
fn end_within_a_frame_is_an_error_and_between_frames_is_not() {
    for (bytes, is_end) in [
        (&[][..], true),
        (&[6, 0, 0], false),
        (&[6, 0, 0, 0, 8, 0, 0, 0], false),
    ] {
        let (mut theirs, link) = pair();
        theirs.write_all(bytes).unwrap();
        drop(theirs);
        let mut reader = FrameReader::new(link);
        let next = reader.next_or_end(SOON);
        assert_eq!(matches!(next, Ok(None)), is_end, "{bytes:?}");
        assert_eq!(
            matches!(next, Err(Error::Closed { .. })),
            !is_end,
            "{bytes:?}"
        );
    }
}

#[test]
fn silence_is_an_error_in_time_even_if_bytes_drip() {
    let (mut theirs, link) = pair();
    theirs.write_all(&[6]).unwrap();
    let began = Instant::now();
    let whole = Patience::whole(Duration::from_millis(40));
    let error = FrameReader::new(link).next(whole).unwrap_err();
    assert!(matches!(error, Error::Silent { .. }));
    assert!(began.elapsed() >= Duration::from_millis(40));
    assert!(began.elapsed() < Duration::from_millis(500));
}

#[test]
fn raised_flag_ends_receiving_and_sending() {
    let (_theirs, link) = pair();
    let (stop, other) = (Stop::new().unwrap(), link.clone());
    let link = link.with_stop(stop.clone());
    let receiver = thread::spawn(move || FrameReader::new(link).next(Patience::Endless).map(drop));
    let sender = other.with_stop(stop.clone());
    let sender = thread::spawn(move || {
        let range = PageRange::within(PageIndex::new(0), 512, 512).unwrap();
        let (content, writer) = (vec![0; range.bytes()], FrameWriter::new(sender));
        // Nobody reads: sooner or later the connection is full.
        (0..100).try_for_each(|_| writer.send_pages(&prefix(range), &content, Patience::Endless))
    });
    stop.raise();
    assert!(matches!(receiver.join().unwrap(), Err(Error::Stopped)));
    assert!(matches!(sender.join().unwrap(), Err(Error::Stopped)));
}

#[test]
fn frames_of_all_sizes_follow_each_other() {
    let (theirs, link) = pair();
    let sizes = [1, 512, 2, 4, 300, 1, 512, 512, 3];
    let peer = link.peer();
    let sender = thread::spawn(move || {
        let mut writer = FrameWriter::new(Link::new(theirs, peer, Stop::new().unwrap()).unwrap());
        writer
            .preamble(
                Preamble::new(Purpose::Attach, Access::Open),
                Patience::Endless,
            )
            .unwrap();
        for pages in sizes {
            let range = PageRange::within(PageIndex::new(pages), pages, 2000).unwrap();
            let content = vec![u8::try_from(pages % 251).unwrap(); range.bytes()];
            writer
                .send_pages(&prefix(range), &content, Patience::Endless)
                .unwrap();
            writer
                .send(&Running { resume_us: pages }, Patience::Endless)
                .unwrap();
        }
        writer.link().finish_sending().unwrap();
        writer.link().wire_bytes()
    });
    let mut reader = FrameReader::new(link);
    assert_eq!(
        reader.same_version(Patience::Endless).unwrap().purpose,
        Purpose::Attach
    );
    for pages in sizes {
        let frame = reader.next(Patience::Endless).unwrap();
        assert_eq!(frame.kind, FrameKind::Pages);
        let (PagesPrefix { range, .. }, content) = decode_pages(frame.payload, 2000).unwrap();
        assert_eq!((range.first().get(), range.pages()), (pages, pages));
        assert!(content.iter().all(|&byte| u64::from(byte) == pages % 251));
        assert_eq!(content.len(), range.bytes());
        let running: Running = reader
            .next(Patience::Endless)
            .unwrap()
            .into_frame()
            .unwrap();
        assert_eq!(running.resume_us, pages);
    }
    assert!(reader.next_or_end(Patience::Endless).unwrap().is_none());
    let pages: u64 = sizes.iter().sum();
    let overhead = 16 + 9 * (8 + 32) + 9 * 16;
    assert_eq!(
        sender.join().unwrap(),
        pages * u64::try_from(PAGE_BYTES).unwrap() + overhead
    );
    assert_eq!(reader.link().wire_bytes(), pages * 4096 + overhead);
}

#[test]
fn promised_length_alone_allocates_little() {
    let (mut theirs, link) = pair();
    let length = u32::try_from(FrameKind::State.max_bytes()).unwrap();
    theirs.write_all(&[5, 0, 0, 0]).unwrap();
    theirs.write_all(&length.to_le_bytes()).unwrap();
    let mut reader = FrameReader::new(link);
    assert!(matches!(reader.next(SOON), Err(Error::Silent { .. })));
    assert!(reader.buffered_bytes() < 64 << 10);
}

#[test]
fn frame_is_given_without_waiting_once_all_of_it_is_here() {
    let (mut theirs, link) = pair();
    let mut reader = FrameReader::new(link);
    let bytes = [8, 0, 0, 0, 8, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0];
    for &byte in &bytes {
        assert!(matches!(reader.next_now().unwrap(), Now::NotYet));
        theirs.write_all(&[byte]).unwrap();
        let soon = Instant::now() + Duration::from_secs(5);
        assert_eq!(reader.link().wait_receivable(soon).unwrap(), Woken::Ready);
    }
    let Now::Frame(frame) = reader.next_now().unwrap() else {
        panic!("all of it is here");
    };
    assert_eq!(frame.into_frame::<Running>().unwrap().resume_us, 7);
    theirs.shutdown(std::net::Shutdown::Write).unwrap();
    let soon = Instant::now() + Duration::from_secs(5);
    assert_eq!(reader.link().wait_receivable(soon).unwrap(), Woken::Ready);
    assert!(matches!(reader.next_now().unwrap(), Now::Ended));
}
