//! The header of a frame, and how long each kind of frame may be.

use crate::error::{Error, Result};
use crate::page::{PAGE_BYTES, to_u64};
use crate::wire::pages::{
    MAX_FRAME_PAGES, MAX_FRAME_RANGES, MAX_FRAME_WANTS, MAX_FRAME_WORDS, PAGES_PREFIX_BYTES,
    RANGE_BYTES, WANT_BYTES, WORD_BYTES,
};

/// Length of an encoded header.
pub(crate) const HEADER_BYTES: usize = 8;

/// Longest state of a VM. Our choice: 32 vCPUs with all their extended state need less than 1 MiB.
pub(crate) const MAX_STATE_BYTES: usize = 16 << 20;

/// Longest `Hello`: 1 MiB for the machine's own demands and some for the rest.
const MAX_HELLO_BYTES: usize = (1 << 20) + (16 << 10);

/// Longest text frame: a [`PeerText`](crate::PeerText) and its tag.
const MAX_TEXT_FRAME_BYTES: usize = crate::offer::MAX_TEXT_BYTES + 64;

/// The kinds of frames, by their number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum FrameKind {
    /// Source: what the VM needs.
    Hello = 1,
    /// Destination: the VM may come; the session to attach further connections to.
    Accept = 2,
    /// Destination: the VM may not come, and why.
    Refuse = 3,
    /// Source: this connection belongs to that session.
    Attach = 4,
    /// Source: state of vCPUs and devices.
    State = 5,
    /// Destination: the state is restored.
    Ready = 6,
    /// Source: the guest is yours. The token of ownership.
    Run = 7,
    /// Destination: the guest runs.
    Running = 8,
    /// Destination: pages the guest waits for.
    Want = 9,
    /// Source: neighbouring pages.
    Pages = 10,
    /// Source: ranges of pages that are all zero.
    Absent = 11,
    /// Source: every page was sent or listed.
    Drained = 12,
    /// Destination: every page is here.
    Complete = 13,
    /// Either end: it gives up, and why.
    Failed = 14,
    /// Destination, to a probe: what it can do.
    About = 15,
    /// Source: a round of pre-copy was sent.
    Flush = 16,
    /// Destination: it is all here.
    Flushed = 17,
    /// Source: pages that are out of date.
    Discard = 18,
    /// Source: the connections of that session were lost; this is the next control connection.
    Recover = 19,
    /// Destination: how far the session is.
    Standing = 20,
    /// Destination: pages that are not there.
    Missing = 21,
    /// Source: it knows that the destination has everything.
    Done = 22,
    /// Destination: pages that came damaged.
    Again = 23,
    /// Destination: pages that the guest gave up there before they came.
    GivenUp = 24,
    /// Either end: a nonce for the other to prove its key with.
    Challenge = 32,
    /// Either end: the proof.
    Proof = 33,
}

impl FrameKind {
    const ALL: [Self; 26] = [
        Self::Hello,
        Self::Accept,
        Self::Refuse,
        Self::Attach,
        Self::State,
        Self::Ready,
        Self::Run,
        Self::Running,
        Self::Want,
        Self::Pages,
        Self::Absent,
        Self::Drained,
        Self::Complete,
        Self::Failed,
        Self::About,
        Self::Flush,
        Self::Flushed,
        Self::Discard,
        Self::Recover,
        Self::Standing,
        Self::Missing,
        Self::Done,
        Self::Again,
        Self::GivenUp,
        Self::Challenge,
        Self::Proof,
    ];

    /// Longest payload a frame of this kind may have.
    pub(crate) const fn max_bytes(self) -> usize {
        match self {
            Self::Hello => MAX_HELLO_BYTES,
            Self::Refuse | Self::Failed => MAX_TEXT_FRAME_BYTES,
            Self::State => MAX_STATE_BYTES,
            Self::Want => MAX_FRAME_WANTS * WANT_BYTES,
            Self::Pages => PAGES_PREFIX_BYTES + MAX_FRAME_PAGES * PAGE_BYTES,
            Self::Absent | Self::Again | Self::GivenUp => MAX_FRAME_RANGES * RANGE_BYTES,
            Self::Discard | Self::Missing => MAX_FRAME_WORDS * WORD_BYTES,
            Self::Accept
            | Self::Attach
            | Self::Ready
            | Self::Run
            | Self::Running
            | Self::Drained
            | Self::Complete
            | Self::About
            | Self::Flush
            | Self::Flushed
            | Self::Recover
            | Self::Standing
            | Self::Done
            | Self::Challenge
            | Self::Proof => 256,
        }
    }
}

/// What stands before each payload.
///
/// | bytes | what |
/// |---|---|
/// | 0..2 | [`FrameKind`] |
/// | 2..4 | flags, 0 in this version |
/// | 4..8 | length of the payload |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: FrameKind,
    pub(crate) length_bytes: usize,
}

impl Header {
    /// The header of a payload that is not too long for its kind.
    pub(crate) fn encode(self) -> [u8; HEADER_BYTES] {
        debug_assert!(self.length_bytes <= self.kind.max_bytes());
        let length = u32::try_from(self.length_bytes).expect("every kind's maximum fits 32 bits");
        let mut bytes = [0; HEADER_BYTES];
        bytes[..2].copy_from_slice(&(self.kind as u16).to_le_bytes());
        bytes[4..].copy_from_slice(&length.to_le_bytes());
        bytes
    }

    /// Checks kind and length before anything is allocated for the payload.
    ///
    /// # Errors
    /// If the kind is unknown, a flag is set, or the length is beyond the kind's maximum.
    pub(crate) fn decode(bytes: [u8; HEADER_BYTES]) -> Result<Self> {
        let [k0, k1, f0, f1, l0, l1, l2, l3] = bytes;
        let (number, flags) = (u16::from_le_bytes([k0, k1]), u16::from_le_bytes([f0, f1]));
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        let kind = FrameKind::ALL
            .into_iter()
            .find(|&kind| kind as u16 == number && flags == 0)
            .ok_or(Error::UnknownFrame {
                kind: number,
                flags,
            })?;
        match usize::try_from(length) {
            Ok(length_bytes) if length_bytes <= kind.max_bytes() => Ok(Self { kind, length_bytes }),
            _ => Err(Error::FrameTooLong {
                kind,
                length_bytes: u64::from(length),
                max_bytes: to_u64(kind.max_bytes()),
            }),
        }
    }
}
