//! A network card as typed: the interface of the host that its cable ends in, and what follows after
//! commas.

use std::str::FromStr;

use devices::RateLimit;
use devices::net::{InterfaceName, MacAddress};

use super::list::Listed;
use super::{BitRate, ConfigError};

/// Most network cards of a VM. Our choice: with all disks they are less than the virtio devices that it
/// can have.
pub const NETS_MAX: usize = 4;

/// A network card that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetConfig {
    /// Its TAP interface on this host.
    pub tap: InterfaceName,
    /// Its address; one is made up if there is none.
    pub mac: Option<MacAddress>,
    /// How much it may do in a second.
    pub limit: RateLimit,
}

impl FromStr for NetConfig {
    type Err = ConfigError;

    fn from_str(value: &str) -> Result<Self, ConfigError> {
        let syntax = || ConfigError::NetSyntax {
            value: value.into(),
        };
        let mut words = value.split(',');
        let tap = words.next().and_then(|word| word.strip_prefix("tap="));
        let mut net = Self {
            tap: parse_tap(tap.ok_or_else(syntax)?)?,
            mac: None,
            limit: RateLimit::default(),
        };
        for word in words {
            match word.split_once('=') {
                Some(("mac", text)) => {
                    let mac = text.parse().map_err(|reason| ConfigError::NetMac {
                        value: text.into(),
                        reason,
                    })?;
                    net.mac = Some(mac);
                }
                Some(("rate", text)) => net.limit.bits_per_s = text.parse::<BitRate>()?.limit(),
                _ => return Err(syntax()),
            }
        }
        Ok(net)
    }
}

/// A card that comes with its VM, of which only the interface here is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TapConfig(pub InterfaceName);

impl FromStr for TapConfig {
    type Err = ConfigError;

    fn from_str(value: &str) -> Result<Self, ConfigError> {
        let name = value.strip_prefix("tap=");
        let name = name.ok_or_else(|| ConfigError::TapSyntax {
            value: value.into(),
        })?;
        parse_tap(name).map(Self)
    }
}

fn parse_tap(name: &str) -> Result<InterfaceName, ConfigError> {
    name.parse().map_err(|reason| ConfigError::NetTap {
        value: name.into(),
        reason,
    })
}

impl Listed for NetConfig {
    const MAX: usize = NETS_MAX;
    const EXPECTED: &str = "a network card or a list of them, each a string";

    fn too_many() -> ConfigError {
        ConfigError::NetCount
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn card_is_read_as_it_is_typed() {
        let card: NetConfig = "tap=tap0,mac=52:54:00:12:34:56,rate=1G".parse().unwrap();
        assert_eq!(card.limit.bits_per_s.unwrap().get(), 1_000_000_000);
        assert_eq!(card.tap.as_str(), "tap0");
        assert_eq!(card.mac.unwrap().to_string(), "52:54:00:12:34:56");
        let plain: NetConfig = "tap=a".parse().unwrap();
        assert_eq!((plain.mac, plain.limit), (None, RateLimit::default()));
        let TapConfig(name) = "tap=web_2".parse().unwrap();
        assert_eq!(name.as_str(), "web_2");
    }

    #[test]
    fn card_that_cannot_be_is_refused_with_the_value() {
        for (value, word) in [
            ("", "tap=NAME"),
            ("tap0", "tap=NAME"),
            ("tap=a,b", "tap=NAME"),
            ("tap=", "15"),
            ("tap=a/b", "`a/b`"),
            ("tap=a,mac=1:2", "`1:2`"),
            ("tap=a,mac=01:00:00:00:00:01", "even"),
        ] {
            let error = value.parse::<NetConfig>().unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        for value in ["a", "tap=a,mac=52:54:00:12:34:56"] {
            assert!(value.parse::<TapConfig>().is_err(), "{value}");
        }
    }
}
