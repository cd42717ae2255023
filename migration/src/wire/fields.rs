//! Frames as values: encoding to bytes, and decoding that trusts nothing.

use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::wire::header::FrameKind;

/// A frame whose payload is a value of its own.
pub(crate) trait Frame: Sized {
    const KIND: FrameKind;

    /// Appends the payload.
    fn encode(&self, payload: &mut Vec<u8>);

    /// Takes the value out of a payload; `None` if that makes no sense.
    fn take(fields: &mut Fields<'_>) -> Option<Self>;
}

/// The value of a whole payload.
///
/// # Errors
/// If the payload is too short, too long or holds nonsense.
pub(crate) fn decode<F: Frame>(payload: &[u8]) -> Result<F> {
    let mut fields = Fields { rest: payload };
    F::take(&mut fields)
        .filter(|_| fields.rest.is_empty())
        .ok_or(Error::Malformed {
            kind: F::KIND,
            length_bytes: payload.len(),
        })
}

/// What is left of a payload while its fields are taken off the front.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*bytes)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.bytes().map(u16::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.bytes().map(u64::from_le_bytes)
    }

    /// All that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// A structured value in postcard's encoding (postcard wire format, 1.0).
    pub(crate) fn postcard<T: DeserializeOwned>(&mut self) -> Option<T> {
        let (value, rest) = postcard::take_from_bytes(self.rest).ok()?;
        self.rest = rest;
        Some(value)
    }
}

/// Appends a structured value in postcard's encoding.
pub(crate) fn put_postcard<T: serde::Serialize>(payload: &mut Vec<u8>, value: &T) {
    let bytes = postcard::to_stdvec(value).expect("plain data always encodes into a vector");
    payload.extend_from_slice(&bytes);
}
