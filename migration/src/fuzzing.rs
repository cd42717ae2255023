//! Doors for the fuzz targets of `fuzz/`: every decoder of what a peer or a file says, one function
//! each.
//!
//! They exist only where `--cfg fuzzing` is set. Each takes any bytes and panics if a decoder breaks
//! a promise: that it does not panic, that what decodes is in bounds, and that it encodes to bytes
//! which decode to the same value and are not more than came in.

mod frames;
mod seeds;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, socketpair};

use crate::link::{FrameReader, Link, Patience};
use crate::stop::Stop;
use crate::wire::{Frame, Header, PREAMBLE_BYTES, Preamble, decode};

pub use crate::snapshot::fuzzing::{decode_snapshot, decode_working_set};
pub use frames::{decode_control, decode_pages};
pub use seeds::seeds;

/// An input to begin with: a valid encoding, or one that is nearly valid.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed {
    /// The fuzz target it is for.
    pub target: &'static str,
    /// What it is, in words that make a file name.
    pub name: String,
    /// The input.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.target, self.name)
    }
}

/// Bytes a [`FrameReader`] may hold beyond twice the frame it works on: what it reads ahead, twice.
const READER_SPARE_BYTES: usize = 32 << 10;

/// Decodes the first 16 bytes as a preamble.
pub fn decode_preamble(data: &[u8]) {
    let Some(bytes) = data.first_chunk::<PREAMBLE_BYTES>() else {
        return;
    };
    if let Some(preamble) = Preamble::decode(*bytes) {
        assert_eq!(preamble.encode(), *bytes);
    }
}

/// Decodes the first 8 bytes as a frame's header.
pub fn decode_header(data: &[u8]) {
    let Some(bytes) = data.first_chunk() else {
        return;
    };
    match Header::decode(*bytes) {
        Ok(header) => {
            assert!(header.length_bytes <= header.kind.max_bytes());
            assert_eq!(header.encode(), *bytes);
        }
        Err(error) => drop(error.to_string()),
    }
}

/// Receives what arrives in pieces, as frames or as a preamble and frames.
///
/// | bytes | what |
/// |---|---|
/// | 0 | bit 0: a preamble is due first; bit 1: frames of at most 256 bytes are due |
/// | then, for each piece: n | up to 239: the next n bytes arrive; beyond: n - 239 KiB of zeroes do |
pub fn read_frames(data: &[u8]) {
    let Some((&due, pieces)) = data.split_first() else {
        return;
    };
    let (mut reader, sent) = feed(pieces);
    let mut taken = 0;
    let mut longest = 0;
    let check = |reader: &FrameReader, taken: usize, longest: usize| {
        let working_on = longest.max(sent.len() - taken);
        assert!(reader.buffered_bytes() <= 2 * working_on + READER_SPARE_BYTES);
    };
    if due & 1 != 0 {
        match reader.preamble(Patience::Endless) {
            Ok(preamble) => assert_eq!(preamble.encode(), sent[..PREAMBLE_BYTES]),
            Err(error) => return drop(error.to_string()),
        }
        taken = PREAMBLE_BYTES;
    }
    loop {
        let received = if due & 2 != 0 {
            reader.next_within(256, Patience::Endless).map(Some)
        } else {
            reader.next_or_end(Patience::Endless)
        };
        let frame = match received {
            Ok(Some(frame)) => frame,
            Ok(None) => {
                assert_eq!(taken, sent.len(), "the end came before the last byte");
                break;
            }
            Err(error) => {
                drop(error.to_string());
                break;
            }
        };
        let (kind, length_bytes) = (frame.kind, frame.payload.len());
        let mut whole = Header { kind, length_bytes }.encode().to_vec();
        whole.extend_from_slice(frame.payload);
        frames::decode_one(kind, frame.payload);
        drop(frame.into_error().to_string());
        assert!(sent[taken..].starts_with(&whole), "other bytes than sent");
        taken += whole.len();
        longest = longest.max(whole.len());
        check(&reader, taken, longest);
    }
    check(&reader, taken, longest);
}

/// A reader to which the pieces have been sent, and all that they hold. Each comes by a read of its
/// own, because the connection is one of messages; it has ended, so that no read waits.
fn feed(mut pieces: &[u8]) -> (FrameReader, Vec<u8>) {
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
        None,
    )
    .expect("a fuzz target may open sockets");
    let mut sent = Vec::new();
    while let Some((&size, rest)) = pieces.split_first() {
        const ZEROES: [u8; 16 << 10] = [0; 16 << 10];
        let (piece, rest) = match usize::from(size).checked_sub(239) {
            None | Some(0) => rest.split_at(rest.len().min(usize::from(size))),
            Some(kib) => (&ZEROES[..kib << 10], rest),
        };
        pieces = rest;
        // A message of no bytes would be the end.
        if piece.is_empty() {
            continue;
        }
        if rustix::net::send(&theirs, piece, SendFlags::NOSIGNAL).is_err() {
            // The socket holds no more.
            break;
        }
        sent.extend_from_slice(piece);
    }
    drop(theirs);
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let stop = Stop::new().expect("a fuzz target may open an eventfd");
    let link = Link::over(TcpStream::from(ours), peer, stop);
    (FrameReader::new(link), sent)
}

/// Decodes a payload, and what that encodes to.
fn round_trip<F: Frame + fmt::Debug + PartialEq>(payload: &[u8]) {
    let Ok(frame) = decode::<F>(payload) else {
        return;
    };
    let mut again = Vec::new();
    frame.encode(&mut again);
    assert!(again.len() <= payload.len(), "{frame:?} has grown");
    let second = decode::<F>(&again).expect("what was encoded decodes");
    assert_eq!(second, frame);
}

/// Splits a number off the front of an input.
fn split_number<const N: usize>(data: &[u8]) -> Option<([u8; N], &[u8])> {
    data.split_first_chunk().map(|(bytes, rest)| (*bytes, rest))
}
