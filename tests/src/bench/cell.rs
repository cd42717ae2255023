//! What moves, and over which link: one cell of the matrix.

use std::fmt;
use std::str::FromStr;

use super::matrix::Suite;

#[cfg(test)]
mod tests;

/// What the probe guest does (its own words, see `guest-images/README.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// Nothing.
    Idle,
    /// Checks and rewrites page after page.
    SeqWrite,
    /// Checks page after page.
    SeqRead,
    /// Pages drawn evenly.
    Random,
    /// Pages drawn after Zipf's law.
    Zipf,
    /// The page that the last one names.
    Chase,
    /// Sorts arrays in turn.
    Quicksort {
        /// How many arrays, 1 to 128.
        procs: u32,
    },
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Idle => "idle",
            Self::SeqWrite => "seq-write",
            Self::SeqRead => "seq-read",
            Self::Random => "random",
            Self::Zipf => "zipf",
            Self::Chase => "chase",
            Self::Quicksort { procs } => return f.pad(&format!("quicksort:{procs}")),
        })
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Ok(match word {
            "idle" => Self::Idle,
            "seq-write" => Self::SeqWrite,
            "seq-read" => Self::SeqRead,
            "random" => Self::Random,
            "zipf" => Self::Zipf,
            "chase" => Self::Chase,
            _ => {
                let procs = word.strip_prefix("quicksort:");
                let procs = procs.and_then(|procs| procs.parse().ok());
                let procs = procs.filter(|procs| (1..=128).contains(procs));
                let procs = procs.ok_or_else(|| format!("no workload `{word}`; there are idle, seq-write, seq-read, random, zipf, chase and quicksort:PROCS"))?;
                Self::Quicksort { procs }
            }
        })
    }
}

/// How fast the guest works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As fast as it can.
    Full,
    /// So many pages per second.
    PagesPerS(u32),
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.pad("full"),
            Self::PagesPerS(rate) => f.pad(&format!("{rate}/s")),
        }
    }
}

impl FromStr for Pace {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        if word == "full" {
            return Ok(Self::Full);
        }
        let rate = word.trim_end_matches("/s").parse().ok();
        rate.filter(|&rate| rate > 0)
            .map(Self::PagesPerS)
            .ok_or_else(|| format!("`{word}` is neither `full` nor a number of pages per second"))
    }
}

/// What lies between the monitors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LinkKind {
    /// The loopback device.
    Loopback,
    /// A veth pair with a token bucket filter (TBF) at either end.
    Shaped {
        /// Its rate, as Ethernet counts: headers included.
        mbit_per_s: u32,
    },
}

impl LinkKind {
    /// The link that most claims are about.
    pub const GIGABIT: Self = Self::Shaped { mbit_per_s: 1000 };

    /// What it carries; the loopback device has no limit.
    #[must_use]
    pub fn bytes_per_ms(self) -> f64 {
        match self {
            Self::Loopback => f64::INFINITY,
            Self::Shaped { mbit_per_s } => f64::from(mbit_per_s) * 1e6 / 8.0 / 1e3,
        }
    }
}

impl fmt::Display for LinkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loopback => f.pad("loopback"),
            Self::Shaped { mbit_per_s } if mbit_per_s % 1000 == 0 => {
                f.pad(&format!("{}G", mbit_per_s / 1000))
            }
            Self::Shaped { mbit_per_s } => f.pad(&format!("{mbit_per_s}M")),
        }
    }
}

impl FromStr for LinkKind {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        if word == "loopback" {
            return Ok(Self::Loopback);
        }
        let rate = match (word.strip_suffix('G'), word.strip_suffix('M')) {
            (Some(gbit), _) => gbit
                .parse::<u32>()
                .ok()
                .and_then(|gbit| gbit.checked_mul(1000)),
            (_, Some(mbit)) => mbit.parse().ok(),
            _ => None,
        };
        rate.filter(|&mbit_per_s| mbit_per_s > 0)
            .map(|mbit_per_s| Self::Shaped { mbit_per_s })
            .ok_or_else(|| format!("`{word}` is neither `loopback` nor a rate such as 1G or 100M"))
    }
}

/// One VM and one link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// The question it answers.
    pub suite: Suite,
    /// What the guest does.
    pub workload: Workload,
    /// How fast.
    pub pace: Pace,
    /// What the VM moves over.
    pub link: LinkKind,
    /// Size of the VM.
    pub memory_mib: u32,
    /// What the guest works on.
    pub hot_mib: u32,
}

impl Cell {
    /// The probe guest's command line.
    #[must_use]
    pub fn command_line(&self) -> String {
        let workload = match self.workload {
            Workload::Quicksort { procs } => format!("quicksort procs={procs}"),
            other => other.to_string(),
        };
        let rate = match self.pace {
            Pace::Full => String::new(),
            Pace::PagesPerS(rate) => format!(" rate={rate}"),
        };
        // An idle guest does not know a working set of nothing.
        let hot_mib = self.hot_mib.max(1);
        format!("workload={workload} ws={hot_mib}M{rate} seed=1")
    }

    /// Page visits after which the working set has been filled.
    #[must_use]
    pub fn filled_pages(&self) -> u64 {
        match self.workload {
            Workload::Idle => 0,
            _ => u64::from(self.hot_mib) * 256,
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            suite,
            workload,
            pace,
            link,
            memory_mib,
            hot_mib,
        } = self;
        f.pad(&format!(
            "{suite} {workload} {pace} {link} {hot_mib}/{memory_mib}M"
        ))
    }
}
