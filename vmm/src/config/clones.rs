//! Many copies of one snapshot at once.

use std::str::FromStr;

use super::ConfigError;

/// How many copies: 1 to 1000. Our choice: each is a process, and beyond that another program should
/// be in charge of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloneCount(u16);

impl CloneCount {
    const MAX: u16 = 1000;

    /// The number itself.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl FromStr for CloneCount {
    type Err = ConfigError;

    fn from_str(value: &str) -> Result<Self, ConfigError> {
        match value.parse() {
            Ok(count) if (1..=Self::MAX).contains(&count) => Ok(Self(count)),
            _ => Err(ConfigError::CloneCount {
                value: value.into(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_of_copies_out_of_range_is_refused() {
        assert_eq!("1000".parse::<CloneCount>().unwrap().get(), 1000);
        for text in ["0", "1001", "-1", "many"] {
            assert!(text.parse::<CloneCount>().is_err(), "{text}");
        }
    }
}
