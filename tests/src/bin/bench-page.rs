//! `bench-page`: one page with what the benchmarks found, beside what the paper found.

use std::path::PathBuf;
use std::process::ExitCode;

use ::tests::harness::exit_code;
use ::tests::page;
use argh::FromArgs;

/// Draws what the benchmarks wrote down, beside the paper's own points, and writes one page that shows it
/// all and opens without a server.
#[derive(FromArgs)]
#[argh(note = "\
It reads migrate.json, resume.json, balloon.json, devices.json and boot.json, as far as they are there, and
writes index.html and the pictures beside them.")]
struct Args {
    /// where the results are (default: results)
    #[argh(positional, default = "PathBuf::from(\"results\")")]
    directory: PathBuf,
}

fn main() -> ExitCode {
    let args: Args = argh::from_env();
    let built = page::build(&args.directory).map(|path| println!("{}", path.display()));
    exit_code("bench-page", built)
}
