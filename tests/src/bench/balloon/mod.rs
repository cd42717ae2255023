//! The balloon benchmark: what memory comes back from a guest, what that saves a move, and what it
//! costs the guest.
//!
//! | suite | question | guest |
//! |---|---|---|
//! | [`freed`] | how soon is the host's memory back that a guest has freed? | Linux |
//! | [`drag`] | what does self-ballooning cost a guest that grows and shrinks, by its interval? | probe |
//! | [`moved`] | how much goes over the wire of a guest that has freed most of what it had used? | Linux |
//!
//! Where no stock kernel runs, the Linux suites run in the nested rig.

pub mod drag;
pub mod freed;
mod linux;
pub mod moved;
pub mod record;

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// How a guest gives memory back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Giving {
    /// It keeps what it ever used: no balloon.
    Nothing,
    /// It reports what it frees: free page reporting, and no target. The guest has asked its kernel for
    /// blocks from 64 KiB on.
    Reporting,
    /// The same with blocks from 2 MiB on, which is what Linux does unless it is asked.
    CoarseReporting,
    /// The monitor sets a target every 5 s, and the guest reports nothing.
    SelfBallooning,
}

impl Giving {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Nothing,
        Self::Reporting,
        Self::CoarseReporting,
        Self::SelfBallooning,
    ];

    /// What `skiff run --balloon` is to be told. Self-ballooning begins when it is asked for.
    #[must_use]
    pub fn device(self) -> &'static str {
        match self {
            Self::Nothing => "off",
            Self::Reporting | Self::CoarseReporting => "on",
            Self::SelfBallooning => "plain",
        }
    }
}

impl FromStr for Giving {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let named = Self::ALL
            .into_iter()
            .find(|giving| giving.to_string() == word);
        named.ok_or_else(|| {
            format!("no way `{word}`; there are neither, reporting, reporting-2M and DSB")
        })
    }
}

impl fmt::Display for Giving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Nothing => "neither",
            Self::Reporting => "reporting",
            Self::CoarseReporting => "reporting-2M",
            Self::SelfBallooning => "DSB",
        })
    }
}

/// The interval of self-ballooning of a Linux guest, in s: the paper's, and twice that in the nested
/// rig, where a guest needs as long to give up a gigabyte.
#[must_use]
fn interval_s() -> u32 {
    if std::env::var_os("SKIFF_RIG").is_some() {
        10
    } else {
        5
    }
}

/// MiB to calculate with.
fn mib(mib: u64) -> f64 {
    crate::count::to_f64(mib)
}
