//! `demo`: a guest at work moves live from one process to another, over TCP, and goes on.
//!
//! Without an argument it shows the probe guest and a stock Debian Linux, each natively where this
//! host's KVM runs it and in the nested rig where it does not.

use std::env;
use std::process::ExitCode;

use ::tests::demo::{self, Guest};
use ::tests::harness::remove_on_signal;
use argh::FromArgs;

/// Moves a working guest between two monitors and shows that it goes on.
#[derive(FromArgs)]
struct Args {
    /// the guest to show: probe or linux (default: both)
    #[argh(positional)]
    guest: Option<Guest>,
}

fn main() -> ExitCode {
    let words: Vec<String> = env::args().collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let args = match Args::from_args(&["demo"], words.get(1..).unwrap_or_default()) {
        Ok(args) => args,
        Err(exit) => {
            println!("{}", exit.output);
            return if exit.status.is_ok() {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(2)
            };
        }
    };
    if let Err(error) = remove_on_signal() {
        eprintln!("demo: {error}");
        return ExitCode::FAILURE;
    }
    let guests = args
        .guest
        .map_or_else(|| vec![Guest::Probe, Guest::Linux], |guest| vec![guest]);
    for guest in guests {
        if let Err(error) = demo::show(guest) {
            eprintln!("demo of the {guest} guest: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
