//! The balloon benchmark: what memory comes back from a guest, what that saves a move, and what it
//! costs the guest.
//!
//! | suite | question | guest |
//! |---|---|---|
//! | [`freed`] | how soon is the host's memory back that a guest has freed? | Linux |
//! | [`moved`] | how much goes over the wire of a guest that has freed most of what it had used? | Linux |
//!
//! Where no stock kernel runs, the Linux suites run in the nested rig.

pub mod freed;
mod linux;
pub mod moved;
pub mod record;

use std::fmt;

use serde::Serialize;

/// How a guest gives memory back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Giving {
    /// It keeps what it ever used: no balloon.
    Nothing,
    /// It reports what it frees: free page reporting, and no target.
    Reporting,
    /// The monitor sets a target every 5 s, and the guest reports nothing.
    SelfBallooning,
}

impl Giving {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Nothing, Self::Reporting, Self::SelfBallooning];

    /// What `skiff run --balloon` is to be told. Self-ballooning begins when it is asked for.
    #[must_use]
    pub fn device(self) -> &'static str {
        match self {
            Self::Nothing => "off",
            Self::Reporting => "on",
            Self::SelfBallooning => "plain",
        }
    }
}

impl fmt::Display for Giving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Nothing => "neither",
            Self::Reporting => "reporting",
            Self::SelfBallooning => "DSB",
        })
    }
}

/// MiB to calculate with.
fn mib(mib: u64) -> f64 {
    super::statistics::to_f64(mib)
}
