//! `bench-balloon`: what comes back of a guest's memory, and at which price.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use ::tests::bench::balloon::drag::{CLAIMED_MS, Drag, Load};
use ::tests::bench::balloon::{Giving, freed, moved};
use ::tests::bench::{BenchError, IN_RIG, results, results_in_rig, runs_linux};
use ::tests::harness::{exit_code, remove_on_signal};
use ::tests::rig::Rig;
use argh::FromArgs;
use serde_json::{Value, json};

/// The intervals of the sweep; those of the paper, and down to where one is hardly over when the next
/// begins.
const INTERVALS_MS: [u32; 9] = [10, 50, 100, 200, 500, 1000, 2000, 5000, 10_000];

/// A guest for which one breath takes minutes when it shares its processor, so that self-ballooning, which holds
/// off for 10 intervals, takes and gives back in each of them.
const fn slow(args: &Args) -> Load {
    Load {
        memory_mib: 512,
        hot_mib: 400,
        revisits: 840,
        step_kib: args.step_kib,
        breaths: args.breaths,
        seconds: 60 * args.minutes,
    }
}

/// The same with an eighth of the work in a breath, for short intervals.
const fn quick(args: &Args) -> Load {
    Load {
        revisits: 105,
        seconds: 0,
        ..slow(args)
    }
}

/// Two guests of 2 GiB, one of which arrives.
const RIG_MEMORY_MIB: u32 = 6144;

/// Several times what it took.
const RIG_PATIENCE: Duration = Duration::from_secs(3 * 3600);

/// Says how soon memory that a guest frees is the host's again, what that saves a move, and what
/// self-ballooning costs a guest that grows and shrinks.
#[derive(FromArgs)]
#[argh(note = "\
Suites: drag (how much less a guest does that breathes with self-ballooning, at the paper's interval of 5 s), sweep (the same
for intervals from 10 ms to 10 s, as the paper's figure 11), freed (resident memory after a Linux
guest has freed memory), moved (bytes on the wire of such a guest). Where no stock kernel runs,
the last two run in the nested rig. How much a guest takes at once changes what a page of it costs; --step-kib 4 is page by
page. Without options it takes about two hours.")]
struct Args {
    /// drag, sweep, freed or moved; may be repeated (default: all)
    #[argh(option)]
    suite: Vec<Suite>,

    /// rounds of drag and sweep (default 4)
    #[argh(option, default = "4")]
    rounds: usize,

    /// breaths that are measured in each run of drag, two to five minutes each, and of sweep, an eighth of that
    /// (default 2)
    #[argh(option, default = "2")]
    breaths: u64,

    /// each run of drag is measured for at least so many minutes (default 10)
    #[argh(option, default = "10")]
    minutes: u64,

    /// how much the guests of drag and sweep take or give back at once, in KiB (default 1024)
    #[argh(option, default = "1024")]
    step_kib: u32,

    /// how the Linux guest gives memory back: neither, reporting or DSB; may be repeated (default: all)
    #[argh(option)]
    giving: Vec<Giving>,

    /// further words of the Linux guest's command line
    #[argh(option, default = "String::new()")]
    words: String,

    /// an interval of the sweep in ms; may be repeated (default: 10 to 10,000)
    #[argh(option)]
    interval_ms: Vec<u32>,

    /// also write everything to this file, as JSON
    #[argh(option)]
    out: Option<PathBuf>,
}

impl Args {
    fn intervals_ms(&self) -> &[u32] {
        match self.interval_ms.as_slice() {
            [] => &INTERVALS_MS,
            chosen => chosen,
        }
    }

    fn giving(&self) -> Vec<Giving> {
        match self.giving.as_slice() {
            [] => Giving::ALL.to_vec(),
            chosen => chosen.to_vec(),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Suite {
    Drag,
    Sweep,
    Freed,
    Moved,
}

impl Suite {
    const ALL: [Self; 4] = [Self::Drag, Self::Sweep, Self::Freed, Self::Moved];

    fn name(self) -> &'static str {
        match self {
            Self::Drag => "drag",
            Self::Sweep => "sweep",
            Self::Freed => "freed",
            Self::Moved => "moved",
        }
    }
}

impl FromStr for Suite {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|suite| suite.name() == word);
        named.ok_or_else(|| format!("no suite `{word}`; there are drag, sweep, freed and moved"))
    }
}

fn main() -> ExitCode {
    exit_code("bench-balloon", run(&argh::from_env()))
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    remove_on_signal()?;
    let wanted = |suite| args.suite.is_empty() || args.suite.contains(&suite);
    let mut results = results::header("balloon");
    if wanted(Suite::Drag) {
        let drag = Drag::measure(slow(args), &[CLAIMED_MS], args.rounds)?;
        drag.print(Some(CLAIMED_MS));
        results["drag"] = drag.json();
    }
    if wanted(Suite::Sweep) {
        let sweep = Drag::measure(quick(args), args.intervals_ms(), args.rounds)?;
        sweep.print(None);
        results["sweep"] = sweep.json();
    }
    let linux: Vec<_> = [Suite::Freed, Suite::Moved]
        .into_iter()
        .filter(|&suite| wanted(suite))
        .collect();
    if !linux.is_empty() && runs_linux() {
        if wanted(Suite::Freed) {
            let giving = args.giving().into_iter();
            let freed = giving.map(|giving| freed::measure(giving, &args.words));
            let freed: Vec<_> = freed.collect::<Result<_, _>>()?;
            freed::print(&freed);
            results["freed"] = json!(freed);
        }
        if wanted(Suite::Moved) {
            let mut moved = Vec::new();
            for giving in args.giving() {
                moved.extend(moved::measure(giving, &args.words)?);
            }
            moved::print(&moved);
            results["moved"] = json!(moved);
        }
    } else if !linux.is_empty() {
        println!("\n{IN_RIG}");
        let found = in_rig(&linux, args)?;
        for suite in linux {
            results[suite.name()] = found[suite.name()].clone();
        }
    }
    if let Some(path) = &args.out {
        results::write(path, &results)?;
    }
    Ok(())
}

/// Runs the Linux suites in the nested rig, and gives what they found.
fn in_rig(suites: &[Suite], args: &Args) -> Result<Value, BenchError> {
    let mut words = vec!["--words", &*args.words];
    for suite in suites {
        words.extend(["--suite", suite.name()]);
    }
    let giving: Vec<_> = args.giving().iter().map(Giving::to_string).collect();
    for giving in &giving {
        words.extend(["--giving", giving]);
    }
    let rig = Rig::new().memory_mib(RIG_MEMORY_MIB).timeout(RIG_PATIENCE);
    results_in_rig(rig, &words)
}
