//! A disk as typed: its path, and what follows after commas.

use std::path::PathBuf;
use std::str::FromStr;

use devices::RateLimit;
use devices::blk::{Access, DiskSerial};

use super::list::Listed;
use super::{BitRate, ConfigError};

/// Most disks of a VM. Our choice: half of the virtio devices it can have.
pub const DISKS_MAX: usize = 8;

/// A disk that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskConfig {
    /// The image file or block device.
    pub path: PathBuf,
    /// Whether the guest may write it.
    pub access: Access,
    /// The serial number that the guest sees.
    pub serial: DiskSerial,
    /// How much it may do in a second.
    pub limit: RateLimit,
}

impl FromStr for DiskConfig {
    type Err = ConfigError;

    fn from_str(value: &str) -> Result<Self, ConfigError> {
        let syntax = || ConfigError::DiskSyntax {
            value: value.into(),
        };
        let mut words = value.split(',');
        let path = words.next().filter(|path| !path.is_empty());
        let mut disk = Self {
            path: path.ok_or_else(syntax)?.into(),
            access: Access::ReadWrite,
            serial: DiskSerial::default(),
            limit: RateLimit::default(),
        };
        for word in words {
            match word.split_once('=') {
                None if word == "ro" => disk.access = Access::ReadOnly,
                Some(("serial", text)) => {
                    let serial = DiskSerial::new(text);
                    disk.serial =
                        serial.ok_or_else(|| ConfigError::DiskSerial { value: text.into() })?;
                }
                Some(("rate", text)) => {
                    disk.limit.bits_per_s = text.parse::<BitRate>()?.limit();
                }
                Some(("iops", text)) => {
                    let count = text
                        .parse()
                        .map_err(|_| ConfigError::DiskIops { value: text.into() })?;
                    disk.limit.requests_per_s = Some(count);
                }
                _ => return Err(syntax()),
            }
        }
        Ok(disk)
    }
}

impl Listed for DiskConfig {
    const MAX: usize = DISKS_MAX;
    const EXPECTED: &str = "a disk or a list of disks, each a string";

    fn too_many() -> ConfigError {
        ConfigError::DiskCount
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disk_with_each_option_is_read_as_it_is_typed() {
        let disk: DiskConfig = "/a/b.img,ro,serial=root-1".parse().unwrap();
        assert_eq!(disk.path, PathBuf::from("/a/b.img"));
        assert_eq!(disk.access, Access::ReadOnly);
        assert_eq!(Some(disk.serial), DiskSerial::new("root-1"));
        let slow: DiskConfig = "a,rate=80M,iops=500".parse().unwrap();
        assert_eq!(slow.limit.bits_per_s.unwrap().get(), 80_000_000);
        assert_eq!(slow.limit.requests_per_s.unwrap().get(), 500);
        let plain: DiskConfig = "b.img".parse().unwrap();
        assert_eq!(plain.limit, RateLimit::default());
        assert_eq!(plain.access, Access::ReadWrite);
        assert_eq!(plain.serial, DiskSerial::default());
    }

    #[test]
    fn disk_that_cannot_be_is_refused_with_the_value() {
        for value in ["", ",ro", "a,rw", "a,", "a,serial"] {
            let error = value.parse::<DiskConfig>().unwrap_err().to_string();
            assert!(
                error.contains(&format!("`{value}`")) && error.contains("PATH[,ro]"),
                "{error}"
            );
        }
        for (value, word) in [
            ("a,rate=0", "`0`"),
            ("a,iops=0", "iops"),
            ("a,iops=k", "`k`"),
        ] {
            let error = value.parse::<DiskConfig>().unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        for serial in ["123456789012345678901", "ü", "a\nb"] {
            let value = format!("a,serial={serial}");
            let error = value.parse::<DiskConfig>().unwrap_err().to_string();
            assert!(error.contains("20"), "{error}");
        }
    }
}
