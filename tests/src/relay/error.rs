//! What can go wrong with a relay itself; what it does to connections is no error.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::stats::Stats;

/// An operation of the relay that failed.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// It cannot listen.
    #[error("cannot listen at {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },

    /// It has no thread to accept connections.
    #[error("cannot start the thread of the relay at {address}")]
    StartThread {
        /// Where it would have listened.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },

    /// A rule as text is none.
    #[error("{text:?} is no rule; one is [CONNECTIONS:][DIRECTION:]EFFECT, see relay --help")]
    RuleSyntax {
        /// The text.
        text: String,
    },

    /// What was waited for did not come.
    #[error("the relay did not get there within {timeout:?}: {stats:?}")]
    NotReached {
        /// How long it was waited for.
        timeout: Duration,
        /// What had happened by then.
        stats: Box<Stats>,
    },
}
