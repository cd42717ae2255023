//! Frames over a connection.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::time::Instant;

use crate::error::{Error, Result};
use crate::link::socket::{Link, Patience};
use crate::page::to_u64;
use crate::stop::Woken;
use crate::wire::{
    self, Frame, FrameKind, HEADER_BYTES, Header, PREAMBLE_BYTES, PagesPrefix, Preamble, VERSION,
};

/// Bytes asked for while the length of the next frame is unknown: many small frames come in one
/// system call, and little of a large one lands before its place. Our choice.
const READ_AHEAD_BYTES: usize = 16 << 10;

/// A frame as it came.
#[derive(Debug)]
pub(crate) struct Received<'a> {
    pub(crate) kind: FrameKind,
    pub(crate) payload: &'a [u8],
    peer: SocketAddr,
}

impl Received<'_> {
    /// The value of the frame that is due.
    ///
    /// # Errors
    /// If the other end says that it refuses or gave up, sends another frame, or nonsense.
    pub(crate) fn into_frame<F: Frame>(self) -> Result<F> {
        if self.kind == F::KIND {
            wire::decode(self.payload)
        } else {
            Err(self.into_error())
        }
    }

    /// The error that a frame means where it is not due.
    pub(crate) fn into_error(self) -> Error {
        let Self {
            kind,
            payload,
            peer,
        } = self;
        let refusal = |wire::Refuse(refusal)| Error::Refused { peer, refusal };
        let failure = |wire::Failed(text)| Error::PeerFailed { peer, text };
        match kind {
            FrameKind::Refuse => wire::decode(payload).map_or_else(|error| error, refusal),
            FrameKind::Failed => wire::decode(payload).map_or_else(|error| error, failure),
            _ => Error::Unexpected { kind },
        }
    }
}

/// What there is without waiting.
#[derive(Debug)]
pub(crate) enum Now<'a> {
    Frame(Received<'a>),
    NotYet,
    /// The other end finished sending after a whole frame.
    Ended,
}

/// The same of bytes.
#[derive(Clone, Copy, Debug)]
enum Filled {
    Yes,
    NotYet,
    Ended,
}

/// Receives frames. Holds at most the longest frame that came, plus a little.
#[derive(Debug)]
pub(crate) struct FrameReader {
    link: Link,
    buffer: Vec<u8>,
    /// Start of what is not consumed yet.
    start: usize,
    /// End of what has been received.
    end: usize,
}

impl FrameReader {
    pub(crate) fn new(link: Link) -> Self {
        Self {
            link,
            buffer: Vec::new(),
            start: 0,
            end: 0,
        }
    }

    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// Goes on over `link`, which is the same connection with another flag to stop it.
    pub(crate) fn rebind(&mut self, link: Link) {
        self.link = link;
    }

    /// The other end's preamble.
    ///
    /// # Errors
    /// If it is not one, or does not come in time.
    pub(crate) fn preamble(&mut self, patience: Patience) -> Result<Preamble> {
        let peer = self.link.peer();
        if !self.fill(PREAMBLE_BYTES, patience)? {
            return Err(Error::Closed { peer });
        }
        let bytes = self
            .consume(PREAMBLE_BYTES)
            .first_chunk()
            .expect("that many were received");
        Preamble::decode(*bytes).ok_or(match bytes {
            // A record of a handshake (RFC 8446, section 5.1).
            [22, 3, ..] => Error::TlsWanted { peer },
            _ => Error::NotAPeer { peer },
        })
    }

    /// The other end's preamble, if it speaks this version of the protocol.
    pub(crate) fn same_version(&mut self, patience: Patience) -> Result<Preamble> {
        let preamble = self.preamble(patience)?;
        match preamble.version {
            VERSION => Ok(preamble),
            theirs => Err(Error::PeerVersion {
                peer: self.link.peer(),
                ours: VERSION,
                theirs,
            }),
        }
    }

    /// Size of the buffer.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn buffered_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Waits until some of the next frame is here, at most until `until`.
    pub(crate) fn wait_frame(&self, until: Instant) -> Result<Woken> {
        if self.start < self.end {
            Ok(Woken::Ready)
        } else {
            self.link.wait_receivable(until)
        }
    }

    /// The next frame.
    ///
    /// # Errors
    /// If the connection ends, nothing comes in time, or what comes is not a frame.
    pub(crate) fn next(&mut self, patience: Patience) -> Result<Received<'_>> {
        let peer = self.link.peer();
        self.next_or_end(patience)?.ok_or(Error::Closed { peer })
    }

    /// The next frame, if its payload has at most `max_bytes`; none of a longer one is received.
    pub(crate) fn next_within(
        &mut self,
        max_bytes: usize,
        patience: Patience,
    ) -> Result<Received<'_>> {
        let peer = self.link.peer();
        if !self.fill(HEADER_BYTES, patience)? {
            return Err(Error::Closed { peer });
        }
        let Header { kind, length_bytes } = self.header()?;
        if length_bytes > max_bytes {
            return Err(Error::Unexpected { kind });
        }
        self.next(patience)
    }

    /// The next frame, or nothing if the other end finished sending after a whole frame.
    pub(crate) fn next_or_end(&mut self, patience: Patience) -> Result<Option<Received<'_>>> {
        let peer = self.link.peer();
        if !self.fill(HEADER_BYTES, patience)? {
            return Ok(None);
        }
        let bytes = self
            .consume(HEADER_BYTES)
            .first_chunk()
            .expect("that many were received");
        let Header { kind, length_bytes } = Header::decode(*bytes)?;
        if !self.fill(length_bytes, patience)? {
            return Err(Error::Closed { peer });
        }
        Ok(Some(Received {
            kind,
            payload: self.consume(length_bytes),
            peer,
        }))
    }

    /// The next frame if all of it is here or can be received without waiting.
    ///
    /// # Errors
    /// As for [`next`](Self::next).
    pub(crate) fn next_now(&mut self) -> Result<Now<'_>> {
        match self.fill_now(HEADER_BYTES)? {
            Filled::Yes => {}
            Filled::NotYet => return Ok(Now::NotYet),
            Filled::Ended => return Ok(Now::Ended),
        }
        let Header { kind, length_bytes } = self.header()?;
        match self.fill_now(HEADER_BYTES + length_bytes)? {
            Filled::Yes => {}
            Filled::NotYet => return Ok(Now::NotYet),
            Filled::Ended => {
                return Err(Error::Closed {
                    peer: self.link.peer(),
                });
            }
        }
        let peer = self.link.peer();
        self.consume(HEADER_BYTES);
        Ok(Now::Frame(Received {
            kind,
            payload: self.consume(length_bytes),
            peer,
        }))
    }

    /// The header of the next frame, all of which has been received.
    fn header(&self) -> Result<Header> {
        let bytes = self.buffer[self.start..self.end].first_chunk();
        Header::decode(*bytes.expect("that many were received"))
    }

    fn fill_now(&mut self, wanted: usize) -> Result<Filled> {
        loop {
            let Some(asked) = self.next_room(wanted) else {
                return Ok(Filled::Yes);
            };
            let room = &mut self.buffer[self.end..self.end + asked];
            match self.link.receive_now(room)? {
                None => return Ok(Filled::NotYet),
                Some(0) if self.start == self.end => return Ok(Filled::Ended),
                Some(0) => {
                    return Err(Error::Closed {
                        peer: self.link.peer(),
                    });
                }
                Some(received) => self.end += received,
            }
        }
    }

    /// Makes room for more of the `wanted` bytes, and says how much; `None` if they are all there.
    fn next_room(&mut self, wanted: usize) -> Option<usize> {
        let held = self.end - self.start;
        let missing = wanted.checked_sub(held).filter(|&missing| missing > 0)?;
        // The buffer grows with what has arrived, not with what a header promises.
        let allowed = held.max(READ_AHEAD_BYTES).max(self.buffer.len() - held);
        let asked = missing.max(READ_AHEAD_BYTES).min(allowed);
        self.make_room(asked);
        Some(asked)
    }

    /// Receives until `wanted` bytes are there to be consumed; `false` if the other end closed
    /// before the first of them.
    fn fill(&mut self, wanted: usize, patience: Patience) -> Result<bool> {
        loop {
            let Some(asked) = self.next_room(wanted) else {
                return Ok(true);
            };
            let room = &mut self.buffer[self.end..self.end + asked];
            match self.link.receive(room, patience)? {
                0 if self.start == self.end => return Ok(false),
                0 => {
                    return Err(Error::Closed {
                        peer: self.link.peer(),
                    });
                }
                received => self.end += received,
            }
        }
    }

    /// Makes sure that `bytes` more fit behind what has been received.
    fn make_room(&mut self, bytes: usize) {
        if self.start == self.end || self.end + bytes > self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end + bytes > self.buffer.len() {
            self.buffer.resize(self.end + bytes, 0);
        }
    }

    fn consume(&mut self, bytes: usize) -> &[u8] {
        let start = self.start;
        self.start += bytes;
        &self.buffer[start..self.start]
    }
}

/// Sends frames.
#[derive(Debug)]
pub(crate) struct FrameWriter {
    link: Link,
    payload: Vec<u8>,
}

impl FrameWriter {
    pub(crate) fn new(link: Link) -> Self {
        Self {
            link,
            payload: Vec::new(),
        }
    }

    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    pub(crate) fn preamble(&self, preamble: Preamble, patience: Patience) -> Result<()> {
        self.link
            .send(&mut [IoSlice::new(&preamble.encode())], patience)
    }

    pub(crate) fn send<F: Frame>(&mut self, frame: &F, patience: Patience) -> Result<()> {
        self.send_with(F::KIND, patience, |payload| frame.encode(payload))
    }

    /// Sends a frame whose payload `fill` writes into the vector it is given.
    pub(crate) fn send_with(
        &mut self,
        kind: FrameKind,
        patience: Patience,
        fill: impl FnOnce(&mut Vec<u8>),
    ) -> Result<()> {
        self.payload.clear();
        fill(&mut self.payload);
        self.send_parts(kind, &[], &self.payload, patience)
    }

    /// Sends neighbouring pages.
    pub(crate) fn send_pages(
        &self,
        prefix: &PagesPrefix,
        content: &[u8],
        patience: Patience,
    ) -> Result<()> {
        self.send_parts(FrameKind::Pages, &prefix.encode(), content, patience)
    }

    fn send_parts(
        &self,
        kind: FrameKind,
        prefix: &[u8],
        rest: &[u8],
        patience: Patience,
    ) -> Result<()> {
        let length_bytes = prefix.len() + rest.len();
        if length_bytes > kind.max_bytes() {
            let (length_bytes, max_bytes) = (to_u64(length_bytes), to_u64(kind.max_bytes()));
            return Err(Error::FrameTooLong {
                kind,
                length_bytes,
                max_bytes,
            });
        }
        let header = Header { kind, length_bytes }.encode();
        let mut parts = [
            IoSlice::new(&header),
            IoSlice::new(prefix),
            IoSlice::new(rest),
        ];
        self.link.send(&mut parts, patience)
    }
}
