//! How a VM moves: what is sent before the guest stops at the source, and what after it runs at the destination.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ConfigError;

/// A way to migrate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MigrationMode {
    /// The monitor chooses as it goes: rounds while the guest runs, as long as they pay.
    #[default]
    Auto,
    /// The guest runs at the destination at once, and its pages follow on demand and in the background.
    PostCopy,
    /// One round of its pages while it runs at the source, then as in post-copy.
    Hybrid,
    /// Rounds of its pages while it runs at the source, until the rest goes within the allowed downtime.
    PreCopy,
    /// The guest stands still until all of it has arrived.
    StopAndCopy,
}

impl MigrationMode {
    /// All of them.
    const ALL: [Self; 5] = [
        Self::Auto,
        Self::PostCopy,
        Self::Hybrid,
        Self::PreCopy,
        Self::StopAndCopy,
    ];

    /// The mode as it is typed and reported.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::PostCopy => "post-copy",
            Self::Hybrid => "hybrid",
            Self::PreCopy => "pre-copy",
            Self::StopAndCopy => "stop-and-copy",
        }
    }
}

impl FromStr for MigrationMode {
    type Err = ConfigError;

    fn from_str(value: &str) -> Result<Self, ConfigError> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.as_str() == value)
            .ok_or_else(|| ConfigError::ModeSyntax {
                value: value.into(),
            })
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
        for mode in MigrationMode::ALL {
            let text = mode.to_string();
            assert_eq!(text.parse::<MigrationMode>().unwrap(), mode);
            assert_eq!(serde_json::to_value(mode).unwrap(), text);
        }
        let error = "postcopy".parse::<MigrationMode>().unwrap_err().to_string();
        assert!(
            error.contains("`postcopy`") && error.contains("post-copy"),
            "{error}"
        );
    }
}
