//! The first bytes of every connection, in both directions.

/// Length of an encoded preamble.
pub(crate) const PREAMBLE_BYTES: usize = 16;

/// Version of the protocol. Two ends of different versions do not talk further.
pub(crate) const VERSION: u32 = 1;

/// The first eight bytes of a peer.
const MAGIC: [u8; 8] = *b"skiffmov";

/// What a connection is for, and the version its sender speaks. This layout is the same in all
/// versions of the protocol.
///
/// | bytes | what |
/// |---|---|
/// | 0..8 | `skiffmov` |
/// | 8..12 | version |
/// | 12..16 | [`Purpose`] |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Preamble {
    pub(crate) version: u32,
    pub(crate) purpose: Purpose,
}

/// What follows a preamble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The destination's answer to any of the others: 0.
    Answer,
    /// A `Hello`, then the control frames of a migration: 1.
    Migrate,
    /// An `Attach`, then pages: 2.
    Attach,
    /// Nothing; the destination says `About`: 3.
    Probe,
    /// Something a later version has.
    Unknown(u32),
}

impl Preamble {
    pub(crate) const fn new(purpose: Purpose) -> Self {
        Self {
            version: VERSION,
            purpose,
        }
    }

    pub(crate) fn encode(self) -> [u8; PREAMBLE_BYTES] {
        let purpose = match self.purpose {
            Purpose::Answer => 0,
            Purpose::Migrate => 1,
            Purpose::Attach => 2,
            Purpose::Probe => 3,
            Purpose::Unknown(number) => number,
        };
        let mut bytes = [0; PREAMBLE_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&self.version.to_le_bytes());
        bytes[12..].copy_from_slice(&u32::to_le_bytes(purpose));
        bytes
    }

    /// The preamble, if the bytes begin as one.
    pub(crate) fn decode(bytes: [u8; PREAMBLE_BYTES]) -> Option<Self> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let (version, purpose) = rest.split_first_chunk()?;
        let purpose = match u32::from_le_bytes(*purpose.first_chunk()?) {
            0 => Purpose::Answer,
            1 => Purpose::Migrate,
            2 => Purpose::Attach,
            3 => Purpose::Probe,
            number => Purpose::Unknown(number),
        };
        Some(Self {
            version: u32::from_le_bytes(*version),
            purpose,
        })
    }
}
