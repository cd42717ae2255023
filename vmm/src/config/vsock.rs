//! A socket device as typed: the socket at which programs of the host find the guest, and its address.

use std::path::PathBuf;
use std::str::FromStr;

use devices::vsock::GuestCid;

use super::ConfigError;

/// A socket device that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VsockConfig {
    /// The socket of this host.
    pub path: PathBuf,
    /// The guest's address.
    pub cid: GuestCid,
}

impl FromStr for VsockConfig {
    type Err = ConfigError;

    fn from_str(value: &str) -> Result<Self, ConfigError> {
        let (path, cid) = match value.rsplit_once(",cid=") {
            Some((path, cid)) => (path, Some(cid)),
            None => (value, None),
        };
        let path = path
            .strip_prefix("socket=")
            .filter(|path| !path.is_empty())
            .ok_or_else(|| ConfigError::VsockSyntax {
                value: value.into(),
            })?;
        let parse = |cid: &str| {
            cid.parse().map_err(|reason| ConfigError::VsockCid {
                value: cid.into(),
                reason,
            })
        };
        Ok(Self {
            path: path.into(),
            cid: cid.map_or(Ok(GuestCid::FIRST), parse)?,
        })
    }
}

/// A device that comes with its VM, of which only the socket here is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketConfig(pub PathBuf);

impl FromStr for SocketConfig {
    type Err = ConfigError;

    fn from_str(value: &str) -> Result<Self, ConfigError> {
        match value.strip_prefix("socket=") {
            Some(path) if !path.is_empty() => Ok(Self(path.into())),
            _ => Err(ConfigError::SocketSyntax {
                value: value.into(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_is_read_as_it_is_typed() {
        let device: VsockConfig = "socket=/run/web,1.sock,cid=52".parse().unwrap();
        assert_eq!(device.path, PathBuf::from("/run/web,1.sock"));
        assert_eq!(device.cid.get(), 52);
        let plain: VsockConfig = "socket=v".parse().unwrap();
        assert_eq!(plain.cid, GuestCid::FIRST);
        let SocketConfig(path) = "socket=there".parse().unwrap();
        assert_eq!(path, PathBuf::from("there"));
    }

    #[test]
    fn device_that_cannot_be_is_refused_with_the_value() {
        for (value, word) in [
            ("", "socket=PATH"),
            ("v.sock", "`v.sock`"),
            ("socket=", "socket=PATH"),
            ("socket=v,cid=2", "`2`"),
            ("socket=v,cid=", "3 to"),
        ] {
            let error = value.parse::<VsockConfig>().unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        for value in ["v", "socket="] {
            assert!(value.parse::<SocketConfig>().is_err(), "{value}");
        }
    }
}
