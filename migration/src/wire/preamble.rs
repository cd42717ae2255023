//! The first bytes of every connection, in both directions.

/// Length of an encoded preamble.
pub(crate) const PREAMBLE_BYTES: usize = 16;

/// Version of the protocol. Two ends of different versions do not talk further.
pub(crate) const VERSION: u32 = 3;

/// The first eight bytes of a peer.
pub(crate) const MAGIC: [u8; 8] = *b"skiffmov";

/// What a connection is for, how its sender wants to be sure of the other end, and the version it
/// speaks. This layout is the same in all versions of the protocol.
///
/// | bytes | what |
/// |---|---|
/// | 0..8 | `skiffmov` |
/// | 8..12 | version |
/// | 12..14 | [`Purpose`] |
/// | 14..16 | [`Access`] |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Preamble {
    pub(crate) version: u32,
    pub(crate) purpose: Purpose,
    pub(crate) access: Access,
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
    /// A `Recover`, then the control frames of a session whose connections were lost: 4.
    Recover,
    /// Something a later version has.
    Unknown(u16),
}

/// What an end wants to know of the other before it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nothing: 0.
    Open,
    /// That it has the same key: 1.
    Key,
    /// TLS around all of it, which is why this is all it says in the clear: 2.
    Tls,
    /// Something a later version has.
    Unknown(u16),
}

impl Purpose {
    pub(crate) const fn number(self) -> u16 {
        match self {
            Self::Answer => 0,
            Self::Migrate => 1,
            Self::Attach => 2,
            Self::Probe => 3,
            Self::Recover => 4,
            Self::Unknown(number) => number,
        }
    }
}

impl Preamble {
    pub(crate) const fn new(purpose: Purpose, access: Access) -> Self {
        Self {
            version: VERSION,
            purpose,
            access,
        }
    }

    pub(crate) fn encode(self) -> [u8; PREAMBLE_BYTES] {
        let access = match self.access {
            Access::Open => 0,
            Access::Key => 1,
            Access::Tls => 2,
            Access::Unknown(number) => number,
        };
        let mut bytes = [0; PREAMBLE_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&self.version.to_le_bytes());
        bytes[12..14].copy_from_slice(&self.purpose.number().to_le_bytes());
        bytes[14..].copy_from_slice(&u16::to_le_bytes(access));
        bytes
    }

    /// The preamble, if the bytes begin as one.
    pub(crate) fn decode(bytes: [u8; PREAMBLE_BYTES]) -> Option<Self> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let (version, rest) = rest.split_first_chunk()?;
        let (purpose, access) = rest.split_first_chunk()?;
        let purpose = match u16::from_le_bytes(*purpose) {
            0 => Purpose::Answer,
            1 => Purpose::Migrate,
            2 => Purpose::Attach,
            3 => Purpose::Probe,
            4 => Purpose::Recover,
            number => Purpose::Unknown(number),
        };
        let access = match u16::from_le_bytes(*access.first_chunk()?) {
            0 => Access::Open,
            1 => Access::Key,
            2 => Access::Tls,
            number => Access::Unknown(number),
        };
        Some(Self {
            version: u32::from_le_bytes(*version),
            purpose,
            access,
        })
    }
}
