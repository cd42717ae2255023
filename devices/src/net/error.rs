//! Why a TAP interface cannot be used.

use std::io;

use super::InterfaceName;

/// A TAP interface that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TapError {
    /// The host has no such interface.
    #[error("there is no network interface `{name}` on this host")]
    Absent {
        /// Its name.
        name: InterfaceName,
    },
    /// The kernel lends no TAP interfaces, or not to this user.
    #[error("cannot open /dev/net/tun for the network interface `{name}`")]
    NoTun {
        /// The interface.
        name: InterfaceName,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process has it.
    #[error("the network interface `{name}` is in use")]
    InUse {
        /// Its name.
        name: InterfaceName,
    },
    /// It is of another kind, or another user's.
    #[error("cannot attach to the network interface `{name}`")]
    Attach {
        /// Its name.
        name: InterfaceName,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel does not tell when it goes up or down.
    #[error("cannot follow whether the network interface `{name}` is up")]
    Watch {
        /// Its name.
        name: InterfaceName,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl TapError {
    /// What a user can do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Absent { name } => format!(
                "make it, as root: ip tuntap add dev {name} mode tap user $USER; ip link set {name} up"
            ),
            Self::NoTun { .. } => {
                "load the module tun, and see that you may read and write /dev/net/tun".to_owned()
            }
            Self::InUse { .. } => {
                "each VM has an interface of its own: stop the one that has it, or name another"
                    .to_owned()
            }
            Self::Attach { name, .. } => format!(
                "it has to be a TAP interface with one queue that is yours: ip tuntap add dev {name} mode tap user $USER"
            ),
            Self::Watch { .. } => {
                "see that you may open netlink sockets, and raise the limit of open files (ulimit -n)"
                    .to_owned()
            }
        }
    }
}
