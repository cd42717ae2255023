//! How the ends of a migration make sure of each other, as typed.

use std::net::SocketAddr;
use std::path::PathBuf;

use migration::{Key, MigrationError, Tls, Trust};
use serde::{Deserialize, Serialize};

/// The files that say whom to trust; none by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustConfig {
    /// File with the key that both ends must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// Directory with the certificates that encrypt every connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<PathBuf>,
}

/// Whom a monitor may listen to that asks nobody for a key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Exposure {
    /// To this host.
    #[default]
    Loopback,
    /// To whoever reaches its address: the user has said so.
    Anybody,
}

impl TrustConfig {
    /// The same files, whatever the working directory of who opens them is.
    #[must_use]
    pub fn absolute(self) -> Self {
        let Self { key, tls } = self;
        // What has no absolute form is an empty path, and opening that fails with a reason.
        let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        Self {
            key: key.map(absolute),
            tls: tls.map(absolute),
        }
    }

    /// Whether nothing is asked of the other end.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Reads the files.
    ///
    /// # Errors
    /// If one of them cannot be read, is open to others or is not what it should be.
    pub fn load(&self) -> Result<Trust, MigrationError> {
        let Self { key, tls } = self;
        Ok(Trust {
            key: key.as_deref().map(Key::read).transpose()?,
            tls: tls.as_deref().map(Tls::read).transpose()?,
        })
    }

    /// The first of `addresses` that other hosts can reach, if whoever calls is to be trusted.
    pub fn exposed(&self, addresses: &[SocketAddr]) -> Option<SocketAddr> {
        let is_reachable = |address: &&SocketAddr| !address.ip().to_canonical().is_loopback();
        let reachable = addresses.iter().find(is_reachable).copied();
        reachable.filter(|_| self.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_key(path: &str) -> TrustConfig {
        TrustConfig {
            key: Some(path.into()),
            tls: None,
        }
    }

    #[test]
    fn address_that_others_reach_is_exposed_unless_there_is_a_key() {
        let of = |text: &str| text.parse().unwrap();
        let none = TrustConfig::default();
        for address in [
            "127.0.0.1:1",
            "127.9.9.9:1",
            "[::1]:1",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert_eq!(none.exposed(&[of(address)]), None, "{address}");
        }
        for address in ["0.0.0.0:1", "192.0.2.7:1", "[::]:1", "[2001:db8::7]:1"] {
            let addresses = [of("127.0.0.1:1"), of(address)];
            assert_eq!(none.exposed(&addresses), Some(of(address)));
            assert_eq!(with_key("k").exposed(&addresses), None);
        }
    }

    #[test]
    fn path_made_absolute_stays_the_same_file() {
        let key = with_key("keys/k").absolute().key.unwrap();
        assert!(key.is_absolute() && key.ends_with("keys/k"));
        assert_eq!(with_key("/etc/k").absolute(), with_key("/etc/k"));
    }
}
