//! How many processors a VM has.

use std::fmt;
use std::str::FromStr;

use super::ConfigError;

/// A number of vCPUs that a VM can have: 1 to 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct VcpuCount(u8);

impl VcpuCount {
    /// One vCPU.
    pub const ONE: Self = Self(1);
    /// The most vCPUs; our choice: it keeps every APIC id within 8 bits and the MADT on one page.
    pub const MAX: Self = Self(32);

    /// The number; 1 to 32.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl FromStr for VcpuCount {
    type Err = ConfigError;

    fn from_str(value: &str) -> Result<Self, ConfigError> {
        let digits = value.bytes().all(|byte| byte.is_ascii_digit());
        match value.parse() {
            Ok(count) if digits && (Self::ONE.0..=Self::MAX.0).contains(&count) => Ok(Self(count)),
            _ => Err(ConfigError::VcpuCount {
                value: value.into(),
            }),
        }
    }
}

impl fmt::Display for VcpuCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vcpu_count_in_range_is_taken() {
        assert_eq!("1".parse::<VcpuCount>().unwrap(), VcpuCount::ONE);
        assert_eq!("32".parse::<VcpuCount>().unwrap(), VcpuCount::MAX);
    }

    #[test]
    fn vcpu_count_out_of_range_is_refused_with_the_value() {
        for text in ["", "0", "33", "-1", "+1", "256", "two", "1.0"] {
            let error = text.parse::<VcpuCount>().unwrap_err().to_string();
            assert!(
                error.contains(&format!("`{text}`")) && error.contains("1 to 32"),
                "{error}"
            );
        }
    }
}
