//! The frames of the control connection, and those that begin the others.

use std::fmt;

use crate::digest::Digest;
use crate::offer::{Offer, PeerText, Refusal};
use crate::options::{Mode, Streams};
use crate::report::{Latency, LatencyParts};
use crate::wire::fields::{Fields, Frame, put_postcard};
use crate::wire::header::FrameKind;

/// Largest count that a peer may report: keeps sums from overflowing.
const MAX_COUNT: u64 = 1 << 48;

/// Names one migration on one destination: 128 random bits, which also keep strangers from
/// attaching to it by chance.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct SessionId(pub(crate) [u8; 16]);

impl fmt::Debug for SessionId {
    /// Hides the bits, which give access.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(..)")
    }
}

/// What the VM needs and how it comes: mode, streams, [`Offer`], in postcard's encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) mode: Mode,
    pub(crate) streams: Streams,
    pub(crate) offer: Offer,
}

impl Frame for Hello {
    const KIND: FrameKind = FrameKind::Hello;

    fn encode(&self, payload: &mut Vec<u8>) {
        let Self {
            mode,
            streams,
            offer,
        } = self;
        put_postcard(payload, &(mode, streams, offer));
    }

    fn take(fields: &mut Fields<'_>) -> Option<Self> {
        let (mode, streams, offer) = fields.postcard()?;
        Some(Self {
            mode,
            streams,
            offer,
        })
    }
}

/// The VM may come: the session, 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accept {
    pub(crate) session: SessionId,
}

impl Frame for Accept {
    const KIND: FrameKind = FrameKind::Accept;

    fn encode(&self, payload: &mut Vec<u8>) {
        payload.extend_from_slice(&self.session.0);
    }

    fn take(fields: &mut Fields<'_>) -> Option<Self> {
        Some(Self {
            session: SessionId(fields.bytes()?),
        })
    }
}

/// The VM may not come: a [`Refusal`] in postcard's encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refuse(pub(crate) Refusal);

impl Frame for Refuse {
    const KIND: FrameKind = FrameKind::Refuse;

    fn encode(&self, payload: &mut Vec<u8>) {
        put_postcard(payload, &self.0);
    }

    fn take(fields: &mut Fields<'_>) -> Option<Self> {
        fields.postcard().map(Self)
    }
}

/// What an attached connection carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Pages somebody waits for: 1.
    Urgent,
    /// All others: 2.
    Background,
}

impl Role {
    pub(crate) const fn number(self) -> u16 {
        match self {
            Self::Urgent => 1,
            Self::Background => 2,
        }
    }
}

/// This connection belongs to a session.
///
/// | bytes | what |
/// |---|---|
/// | 0..16 | session |
/// | 16..18 | [`Role`] |
/// | 18..20 | lap: how often the connections of the session were lost before |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attach {
    pub(crate) session: SessionId,
    pub(crate) role: Role,
    pub(crate) lap: u16,
}

impl Frame for Attach {
    const KIND: FrameKind = FrameKind::Attach;

    fn encode(&self, payload: &mut Vec<u8>) {
        payload.extend_from_slice(&self.session.0);
        payload.extend_from_slice(&self.role.number().to_le_bytes());
        payload.extend_from_slice(&self.lap.to_le_bytes());
    }

    fn take(fields: &mut Fields<'_>) -> Option<Self> {
        let session = SessionId(fields.bytes()?);
        let role = match fields.u16()? {
            1 => Role::Urgent,
            2 => Role::Background,
            _ => return None,
        };
        let lap = fields.u16()?;
        Some(Self { session, role, lap })
    }
}

/// The connections of a session were lost, and its source goes on over this one: the session, 16
/// bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recover {
    pub(crate) session: SessionId,
}

impl Frame for Recover {
    const KIND: FrameKind = FrameKind::Recover;

    fn encode(&self, payload: &mut Vec<u8>) {
        payload.extend_from_slice(&self.session.0);
    }

    fn take(fields: &mut Fields<'_>) -> Option<Self> {
        Some(Self {
            session: SessionId(fields.bytes()?),
        })
    }
}

/// State of vCPUs and devices, in the encoding of the machine's own crate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State(pub(crate) Vec<u8>);

impl Frame for State {
    const KIND: FrameKind = FrameKind::State;

    fn encode(&self, payload: &mut Vec<u8>) {
        payload.extend_from_slice(&self.0);
    }

    fn take(fields: &mut Fields<'_>) -> Option<Self> {
        Some(Self(fields.rest().to_vec()))
    }
}

/// Declares frames that are a row of 64-bit numbers.
macro_rules! number_frames {
    ($($(#[$doc:meta])* $name:ident { $($field:ident),* })*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) struct $name { $(pub(crate) $field: u64),* }

        impl Frame for $name {
            const KIND: FrameKind = FrameKind::$name;

            fn encode(&self, _payload: &mut Vec<u8>) {
                let Self { $($field),* } = self;
                $(_payload.extend_from_slice(&$field.to_le_bytes());)*
            }

            fn take(_fields: &mut Fields<'_>) -> Option<Self> {
                Some(Self { $($field: _fields.u64()?),* })
            }
        }
    )* };
}

number_frames! {
    /// The state is restored; bytes 0..8: microseconds that took.
    Ready { restore_us }
    /// A round of pre-copy was sent; bytes 0..8: pages sent or listed in all rounds so far.
    Flush { pages }
    /// They are all here: no payload.
    Flushed {}
    /// The guest is yours: no payload.
    Run {}
    /// The guest runs; bytes 0..8: microseconds its resumption took.
    Running { resume_us }
    /// The source knows that everything is there: no payload.
    Done {}
    /// How far a session is whose connections were lost; bytes 0..8: the lap that begins, 8..16: 1
    /// if the token has arrived, 16..24: pages that are missing, which `Missing` frames then name.
    Standing { lap, has_token, missing_pages }
    /// What a destination can do; bytes 0..8: free memory, 8..16: 1 if it can serve page faults,
    /// 16..24: 1 if a VM is just arriving.
    About { available_bytes, serves_faults, busy }
}

/// Every page was sent or listed.
///
/// | bytes | what |
/// |---|---|
/// | 0..8 | pages sent |
/// | 8..16 | pages listed as absent |
/// | 16..24 | digest of all pages |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Drained {
    pub(crate) sent_pages: u64,
    pub(crate) absent_pages: u64,
    pub(crate) digest: Digest,
}

impl Frame for Drained {
    const KIND: FrameKind = FrameKind::Drained;

    fn encode(&self, payload: &mut Vec<u8>) {
        let Self {
            sent_pages,
            absent_pages,
            digest,
        } = self;
        for number in [*sent_pages, *absent_pages, digest.to_bits()] {
            payload.extend_from_slice(&number.to_le_bytes());
        }
    }

    fn take(fields: &mut Fields<'_>) -> Option<Self> {
        Some(Self {
            sent_pages: fields.u64().filter(|&pages| pages <= MAX_COUNT)?,
            absent_pages: fields.u64().filter(|&pages| pages <= MAX_COUNT)?,
            digest: Digest::from_bits(fields.u64()?),
        })
    }
}

/// Every page is here, and what its absence cost.
///
/// | bytes | what |
/// |---|---|
/// | 0..8 | digest of all pages |
/// | 8..16 | network faults |
/// | 16..24 | faults on pages that were underway |
/// | 24..64 | latency of both in ns: p50, p90, p99, max, mean |
/// | 64..96 | means of its parts in ns: queue, wire, install, wake |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Complete {
    pub(crate) digest: Digest,
    pub(crate) network_faults: u64,
    pub(crate) underway_faults: u64,
    pub(crate) latency: Latency,
    pub(crate) parts: LatencyParts,
}

impl Frame for Complete {
    const KIND: FrameKind = FrameKind::Complete;

    fn encode(&self, payload: &mut Vec<u8>) {
        let Self {
            digest,
            network_faults,
            underway_faults,
            latency,
            parts,
        } = self;
        let Latency {
            p50_ns,
            p90_ns,
            p99_ns,
            max_ns,
            mean_ns,
        } = latency;
        let LatencyParts {
            queue_ns,
            wire_ns,
            install_ns,
            wake_ns,
        } = parts;
        let numbers = [digest.to_bits(), *network_faults, *underway_faults];
        let latency = [p50_ns, p90_ns, p99_ns, max_ns, mean_ns];
        let parts = [queue_ns, wire_ns, install_ns, wake_ns];
        for number in numbers.iter().chain(latency).chain(parts) {
            payload.extend_from_slice(&number.to_le_bytes());
        }
    }

    fn take(fields: &mut Fields<'_>) -> Option<Self> {
        Some(Self {
            digest: Digest::from_bits(fields.u64()?),
            network_faults: fields.u64()?,
            underway_faults: fields.u64()?,
            latency: Latency {
                p50_ns: fields.u64()?,
                p90_ns: fields.u64()?,
                p99_ns: fields.u64()?,
                max_ns: fields.u64()?,
                mean_ns: fields.u64()?,
            },
            parts: LatencyParts {
                queue_ns: fields.u64()?,
                wire_ns: fields.u64()?,
                install_ns: fields.u64()?,
                wake_ns: fields.u64()?,
            },
        })
    }
}

/// The sender gives up: why, as a [`PeerText`] in postcard's encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failed(pub(crate) PeerText);

impl Frame for Failed {
    const KIND: FrameKind = FrameKind::Failed;

    fn encode(&self, payload: &mut Vec<u8>) {
        put_postcard(payload, &self.0);
    }

    fn take(fields: &mut Fields<'_>) -> Option<Self> {
        fields.postcard().map(Self)
    }
}
