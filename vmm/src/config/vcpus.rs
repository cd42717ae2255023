//! How many processors a VM has, as typed.

use std::fmt;
use std::str::FromStr;

use super::ConfigError;
use crate::boot::VcpuCount;

impl FromStr for VcpuCount {
    type Err = ConfigError;

    fn from_str(value: &str) -> Result<Self, ConfigError> {
        let refused = || ConfigError::VcpuCount {
            value: value.into(),
        };
        if !value.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(refused());
        }
        let count = value.parse().map_err(|_| refused())?;
        Self::new(count).map_err(|_| refused())
    }
}

impl fmt::Display for VcpuCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vcpu_count_in_range_is_taken() {
        assert_eq!("1".parse::<VcpuCount>().unwrap(), VcpuCount::ONE);
        assert_eq!("32".parse::<VcpuCount>().unwrap().to_string(), "32");
    }

    #[test]
    fn vcpu_count_out_of_range_is_refused_with_the_value() {
        for text in ["", "0", "33", "-1", "+1", "256", "4294967297", "two", "1.0"] {
            let error = text.parse::<VcpuCount>().unwrap_err().to_string();
            assert!(
                error.contains(&format!("`{text}`")) && error.contains("1 to 32"),
                "{error}"
            );
        }
    }
}
