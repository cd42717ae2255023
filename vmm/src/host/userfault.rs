//! Whether this process may handle page faults of guests by userfaultfd(2), which post-copy needs at the destination.

use migration::PeerText;
use serde::Serialize;

/// The permission to use userfaultfd for faults in the kernel, as those of a vCPU are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "permission", rename_all = "kebab-case")]
pub enum Userfault {
    /// It works.
    Granted,
    /// It does not.
    Denied {
        /// What the kernel or the library said.
        reason: String,
    },
}

impl Userfault {
    /// Tries it: makes a userfaultfd as a destination would, and closes it.
    pub fn probe() -> Self {
        match migration::check_userfaultfd() {
            Ok(()) => Self::Granted,
            Err(error) => Self::Denied {
                reason: PeerText::chain(&error).to_string(),
            },
        }
    }
}
