//! The address of a guest among those of its host.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The address of a guest: 3 to 4294967294 (virtio 1.2, section 5.10.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct GuestCid(u32);

/// A number or text that is no address of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no address of a guest: it is a number from 3 to 4294967294")]
pub struct NoGuestCid;

impl GuestCid {
    /// The usual address of a guest that is alone.
    pub const FIRST: Self = Self(3);

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for GuestCid {
    type Error = NoGuestCid;

    fn try_from(cid: u32) -> Result<Self, NoGuestCid> {
        match cid {
            0..=2 | u32::MAX => Err(NoGuestCid),
            cid => Ok(Self(cid)),
        }
    }
}

impl From<GuestCid> for u32 {
    fn from(cid: GuestCid) -> Self {
        cid.0
    }
}

impl FromStr for GuestCid {
    type Err = NoGuestCid;

    fn from_str(text: &str) -> Result<Self, NoGuestCid> {
        text.parse::<u32>().map_err(|_| NoGuestCid)?.try_into()
    }
}

impl fmt::Display for GuestCid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_that_is_somebody_elses_or_everybody_is_refused() {
        for text in ["3", "52", "4294967294"] {
            assert_eq!(text.parse::<GuestCid>().unwrap().to_string(), text);
        }
        for text in ["", "0", "1", "2", "4294967295", "4294967296", "-3", "x"] {
            assert_eq!(text.parse::<GuestCid>(), Err(NoGuestCid), "{text}");
        }
    }
}
