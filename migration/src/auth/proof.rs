//! Nonces, and what a key makes of them. Pure but for the randomness.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use rustix::rand::{GetRandomFlags, getrandom};
use sha2::Sha256;

use crate::auth::Key;
use crate::error::{Error, Result};
use crate::wire::{Attach, Purpose, Role, SessionId, VERSION};

/// Length of a nonce. Our choice: as long as a tag, so that none ever comes twice.
pub(crate) const NONCE_BYTES: usize = 32;

/// Length of a tag: a whole SHA-256.
pub(crate) const TAG_BYTES: usize = 32;

/// Sets our proofs apart from whatever else the same key may be used for.
const PROOF_LABEL: [u8; 16] = *b"skiffmov proof\0\0";

/// Sets the derivation of session keys apart from proofs.
const SESSION_LABEL: [u8; 16] = *b"skiffmov session";

/// A number that one end made up for one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nonce(pub(crate) [u8; NONCE_BYTES]);

impl Nonce {
    pub(crate) fn fresh() -> Result<Self> {
        let mut bytes = [0; NONCE_BYTES];
        getrandom(&mut bytes, GetRandomFlags::empty()).map_err(|errno| Error::Random {
            source: errno.into(),
        })?;
        Ok(Self(bytes))
    }
}

/// What one end proves with. It compares with another only by [`Key::proves`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag(pub(crate) [u8; TAG_BYTES]);

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tag(..)")
    }
}

/// Who proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The end that connected: 1.
    Source,
    /// The end that listens: 2.
    Destination,
}

/// What a connection is for, as both ends have to see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    purpose: Purpose,
    session: SessionId,
    role: Option<Role>,
    lap: u16,
}

impl Subject {
    /// A connection that belongs to no session yet.
    pub(crate) const fn new(purpose: Purpose) -> Self {
        Self {
            purpose,
            session: SessionId([0; 16]),
            role: None,
            lap: 0,
        }
    }

    /// A connection for the pages of a session.
    pub(crate) const fn attach(attach: Attach) -> Self {
        Self {
            purpose: Purpose::Attach,
            session: attach.session,
            role: Some(attach.role),
            lap: attach.lap,
        }
    }
}

/// All that the two ends of a connection have to agree on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transcript {
    pub(crate) subject: Subject,
    pub(crate) source: Nonce,
    pub(crate) destination: Nonce,
}

impl Key {
    /// The proof of `side` for a connection.
    ///
    /// | bytes | what the tag covers |
    /// |---|---|
    /// | 0..16 | `skiffmov proof`, padded with zeroes |
    /// | 16..18 | the side: 1 the source, 2 the destination |
    /// | 18..22 | version of the protocol |
    /// | 22..24 | [`Purpose`] |
    /// | 24..40 | session, zeroes where there is none |
    /// | 40..42 | [`Role`], 0 where there is none |
    /// | 42..44 | lap, 0 where there is none |
    /// | 44..76 | nonce of the source |
    /// | 76..108 | nonce of the destination |
    pub(crate) fn prove(&self, side: Side, transcript: &Transcript) -> Tag {
        Tag(self.mac(side, transcript).finalize().into_bytes().into())
    }

    /// Whether `tag` is the proof of `side`; takes the same time whatever is wrong with it.
    pub(crate) fn proves(&self, side: Side, transcript: &Transcript, tag: Tag) -> bool {
        self.mac(side, transcript).verify_slice(&tag.0).is_ok()
    }

    /// The key for the page connections of the migration whose control connection this was.
    pub(crate) fn session(&self, transcript: &Transcript) -> Self {
        let mac = self
            .keyed(SESSION_LABEL)
            .chain_update(transcript.source.0)
            .chain_update(transcript.destination.0);
        Self::new(mac.finalize().into_bytes().to_vec()).expect("a tag is long enough for a key")
    }

    fn mac(&self, side: Side, transcript: &Transcript) -> Hmac<Sha256> {
        let Transcript {
            subject:
                Subject {
                    purpose,
                    session,
                    role,
                    lap,
                },
            source,
            destination,
        } = transcript;
        let side: u16 = match side {
            Side::Source => 1,
            Side::Destination => 2,
        };
        self.keyed(PROOF_LABEL)
            .chain_update(side.to_le_bytes())
            .chain_update(VERSION.to_le_bytes())
            .chain_update(purpose.number().to_le_bytes())
            .chain_update(session.0)
            .chain_update(role.map_or(0, Role::number).to_le_bytes())
            .chain_update(lap.to_le_bytes())
            .chain_update(source.0)
            .chain_update(destination.0)
    }

    fn keyed(&self, label: [u8; 16]) -> Hmac<Sha256> {
        Hmac::new_from_slice(self.bytes())
            .expect("an HMAC takes keys of any length")
            .chain_update(label)
    }
}
