//! The settings of a VM as typed, from options or from a JSON file whose keys are the long options.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, Visitor};

use super::list::one_or_more;
use super::{
    BalloonMode, ByteSize, ConfigError, DiskConfig, KernelSource, NetConfig, SerialMode, VmName,
    VsockConfig,
};
use crate::boot::VcpuCount;

/// The longest configuration file; our choice: far beyond what all keys can take.
const MAX_FILE_BYTES: u64 = 64 << 10;

/// Settings of a VM, each of which may have been left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a JSON object with the long options as keys"
)]
pub struct VmSettings {
    /// `--kernel`
    #[serde(default, deserialize_with = "text_or_number")]
    pub kernel: Option<KernelSource>,
    /// `--initrd`
    #[serde(default, deserialize_with = "text_or_number")]
    pub initrd: Option<PathBuf>,
    /// `--cmdline`
    #[serde(default, deserialize_with = "text_or_number")]
    pub cmdline: Option<String>,
    /// `--memory`
    #[serde(default, deserialize_with = "text_or_number")]
    pub memory: Option<ByteSize>,
    /// `--cpus`
    #[serde(default, deserialize_with = "text_or_number")]
    pub cpus: Option<VcpuCount>,
    /// `--disk`, any number of times
    #[serde(default, deserialize_with = "one_or_more")]
    pub disk: Vec<DiskConfig>,
    /// `--net`, any number of times
    #[serde(default, deserialize_with = "one_or_more")]
    pub net: Vec<NetConfig>,
    /// `--vsock`
    #[serde(default, deserialize_with = "text_or_number")]
    pub vsock: Option<VsockConfig>,
    /// `--serial`
    #[serde(default, deserialize_with = "text_or_number")]
    pub serial: Option<SerialMode>,
    /// `--balloon`
    #[serde(default, deserialize_with = "text_or_number")]
    pub balloon: Option<BalloonMode>,
    /// `--name`
    #[serde(default, deserialize_with = "text_or_number")]
    pub name: Option<VmName>,
    /// `--api`
    #[serde(default, deserialize_with = "text_or_number")]
    pub api: Option<PathBuf>,
}

impl VmSettings {
    /// Reads the settings of a JSON file.
    ///
    /// # Errors
    /// If the file cannot be read, is longer than 64 KiB, is not a JSON object, has a key that is no
    /// option, or a value that the option would refuse.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let failed = |source| ConfigError::FileRead {
            path: path.into(),
            source,
        };
        let file = File::open(path).map_err(failed)?;
        let mut text = Vec::new();
        file.take(MAX_FILE_BYTES + 1)
            .read_to_end(&mut text)
            .map_err(failed)?;
        if text.len() as u64 > MAX_FILE_BYTES {
            return Err(ConfigError::FileSize {
                path: path.into(),
                limit_bytes: MAX_FILE_BYTES,
            });
        }
        Self::parse(&text).map_err(|source| ConfigError::FileSyntax {
            path: path.into(),
            source,
        })
    }

    /// The settings in the text of a file.
    pub(crate) fn parse(text: &[u8]) -> serde_json::Result<Self> {
        // A struct would also be read from an array, value by value; settings have names here.
        serde_json::from_slice::<HashMap<String, IgnoredAny>>(text)
            .and_then(|_| serde_json::from_slice(text))
    }

    /// These settings, with those of `fallback` where one was left out.
    pub fn or(self, fallback: Self) -> Self {
        let Self {
            kernel,
            initrd,
            cmdline,
            memory,
            cpus,
            disk,
            net,
            vsock,
            serial,
            balloon,
            name,
            api,
        } = self;
        Self {
            kernel: kernel.or(fallback.kernel),
            initrd: initrd.or(fallback.initrd),
            cmdline: cmdline.or(fallback.cmdline),
            memory: memory.or(fallback.memory),
            cpus: cpus.or(fallback.cpus),
            disk: if disk.is_empty() { fallback.disk } else { disk },
            net: if net.is_empty() { fallback.net } else { net },
            vsock: vsock.or(fallback.vsock),
            serial: serial.or(fallback.serial),
            balloon: balloon.or(fallback.balloon),
            name: name.or(fallback.name),
            api: api.or(fallback.api),
        }
    }
}

/// Reads a JSON string or whole number by the parser that reads the option's value.
fn text_or_number<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    struct OptionValue<T>(PhantomData<T>);

    impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for OptionValue<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string or a whole number")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }

        fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<T, E> {
            self.visit_str(&number.to_string())
        }
    }

    deserializer
        .deserialize_any(OptionValue(PhantomData))
        .map(Some)
        .map_err(D::Error::custom)
}

#[cfg(test)]
mod tests;
