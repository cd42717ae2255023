//! Whether the guest gets a memory balloon.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ConfigError;

/// Whether the guest gets a balloon, and of which kind. With free page reporting, what it reports free
/// goes back to the host at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BalloonMode {
    /// It has one, with free page reporting.
    #[default]
    On,
    /// The same, and how much is in it follows from what the guest says of its memory.
    Auto,
    /// It has one without free page reporting: only what is asked for is given up. While memory is
    /// copied to move the guest, it names free pages instead, which are then not sent.
    Plain,
    /// There is no such device.
    Off,
}

impl FromStr for BalloonMode {
    type Err = ConfigError;

    fn from_str(value: &str) -> Result<Self, ConfigError> {
        match value {
            "on" => Ok(Self::On),
            "auto" => Ok(Self::Auto),
            "plain" => Ok(Self::Plain),
            "off" => Ok(Self::Off),
            _ => Err(ConfigError::BalloonSyntax {
                value: value.into(),
            }),
        }
    }
}

impl fmt::Display for BalloonMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::On => "on",
            Self::Auto => "auto",
            Self::Plain => "plain",
            Self::Off => "off",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::BalloonMode;

    #[test]
    fn mode_is_read_as_it_is_shown_and_nothing_else_is() {
        use BalloonMode::{Auto, Off, On, Plain};
        for mode in [On, Auto, Plain, Off] {
            assert_eq!(mode.to_string().parse::<BalloonMode>().unwrap(), mode);
        }
        for text in ["", "On", "yes", "1", "on "] {
            let error = text.parse::<BalloonMode>().unwrap_err().to_string();
            assert!(error.contains("on, auto, plain or off"), "{error}");
        }
    }
}
