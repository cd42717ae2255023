//! Whether this process may handle page faults of guests by userfaultfd(2), which post-copy needs at the destination.

use std::error::Error;

use serde::Serialize;
use userfaultfd::UffdBuilder;

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
        match UffdBuilder::new()
            .close_on_exec(true)
            .user_mode_only(false)
            .create()
        {
            Ok(_uffd) => Self::Granted,
            Err(error) => {
                let cause = error
                    .source()
                    .map(|source| format!(": {source}"))
                    .unwrap_or_default();
                Self::Denied {
                    reason: format!("{error}{cause}"),
                }
            }
        }
    }
}
