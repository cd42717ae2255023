//! How a VM is to be resumed from a snapshot.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Serialize;

use super::{Attachments, ConfigError, SerialMode, VmName};
use crate::machine::Wish;

/// A resume that is asked for; only the directory has no default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreConfig {
    /// Where the snapshot is.
    pub directory: PathBuf,
    /// The name of the VM here.
    pub name: VmName,
    /// The path chosen for its control socket, in place of the one made from the name.
    pub api: Option<PathBuf>,
    /// Where its serial port leads.
    pub serial: SerialMode,
    /// Where its devices are attached.
    pub attachments: Attachments,
    /// How its memory gets here.
    pub memory_mode: MemoryMode,
    /// Whether the pages that were touched first after an earlier resume come first.
    pub prefetch: Prefetch,
    /// What is wanted of the guest, in place of what was when the snapshot was written.
    pub wish: Option<Wish>,
    /// Where the report goes.
    pub report: Option<PathBuf>,
}

/// How memory gets from a snapshot to a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemoryMode {
    /// The monitor chooses by what it finds.
    #[default]
    Auto,
    /// The guest runs at once, and its pages follow on demand and in the background.
    Lazy,
    /// All of it is read before the guest runs.
    Eager,
    /// The file is mapped: pages are shared by all who map it, until one is written.
    Mapped,
}

impl MemoryMode {
    const ALL: [Self; 4] = [Self::Auto, Self::Lazy, Self::Eager, Self::Mapped];

    /// The mode as it is typed and reported.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Lazy => "lazy",
            Self::Eager => "eager",
            Self::Mapped => "mapped",
        }
    }
}

impl FromStr for MemoryMode {
    type Err = ConfigError;

    fn from_str(value: &str) -> Result<Self, ConfigError> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.as_str() == value)
            .ok_or_else(|| ConfigError::MemoryModeSyntax {
                value: value.into(),
            })
    }
}

impl fmt::Display for MemoryMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What comes to a guest besides the pages that it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Prefetch {
    /// First those that earlier resumes have learned, or that this one learns.
    #[default]
    On,
    /// What lies around each of them, and the rest meanwhile.
    Off,
    /// Nothing: demand paging, as a control.
    Demand,
}

impl Prefetch {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::On, Self::Off, Self::Demand];
}

impl fmt::Display for Prefetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Demand => "demand",
        })
    }
}

impl FromStr for Prefetch {
    type Err = ConfigError;

    fn from_str(value: &str) -> Result<Self, ConfigError> {
        Self::ALL
            .into_iter()
            .find(|prefetch| prefetch.to_string() == value)
            .ok_or_else(|| ConfigError::PrefetchSyntax {
                value: value.into(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_parse_as_what_they_display_and_nothing_else() {
        for mode in MemoryMode::ALL {
            assert_eq!(mode.to_string().parse::<MemoryMode>().unwrap(), mode);
        }
        let error = "hot".parse::<MemoryMode>().unwrap_err().to_string();
        assert!(
            error.contains("`hot`") && error.contains("mapped"),
            "{error}"
        );
        for prefetch in Prefetch::ALL {
            assert_eq!(prefetch.to_string().parse::<Prefetch>().unwrap(), prefetch);
        }
        assert!("no".parse::<Prefetch>().is_err());
    }
}
