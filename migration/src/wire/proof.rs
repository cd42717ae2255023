//! The frames by which two ends prove to have the same key: see [`crate::auth`].

use crate::auth::{NONCE_BYTES, Nonce, TAG_BYTES, Tag};
use crate::wire::fields::{Fields, Frame};
use crate::wire::header::FrameKind;

/// Something that was never said before: 32 random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Challenge(pub(crate) Nonce);

impl Frame for Challenge {
    const KIND: FrameKind = FrameKind::Challenge;

    fn encode(&self, payload: &mut Vec<u8>) {
        payload.extend_from_slice(&self.0.0);
    }

    fn take(fields: &mut Fields<'_>) -> Option<Self> {
        fields
            .bytes::<NONCE_BYTES>()
            .map(|bytes| Self(Nonce(bytes)))
    }
}

/// What only who has the key can make of both challenges: 32 bytes of HMAC-SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Proof(pub(crate) Tag);

impl Frame for Proof {
    const KIND: FrameKind = FrameKind::Proof;

    fn encode(&self, payload: &mut Vec<u8>) {
        payload.extend_from_slice(&self.0.0);
    }

    fn take(fields: &mut Fields<'_>) -> Option<Self> {
        fields.bytes::<TAG_BYTES>().map(|bytes| Self(Tag(bytes)))
    }
}
