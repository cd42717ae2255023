//! `bench-readme`: keeps the results of `make bench` in the repository, and writes the README's table of them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ::tests::harness::exit_code;
use ::tests::readme;
use argh::FromArgs;

/// Copies what `make bench` has left in a directory to tests/measured, without single runs, and makes the table
/// in README.md of it. To be run at the top of the repository.
#[derive(FromArgs)]
struct Args {
    /// where the results are (default: results)
    #[argh(positional, default = "PathBuf::from(\"results\")")]
    results: PathBuf,
}

fn main() -> ExitCode {
    let args: Args = argh::from_env();
    let (readme, kept) = (Path::new("README.md"), Path::new("tests/measured"));
    let made = readme::keep(&args.results, kept).and_then(|()| readme::update(readme, kept));
    exit_code("bench-readme", made)
}
