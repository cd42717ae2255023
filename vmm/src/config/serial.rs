//! Where the guest's serial port leads.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::ConfigError;

/// What stands at the other end of the guest's first serial port.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SerialMode {
    /// The monitor's own standard input and output; a terminal becomes the guest's console.
    #[default]
    Stdio,
    /// Nothing: output is dropped, there is no input.
    None,
    /// Output is appended to this file, there is no input.
    File(PathBuf),
}

impl FromStr for SerialMode {
    type Err = ConfigError;

    fn from_str(value: &str) -> Result<Self, ConfigError> {
        match (value, value.strip_prefix("file=")) {
            ("stdio", _) => Ok(Self::Stdio),
            ("none", _) => Ok(Self::None),
            (_, Some(path)) if !path.is_empty() => Ok(Self::File(path.into())),
            _ => Err(ConfigError::SerialSyntax {
                value: value.into(),
            }),
        }
    }
}

impl fmt::Display for SerialMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdio => f.write_str("stdio"),
            Self::None => f.write_str("none"),
            Self::File(path) => write!(f, "file={}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_mode_of_each_kind_is_kept_as_typed() {
        for text in ["stdio", "none", "file=console.log", "file=/var/log/a=b"] {
            assert_eq!(text.parse::<SerialMode>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn serial_mode_unknown_is_refused_with_the_value() {
        for text in ["", "file=", "file", "Stdio", "pty", "stdio=x"] {
            let error = text.parse::<SerialMode>().unwrap_err().to_string();
            assert!(
                error.contains(&format!("`{text}`")) && error.contains("file=PATH"),
                "{error}"
            );
        }
    }
}
