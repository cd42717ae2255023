//! How a VM moves: what is sent before the guest stops at the source, and what after it runs at the destination.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ConfigError;

/// A way to migrate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MigrationMode {
    /// The monitor chooses; this version chooses post-copy.
    #[default]
    Auto,
    /// The guest runs at the destination at once, and its pages follow on demand and in the background.
    PostCopy,
    /// The guest stands still until all of it has arrived.
    StopAndCopy,
}

impl MigrationMode {
    /// The mode as it is typed and reported.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::PostCopy => "post-copy",
            Self::StopAndCopy => "stop-and-copy",
        }
    }
}

impl FromStr for MigrationMode {
    type Err = ConfigError;

    fn from_str(value: &str) -> Result<Self, ConfigError> {
        match value {
            "auto" => Ok(Self::Auto),
            "post-copy" => Ok(Self::PostCopy),
            "stop-and-copy" => Ok(Self::StopAndCopy),
            "pre-copy" | "hybrid" => Err(ConfigError::ModeAbsent {
                value: value.into(),
            }),
            _ => Err(ConfigError::ModeSyntax {
                value: value.into(),
            }),
        }
    }
}

impl fmt::Display for MigrationMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mode_typed_is_the_mode_shown_and_sent() {
        for text in ["auto", "post-copy", "stop-and-copy"] {
            let mode: MigrationMode = text.parse().unwrap();
            assert_eq!(mode.to_string(), text);
            assert_eq!(serde_json::to_value(mode).unwrap(), text);
        }
    }

    #[test]
    fn mode_of_a_later_version_is_told_from_a_typing_error() {
        for text in ["pre-copy", "hybrid"] {
            let error = text.parse::<MigrationMode>().unwrap_err().to_string();
            assert!(
                error.contains(text) && error.contains("not in this version"),
                "{error}"
            );
        }
        let error = "postcopy".parse::<MigrationMode>().unwrap_err().to_string();
        assert!(
            error.contains("`postcopy`") && error.contains("post-copy"),
            "{error}"
        );
    }
}
