//! `bench-compare`: what got worse between two files of results.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ::tests::bench::compare::{Comparison, compare};
use ::tests::harness::complain;
use argh::FromArgs;
use serde_json::Value;

/// Something got worse.
const EXIT_WORSE: u8 = 3;

/// Compares two files of results of one benchmark, and names what got worse beyond the noise: each new run
/// is worse than each old one, and the typical one by more than 15 %.
#[derive(FromArgs)]
#[argh(note = "\
It knows the files of bench-migrate, bench-resume and bench-devices, and needs three runs of a number in
each. Of numbers that are the same it names one in twenty by chance with three runs, one in 250 with five. Exit codes: 0 nothing got worse, 1 a file cannot be read or they have nothing in common, 3 something
got worse.")]
struct Args {
    /// results before a change
    #[argh(positional)]
    before: PathBuf,

    /// results after it
    #[argh(positional)]
    after: PathBuf,
}

fn main() -> ExitCode {
    let args: Args = argh::from_env();
    match run(&args) {
        Ok(comparison) if comparison.worse.is_empty() => ExitCode::SUCCESS,
        Ok(_) => EXIT_WORSE.into(),
        Err(error) => {
            complain("bench-compare", &*error);
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<Comparison, Box<dyn Error>> {
    let comparison = compare(&read(&args.before)?, &read(&args.after)?);
    if comparison.compared == 0 {
        return Err("the files have no number in common with three runs in each".into());
    }
    for worse in &comparison.worse {
        println!("worse: {worse}");
    }
    println!(
        "{} of {} numbers got worse",
        comparison.worse.len(),
        comparison.compared
    );
    Ok(comparison)
}

fn read(path: &Path) -> Result<Value, Box<dyn Error>> {
    let bytes =
        fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let results = serde_json::from_slice(&bytes)
        .map_err(|error| format!("{} is no file of results: {error}", path.display()))?;
    Ok(results)
}
