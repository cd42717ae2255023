//! A disk as typed: its path, and what follows after commas.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use devices::blk::{Access, DiskSerial};
use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};

use super::ConfigError;

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
        };
        for word in words {
            match (word, word.strip_prefix("serial=")) {
                ("ro", _) => disk.access = Access::ReadOnly,
                (_, Some(text)) => {
                    let serial = DiskSerial::new(text);
                    disk.serial =
                        serial.ok_or_else(|| ConfigError::DiskSerial { value: text.into() })?;
                }
                _ => return Err(syntax()),
            }
        }
        Ok(disk)
    }
}

/// Reads one disk or a list of them, each as it would be typed.
pub(super) fn one_or_more<'de, D>(deserializer: D) -> Result<Vec<DiskConfig>, D::Error>
where
    D: Deserializer<'de>,
{
    struct Disks;

    impl<'de> Visitor<'de> for Disks {
        type Value = Vec<DiskConfig>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a disk or a list of disks, each a string")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
            text.parse().map(|disk| vec![disk]).map_err(E::custom)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut disks = Vec::new();
            while let Some(Typed(disk)) = list.next_element()? {
                if disks.len() == DISKS_MAX {
                    return Err(A::Error::custom(ConfigError::DiskCount));
                }
                disks.push(disk);
            }
            Ok(disks)
        }
    }

    /// An element of the list.
    struct Typed(DiskConfig);

    impl<'de> Deserialize<'de> for Typed {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let text = String::deserialize(deserializer)?;
            text.parse().map(Self).map_err(D::Error::custom)
        }
    }

    deserializer.deserialize_any(Disks)
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
        let plain: DiskConfig = "b.img".parse().unwrap();
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
        for serial in ["123456789012345678901", "ü", "a\nb"] {
            let value = format!("a,serial={serial}");
            let error = value.parse::<DiskConfig>().unwrap_err().to_string();
            assert!(error.contains("20"), "{error}");
        }
    }
}
