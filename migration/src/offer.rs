//! What a VM asks of a destination, and the reasons for which it may be refused.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::layout::MemoryLayout;

/// Longest text that a peer may send, in bytes. Our choice: a long sentence.
pub const MAX_TEXT_BYTES: usize = 1024;

/// Text for the other end's user: at most [`MAX_TEXT_BYTES`] of UTF-8 without control characters,
/// so that a peer can neither flood a log nor steer a terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct PeerText(String);

impl From<String> for PeerText {
    /// Control characters become spaces, and what is too long is cut.
    fn from(text: String) -> Self {
        let mut text: String = text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
        Self(text)
    }
}

impl From<&str> for PeerText {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl From<PeerText> for String {
    fn from(text: PeerText) -> Self {
        text.0
    }
}

impl fmt::Display for PeerText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PeerText {
    /// An error and all its causes in one line.
    pub fn chain(error: &(dyn std::error::Error + 'static)) -> Self {
        let causes = std::iter::successors(Some(error), |error| error.source());
        Self::from(
            causes
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(": "),
        )
    }
}

/// What a VM needs of the host that is to run it: the first thing a source tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Name of the VM at the source, for people.
    pub name: PeerText,
    /// Its RAM.
    pub memory: MemoryLayout,
    /// Number of its vCPUs.
    pub vcpus: u32,
    /// Further demands (CPU features and the like) in the encoding of the machine's own crate,
    /// which checks them in [`DestinationVm::prepare`](crate::DestinationVm::prepare). At most
    /// 1 MiB.
    pub machine: Vec<u8>,
}

/// Why a destination does not take a VM. Both ends print it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The two ends speak different versions of the protocol.
    #[error("it speaks version {ours} of the migration protocol, the source version {theirs}")]
    Version {
        /// Version of the destination.
        ours: u32,
        /// Version of the source.
        theirs: u32,
    },
    /// Another VM is arriving there.
    #[error("another VM is just arriving there")]
    Busy,
    /// There is not enough free memory.
    #[error("the VM needs {} MiB of memory, {} MiB are available", needed_bytes >> 20, available_bytes >> 20)]
    Memory {
        /// What the VM needs.
        needed_bytes: u64,
        /// What could be had.
        available_bytes: u64,
    },
    /// The VM has more vCPUs than the host can run.
    #[error("the VM has {needed} vCPUs, at most {available} can run there")]
    Vcpus {
        /// vCPUs of the VM.
        needed: u32,
        /// Most that the host supports.
        available: u32,
    },
    /// Page faults cannot be served there.
    #[error("page faults cannot be served there: {0}")]
    Userfaultfd(PeerText),
    /// The machine cannot be built there, in the words of the machine's own crate.
    #[error("{0}")]
    Machine(PeerText),
    /// What the source sent does not add up.
    #[error("the source's request is not valid: {0}")]
    Request(PeerText),
    /// The source has proved a key, but another one.
    #[error("the keys of the two ends differ")]
    KeysDiffer,
    /// The connections of a session were lost before the token arrived, and the destination has
    /// given the VM up: it never ran there and never will.
    #[error("the VM was given up there before it was handed over")]
    Abandoned,
    /// No VM of that session is there, or it has everything.
    #[error("no such VM is arriving there")]
    UnknownSession,
}

impl From<&Error> for Refusal {
    /// The refusal that tells of a failure on this side before the VM was accepted.
    fn from(error: &Error) -> Self {
        match error {
            Error::Userfaultfd { .. } | Error::Register { .. } => {
                Self::Userfaultfd(PeerText::chain(error))
            }
            _ => Self::Request(PeerText::chain(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_with_control_characters_or_too_long_is_tamed() {
        assert_eq!(PeerText::from("a\x1b[2Jb\n").to_string(), "a [2Jb ");
        let long = PeerText::from("\u{e9}".repeat(MAX_TEXT_BYTES));
        assert_eq!(long.to_string().len(), MAX_TEXT_BYTES);
    }

    #[test]
    fn chain_of_error_names_every_cause() {
        let error = Error::Pause {
            source: "vCPU 1 hangs".into(),
        };
        assert_eq!(
            PeerText::chain(&error).to_string(),
            "cannot pause the VM: vCPU 1 hangs"
        );
    }

    #[test]
    fn refusal_displays_its_values() {
        let refusal = Refusal::Memory {
            needed_bytes: 2 << 30,
            available_bytes: 300 << 20,
        };
        assert_eq!(
            refusal.to_string(),
            "the VM needs 2048 MiB of memory, 300 MiB are available"
        );
    }
}
