//! Why the terminal or the signals could not be set up.

use std::borrow::Cow;
use std::io;

/// A failure to set up standard input or signals.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// The terminal's settings could not be read or changed.
    #[error("cannot set up the terminal on standard input")]
    Terminal {
        /// The failed system call.
        #[source]
        source: io::Error,
    },
    /// Standard input could not be duplicated, or nothing could be made to wake its reader.
    #[error("cannot read standard input")]
    Stdin {
        /// The failed system call.
        #[source]
        source: io::Error,
    },
    /// The signals could not be redirected to the event loop.
    #[error("cannot receive signals as events")]
    Signals {
        /// The failed system call.
        #[source]
        source: io::Error,
    },
}

impl ConsoleError {
    /// What the user can do about it.
    pub fn remedy(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Terminal { .. } | Self::Stdin { .. } => Some(
                "redirect standard input, or choose --serial none or --serial file=PATH".into(),
            ),
            Self::Signals { .. } => None,
        }
    }
}
