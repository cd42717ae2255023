//! Numbers with units as people type them: sizes, rates and times.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ConfigError;

/// Unit letters in ascending powers of the base (1024 for sizes, 1000 for rates).
const UNIT_LETTERS: [char; 4] = ['K', 'M', 'G', 'T'];

/// Why digits and a unit letter do not make a number.
enum Malformed {
    Syntax,
    Overflow,
}

/// Reads whole digits with an optional unit letter, in either case, as powers of `base`.
fn parse_scaled(value: &str, base: u64) -> Result<u64, Malformed> {
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let exponent = match value[digits.len()..].to_ascii_uppercase().as_str() {
        "" => 0,
        unit => UNIT_LETTERS
            .iter()
            .zip(1..)
            .find_map(|(letter, power)| (unit == letter.encode_utf8(&mut [0; 4])).then_some(power))
            .ok_or(Malformed::Syntax)?,
    };
    let number = parse_digits(digits)?;
    base.checked_pow(exponent)
        .and_then(|factor| number.checked_mul(factor))
        .ok_or(Malformed::Overflow)
}

/// Reads decimal digits and nothing else: no sign, no spaces, no fraction.
fn parse_digits(digits: &str) -> Result<u64, Malformed> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Malformed::Syntax);
    }
    digits.parse().map_err(|_| Malformed::Overflow)
}

/// Writes a number with the largest unit that divides it, so that it parses to the same value.
fn write_scaled(f: &mut fmt::Formatter<'_>, number: u64, base: u64) -> fmt::Result {
    let mut scaled = number;
    let mut unit = None;
    for letter in UNIT_LETTERS {
        if scaled == 0 || !scaled.is_multiple_of(base) {
            break;
        }
        scaled /= base;
        unit = Some(letter);
    }
    match unit {
        Some(letter) => f.pad(&format!("{scaled}{letter}")),
        None => f.pad(&scaled.to_string()),
    }
}

/// A positive number of bytes, typed with K, M, G or T as powers of 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

impl ByteSize {
    /// That many MiB.
    ///
    /// # Panics
    /// If it is zero or does not fit in 64 bits, which is found when the constant is compiled.
    pub const fn from_mib(mib: u64) -> Self {
        assert!(
            mib > 0 && mib <= u64::MAX >> 20,
            "a size is positive and fits in 64 bits"
        );
        Self(mib << 20)
    }

    /// That many bytes, or nothing for zero.
    pub const fn from_bytes(bytes: u64) -> Option<Self> {
        if bytes == 0 { None } else { Some(Self(bytes)) }
    }

    /// The size in bytes; never zero.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = ConfigError;

    fn from_str(value: &str) -> Result<Self, ConfigError> {
        match parse_scaled(value, 1024) {
            Ok(0) => Err(ConfigError::SizeZero {
                value: value.into(),
            }),
            Ok(bytes) => Ok(Self(bytes)),
            Err(Malformed::Syntax) => Err(ConfigError::SizeSyntax {
                value: value.into(),
            }),
            Err(Malformed::Overflow) => Err(ConfigError::SizeOverflow {
                value: value.into(),
            }),
        }
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_scaled(f, self.0, 1024)
    }
}

/// A positive number of bits per second, typed with K, M, G or T as powers of 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BitRate(u64);

impl BitRate {
    /// The rate in bits per second; never zero.
    pub const fn bits_per_s(self) -> u64 {
        self.0
    }

    /// The same for devices that are held to it.
    pub(super) fn limit(self) -> Option<NonZeroU64> {
        NonZeroU64::new(self.0)
    }
}

impl FromStr for BitRate {
    type Err = ConfigError;

    fn from_str(value: &str) -> Result<Self, ConfigError> {
        match parse_scaled(value, 1000) {
            Ok(0) => Err(ConfigError::RateZero {
                value: value.into(),
            }),
            Ok(bits_per_s) => Ok(Self(bits_per_s)),
            Err(Malformed::Syntax) => Err(ConfigError::RateSyntax {
                value: value.into(),
            }),
            Err(Malformed::Overflow) => Err(ConfigError::RateOverflow {
                value: value.into(),
            }),
        }
    }
}

impl TryFrom<String> for BitRate {
    type Error = ConfigError;

    fn try_from(value: String) -> Result<Self, ConfigError> {
        value.parse()
    }
}

impl From<BitRate> for String {
    fn from(rate: BitRate) -> Self {
        rate.to_string()
    }
}

impl fmt::Display for BitRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_scaled(f, self.0, 1000)
    }
}

/// Units of time, longest first, each with its length in microseconds.
const TIME_UNITS: [(&str, u64); 4] = [
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

/// A length of time in whole microseconds, typed with us, ms, s or m; the unit is not optional.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeSpan(u64);

impl TimeSpan {
    /// The same time for the standard library.
    pub const fn duration(self) -> Duration {
        Duration::from_micros(self.0)
    }
}

impl FromStr for TimeSpan {
    type Err = ConfigError;

    fn from_str(value: &str) -> Result<Self, ConfigError> {
        let syntax = || ConfigError::TimeSyntax {
            value: value.into(),
        };
        let overflow = || ConfigError::TimeOverflow {
            value: value.into(),
        };
        let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = &value[digits.len()..];
        let (_, factor) = TIME_UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(syntax)?;
        let number = parse_digits(digits).map_err(|malformed| match malformed {
            Malformed::Syntax => syntax(),
            Malformed::Overflow => overflow(),
        })?;
        number.checked_mul(*factor).map(Self).ok_or_else(overflow)
    }
}

impl TryFrom<String> for TimeSpan {
    type Error = ConfigError;

    fn try_from(value: String) -> Result<Self, ConfigError> {
        value.parse()
    }
}

impl From<TimeSpan> for String {
    fn from(span: TimeSpan) -> Self {
        span.to_string()
    }
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = TIME_UNITS
            .iter()
            .find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor))
            .unwrap_or(&("us", 1));
        f.pad(&format!("{}{unit}", self.0 / factor))
    }
}

#[cfg(test)]
mod tests;
