//! Why there cannot be a socket for the programs of the host.

use std::io;
use std::path::PathBuf;

/// A path at which programs of the host cannot find a guest.
#[derive(Debug, thiserror::Error)]
pub enum VsockError {
    /// The names of sockets are short.
    #[error("the path `{}` of a socket is too long: {limit_bytes} bytes at most", path.display())]
    TooLong {
        /// The path.
        path: PathBuf,
        /// Its longest.
        limit_bytes: usize,
    },
    /// Another process listens there.
    #[error("the socket `{}` is in use", path.display())]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// Something else is there, which must not be lost.
    #[error("`{}` is there already, and is no socket", path.display())]
    NoSocket {
        /// The path.
        path: PathBuf,
    },
    /// The kernel refuses.
    #[error("cannot listen on the socket `{}`", path.display())]
    Listen {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl VsockError {
    /// What a user can do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "choose a shorter path",
            Self::InUse { .. } => {
                "each VM has a socket of its own: stop the process that has it, or name another"
            }
            Self::NoSocket { .. } => "name another path, or remove what is there",
            Self::Listen { .. } => "see that its directory is there and that you may write it",
        }
    }
}
