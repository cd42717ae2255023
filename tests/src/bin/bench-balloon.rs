//! `bench-balloon`: what comes back of a guest's memory, and at which price.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use ::tests::bench::BenchError;
use ::tests::bench::balloon::freed::{self, Load};
use ::tests::bench::balloon::{Giving, moved};
use ::tests::harness::remove_on_signal;
use argh::FromArgs;
use serde_json::{Value, json};

/// Says how soon memory that a guest frees is the host's again, and what that saves a move.
#[derive(FromArgs)]
#[argh(note = "\
Suites: freed (resident memory after a Linux guest frees memory), moved (bytes on the wire of a
Linux guest that has freed memory).")]
struct Args {
    /// freed or moved; may be repeated (default: all)
    #[argh(option)]
    suite: Vec<Suite>,

    /// also write everything to this file, as JSON
    #[argh(option)]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Suite {
    Freed,
    Moved,
}

impl FromStr for Suite {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "freed" => Ok(Self::Freed),
            "moved" => Ok(Self::Moved),
            _ => Err(format!("no suite `{word}`; there are freed and moved")),
        }
    }
}

fn main() -> ExitCode {
    let args: Args = argh::from_env();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut cause: Option<&dyn std::error::Error> = Some(&error);
            while let Some(error) = cause {
                eprintln!("bench-balloon: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), BenchError> {
    remove_on_signal()?;
    let wanted = |suite| args.suite.is_empty() || args.suite.contains(&suite);
    let mut results = json!({ "schema": 1, "benchmark": "balloon" });
    if wanted(Suite::Freed) {
        let load = Load {
            memory_mib: 1024,
            fill_mib: 700,
        };
        let all =
            [Giving::Reporting, Giving::SelfBallooning].map(|giving| freed::measure(giving, load));
        let all: Vec<_> = all.into_iter().collect::<Result<_, _>>()?;
        freed::print(&all);
        results["freed"] = json!(all);
    }
    if wanted(Suite::Moved) {
        let load = Load {
            memory_mib: 2048,
            fill_mib: 1536,
        };
        let mut all = Vec::new();
        for giving in Giving::ALL {
            all.extend(moved::measure(giving, load)?);
        }
        moved::print(&all);
        results["moved"] = json!(all);
    }
    write(args, &results)
}

fn write(args: &Args, results: &Value) -> Result<(), BenchError> {
    let Some(path) = &args.out else { return Ok(()) };
    fs::write(path, format!("{results:#}\n")).map_err(BenchError::system("write the results"))
}
