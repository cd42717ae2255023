//! `bench-resume`: how soon a saved guest runs again at full speed, and what that costs.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use ::tests::bench::resume::{Findings, clones, first, set, speed, write};
use ::tests::bench::{BenchError, results};
use ::tests::harness::{exit_code, remove_on_signal};
use argh::FromArgs;
use serde_json::json;

/// Says how soon a guest runs again that was saved to a disk, how soon it is as fast as before, and
/// what its snapshot and its copies cost.
#[derive(FromArgs)]
#[argh(note = "\
Suites: first (start of the process to the first instruction, by memory size), set (touching 64 MiB
out of 1 GiB), speed (back to full speed over 256 MiB out of 1 GiB), write (snapshot of 200 MiB used),
clones (50 copies of one snapshot). Snapshots lie under TMPDIR. Without options it takes some minutes.")]
struct Args {
    /// first, set, speed, write or clones; may be repeated (default: all)
    #[argh(option)]
    suite: Vec<Suite>,

    /// runs of each suite (default 9)
    #[argh(option, default = "9")]
    runs: usize,

    /// also write everything to this file, as JSON
    #[argh(option)]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Suite {
    First,
    Set,
    Speed,
    Write,
    Clones,
}

impl Suite {
    const ALL: [Self; 5] = [
        Self::First,
        Self::Set,
        Self::Speed,
        Self::Write,
        Self::Clones,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Set => "set",
            Self::Speed => "speed",
            Self::Write => "write",
            Self::Clones => "clones",
        }
    }

    fn measure(self, runs: usize) -> Result<Findings, BenchError> {
        match self {
            Self::First => first::measure(runs),
            Self::Set => set::measure(runs),
            Self::Speed => speed::measure(runs),
            Self::Write => write::measure(runs),
            Self::Clones => clones::measure(runs),
        }
    }
}

impl FromStr for Suite {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|suite| suite.name() == word);
        named.ok_or_else(|| {
            format!("no suite `{word}`; there are first, set, speed, write and clones")
        })
    }
}

fn main() -> ExitCode {
    exit_code("bench-resume", run(&argh::from_env()))
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    remove_on_signal()?;
    let wanted = |suite: &Suite| args.suite.is_empty() || args.suite.contains(suite);
    let mut results = results::header("resume");
    for suite in Suite::ALL.into_iter().filter(wanted) {
        let findings = suite.measure(args.runs.max(1))?;
        findings.print(suite.name());
        results[suite.name()] = json!(findings);
    }
    if let Some(path) = &args.out {
        results::write(path, &results)?;
    }
    Ok(())
}
