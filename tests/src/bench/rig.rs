//! Benchmarks of Linux guests: where no stock kernel runs, they run once more in the nested rig.

use std::env;
use std::fs;

use serde_json::Value;
use vmm::host::HostKvm;

use super::BenchError;
use crate::harness::skiff_binary;
use crate::rig::{Echo, Input, Rig, RigEnd};

/// What is said before that.
pub const IN_RIG: &str =
    "no stock kernel runs here; the Linux guest runs in the nested rig, where it is slow";

/// Whether a stock kernel runs on this host.
#[must_use]
pub fn runs_linux() -> bool {
    HostKvm::open().is_ok_and(|host| host.kind.runs_stock_kernels())
}

/// Runs this program in a rig with `words`, shows what it prints, and gives what it found.
///
/// # Errors
/// The rig cannot be had, or the program fails in it.
pub fn results_in_rig(rig: Rig, words: &[&str]) -> Result<Value, BenchError> {
    let own = env::current_exe().map_err(BenchError::system("find this program"))?;
    let own = own.to_string_lossy();
    let made = tempfile::tempdir();
    let directory = made.map_err(BenchError::system("make a directory"))?;
    let command = [&[&*own], words, &["--out", "/out/found.json"]].concat();
    let outcome = rig
        .input(Input::named(skiff_binary()?, "skiff"))
        .output_dir(directory.path())
        .echo(Echo::Live)
        .run(&command)?;
    if outcome.end != RigEnd::Exited(0) {
        return Err(BenchError::InRig {
            end: outcome.end,
            said: outcome.diagnosis,
        });
    }
    let text = fs::read_to_string(directory.path().join("found.json"));
    let text = text.map_err(BenchError::system("read what was found in the rig"))?;
    serde_json::from_str(&text).map_err(|_| BenchError::Lacks {
        what: "results",
        text,
    })
}
