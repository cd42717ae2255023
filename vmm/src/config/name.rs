//! The name of a VM, which is also the stem of its control socket's file name.

use std::fmt;
use std::str::FromStr;

use rustix::rand::{GetRandomFlags, getrandom};
use serde::{Deserialize, Serialize};

use super::ConfigError;

/// The longest name; with the directory and `.sock` it stays well under the 107 bytes of a socket's path.
const MAX_NAME_BYTES: usize = 64;

/// A name that is safe as a file name: 1 to 64 of `A-Z a-z 0-9 . _ -`, beginning with neither `.` nor `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VmName(String);

impl VmName {
    /// Makes up a name such as `skiff-3f9a1c`.
    ///
    /// # Errors
    /// If the kernel hands out no random bytes.
    pub fn generate() -> Result<Self, ConfigError> {
        let mut random = [0; 3];
        getrandom(&mut random, GetRandomFlags::empty()).map_err(|errno| {
            ConfigError::NameRandom {
                source: errno.into(),
            }
        })?;
        let [a, b, c] = random;
        Ok(Self(format!("skiff-{a:02x}{b:02x}{c:02x}")))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VmName {
    type Err = ConfigError;

    fn from_str(value: &str) -> Result<Self, ConfigError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let well_formed = (1..=MAX_NAME_BYTES).contains(&value.len())
            && value.bytes().all(allowed)
            && !value.starts_with(['.', '-']);
        if well_formed {
            Ok(Self(value.to_owned()))
        } else {
            Err(ConfigError::NameSyntax {
                value: value.into(),
            })
        }
    }
}

impl TryFrom<String> for VmName {
    type Error = ConfigError;

    fn try_from(value: String) -> Result<Self, ConfigError> {
        value.parse()
    }
}

impl From<VmName> for String {
    fn from(name: VmName) -> Self {
        name.0
    }
}

impl fmt::Display for VmName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests;
