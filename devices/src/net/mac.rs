//! MAC addresses of network cards.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Length in bytes.
pub(super) const MAC_BYTES: usize = 6;

/// Set in the first byte of the address of a group of cards (IEEE 802, section 8.2).
const GROUP: u8 = 1 << 0;
/// Set in the first byte of an address that no manufacturer has assigned.
const LOCAL: u8 = 1 << 1;

/// The address of one card: not that of a group, and not all zeroes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "[u8; MAC_BYTES]", into = "[u8; MAC_BYTES]")]
pub struct MacAddress([u8; MAC_BYTES]);

/// Six bytes, or a text, that no card can have as its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no address of a card: it takes six bytes such as 52:54:00:12:34:56, the first of them even"
)]
pub struct NoMacAddress;

impl MacAddress {
    /// An address that nobody has assigned, made of random bytes.
    #[must_use]
    pub fn local(random: [u8; MAC_BYTES]) -> Self {
        let [first, rest @ ..] = random;
        let first = first & !GROUP | LOCAL;
        let [b1, b2, b3, b4, b5] = rest;
        Self([first, b1, b2, b3, b4, b5])
    }

    /// Its bytes, in the order of transmission.
    #[must_use]
    pub fn bytes(self) -> [u8; MAC_BYTES] {
        self.0
    }
}

impl TryFrom<[u8; MAC_BYTES]> for MacAddress {
    type Error = NoMacAddress;

    fn try_from(bytes: [u8; MAC_BYTES]) -> Result<Self, NoMacAddress> {
        if bytes[0] & GROUP != 0 || bytes == [0; MAC_BYTES] {
            return Err(NoMacAddress);
        }
        Ok(Self(bytes))
    }
}

impl From<MacAddress> for [u8; MAC_BYTES] {
    fn from(address: MacAddress) -> Self {
        address.0
    }
}

impl FromStr for MacAddress {
    type Err = NoMacAddress;

    fn from_str(text: &str) -> Result<Self, NoMacAddress> {
        let mut bytes = [0; MAC_BYTES];
        let mut words = text.split(':');
        for byte in &mut bytes {
            let word = words.next().ok_or(NoMacAddress)?;
            let is_hex = word.len() == 2 && word.bytes().all(|digit| digit.is_ascii_hexdigit());
            if !is_hex {
                return Err(NoMacAddress);
            }
            *byte = u8::from_str_radix(word, 16).map_err(|_| NoMacAddress)?;
        }
        match words.next() {
            None => bytes.try_into(),
            Some(_) => Err(NoMacAddress),
        }
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [b0, b1, b2, b3, b4, b5] = self.0;
        write!(f, "{b0:02x}:{b1:02x}:{b2:02x}:{b3:02x}:{b4:02x}:{b5:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_read_as_it_is_shown() {
        let address: MacAddress = "52:54:00:aB:0c:ff".parse().unwrap();
        assert_eq!(address.bytes(), [0x52, 0x54, 0, 0xab, 0x0c, 0xff]);
        assert_eq!(address.to_string(), "52:54:00:ab:0c:ff");
    }

    #[test]
    fn text_that_is_no_address_of_a_card_is_refused() {
        for text in [
            "",
            "52:54:00:12:34",
            "52:54:00:12:34:56:78",
            "52:54:00:12:34:5",
            "52:54:00:12:34:+5",
            "52-54-00-12-34-56",
            "01:00:5e:00:00:01",
            "00:00:00:00:00:00",
        ] {
            assert_eq!(text.parse::<MacAddress>(), Err(NoMacAddress), "{text}");
        }
    }

    #[test]
    fn random_bytes_make_an_address_that_nobody_has_assigned() {
        let address = MacAddress::local([0xff; 6]);
        assert_eq!(address.to_string(), "fe:ff:ff:ff:ff:ff");
        assert_eq!(MacAddress::try_from(address.bytes()), Ok(address));
    }

    #[test]
    fn address_of_a_group_in_a_state_is_refused() {
        let good = postcard::to_stdvec(&[2_u8, 0, 0, 0, 0, 1]).unwrap();
        let bad = postcard::to_stdvec(&[3_u8, 0, 0, 0, 0, 1]).unwrap();
        assert!(postcard::from_bytes::<MacAddress>(&good).is_ok());
        assert!(postcard::from_bytes::<MacAddress>(&bad).is_err());
    }
}
