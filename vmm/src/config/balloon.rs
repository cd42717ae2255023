//! Whether the guest gets a memory balloon.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ConfigError;

/// Whether the guest gets a balloon, with free page reporting: what a guest reports free goes back to
/// the host at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BalloonMode {
    /// It has one.
    #[default]
    On,
    /// The same, and how much is in it follows from what the guest says of its memory.
    Auto,
    /// There is no such device.
    Off,
}

impl FromStr for BalloonMode {
    type Err = ConfigError;

    fn from_str(value: &str) -> Result<Self, ConfigError> {
        match value {
            "on" => Ok(Self::On),
            "auto" => Ok(Self::Auto),
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
            Self::Off => "off",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::BalloonMode;

    #[test]
    fn mode_is_read_as_it_is_shown_and_nothing_else_is() {
        for mode in [BalloonMode::On, BalloonMode::Auto, BalloonMode::Off] {
            assert_eq!(mode.to_string().parse::<BalloonMode>().unwrap(), mode);
        }
        for text in ["", "On", "yes", "1", "on "] {
            let error = text.parse::<BalloonMode>().unwrap_err().to_string();
            assert!(error.contains("on, auto or off"), "{error}");
        }
    }
}
