//! A network address as typed: HOST:PORT, with the host's name resolved only when it is used.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;
use std::{io, vec};

use serde::{Deserialize, Serialize};

use super::ConfigError;

/// The longest name DNS allows (RFC 1035, section 2.3.4).
const MAX_HOST_BYTES: usize = 255;

/// A host name or an IP address, and a port; port 0 lets a listener choose one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPort {
    host: String,
    port: u16,
}

impl HostPort {
    /// Reads the address of a peer to connect to, whose port is not 0.
    ///
    /// # Errors
    /// If it is not HOST:PORT or the port is 0.
    pub fn parse_destination(value: &str) -> Result<Self, ConfigError> {
        let endpoint: Self = value.parse()?;
        if endpoint.port == 0 {
            return Err(ConfigError::EndpointPortZero {
                value: value.into(),
            });
        }
        Ok(endpoint)
    }

    /// The host as typed, an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for HostPort {
    type Err = ConfigError;

    fn from_str(value: &str) -> Result<Self, ConfigError> {
        let malformed = || ConfigError::EndpointSyntax {
            value: value.into(),
        };
        let (host, port) = value.rsplit_once(':').ok_or_else(malformed)?;
        let host = match host.strip_prefix('[') {
            Some(rest) => {
                let address = rest.strip_suffix(']').ok_or_else(malformed)?;
                address.parse::<Ipv6Addr>().map_err(|_| malformed())?;
                address
            }
            None if host.contains([':', ']', '/']) => return Err(malformed()),
            None => host,
        };
        let host_fits = (1..=MAX_HOST_BYTES).contains(&host.len())
            && host.bytes().all(|byte| byte.is_ascii_graphic());
        let port_fits = port.bytes().all(|byte| byte.is_ascii_digit());
        if !host_fits || !port_fits {
            return Err(malformed());
        }
        let port = port.parse().map_err(|_| malformed())?;
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl TryFrom<String> for HostPort {
    type Error = ConfigError;

    fn try_from(value: String) -> Result<Self, ConfigError> {
        value.parse()
    }
}

impl From<HostPort> for String {
    fn from(endpoint: HostPort) -> Self {
        endpoint.to_string()
    }
}

impl ToSocketAddrs for HostPort {
    type Iter = vec::IntoIter<SocketAddr>;

    /// Resolves the name now; this may ask a name server and block.
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (self.host.as_str(), self.port).to_socket_addrs()
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests;
