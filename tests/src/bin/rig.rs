//! `rig`: runs a program of ours in the nested rig and ends as the program does.
//!
//! Exit codes besides the program's own: 124 when the time was up, 125 when the outer VM died
//! or stood still or the rig itself failed, 2 for wrong usage.

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use ::tests::harness::complain;
use ::tests::rig::{Echo, Input, Rig, RigEnd, RigError, RigOutcome};
use argh::FromArgs;

/// Wrong usage, as in the other programs of this project.
const EXIT_USAGE: u8 = 2;
/// The time was up, as in timeout(1).
const EXIT_TIMED_OUT: u8 = 124;
/// The rig failed and says nothing about the program, as in timeout(1).
const EXIT_RIG_FAILED: u8 = 125;

/// Runs a program inside an outer VM with emulated AMD-V (QEMU, no privilege needed).
/// The program finds its inputs in the current directory, leaves files in /out, and has /dev/kvm,
/// userfaultfd, and $SKIFF_GUEST_IMAGES with vmlinuz and initramfs.cpio.lz4.
#[derive(FromArgs)]
struct Args {
    /// a file that goes in, FILE or FILE:NAME; programs bring their shared libraries
    #[argh(option, long = "in")]
    inputs: Vec<InputArg>,

    /// the directory that takes what the program leaves in /out
    #[argh(option)]
    out: Option<PathBuf>,

    /// memory of the outer VM (default 2G)
    #[argh(option, default = "MemoryArg(2048)")]
    memory: MemoryArg,

    /// CPUs of the outer VM (default 1, which is no slower than 2)
    #[argh(option, default = "1")]
    cpus: u32,

    /// when to give up, boot included, in s, m or h (default 10m)
    #[argh(option, default = "TimeoutArg(Duration::from_secs(600))")]
    timeout: TimeoutArg,

    /// an environment variable for the program, NAME=VALUE
    #[argh(option)]
    env: Vec<String>,

    /// the program, with a slash if it is one of this host, and its arguments
    #[argh(positional, greedy)]
    command: Vec<String>,
}

/// `FILE` or `FILE:NAME`.
struct InputArg(Input);

impl FromStr for InputArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(match text.rsplit_once(':') {
            Some((host, name)) => Input::named(host, name),
            None => Input::from(text),
        }))
    }
}

/// Mebibytes, written with M or G.
struct MemoryArg(u32);

impl FromStr for MemoryArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        with_unit(text, &[("M", 1), ("G", 1024)])
            .map(Self)
            .ok_or_else(|| format!("{text:?} is no size like 512M or 2G"))
    }
}

/// A time, written with s, m or h.
struct TimeoutArg(Duration);

impl FromStr for TimeoutArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        with_unit(text, &[("s", 1), ("m", 60), ("h", 3600)])
            .map(|seconds| Self(Duration::from_secs(seconds.into())))
            .ok_or_else(|| format!("{text:?} is no time like 90s or 10m"))
    }
}

/// Reads a number above 0 with one of the units.
fn with_unit(text: &str, units: &[(&str, u32)]) -> Option<u32> {
    units.iter().find_map(|(unit, factor)| {
        let number: u32 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(*factor).filter(|&product| product > 0)
    })
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let args = match Args::from_args(&["rig"], &words[1..]) {
        Ok(args) => args,
        Err(early) if early.status.is_ok() => {
            println!("{}", early.output);
            return ExitCode::SUCCESS;
        }
        Err(early) => {
            eprintln!("{}", early.output);
            return ExitCode::from(EXIT_USAGE);
        }
    };
    if args.command.is_empty() {
        eprintln!("rig: no program given; see rig --help");
        return ExitCode::from(EXIT_USAGE);
    }
    match run(args) {
        Ok(outcome) => conclude(&outcome),
        Err(error) => {
            complain("rig", &error);
            ExitCode::from(EXIT_RIG_FAILED)
        }
    }
}

fn run(args: Args) -> Result<RigOutcome, RigError> {
    let mut rig = Rig::new()
        .memory_mib(args.memory.0)
        .cpus(args.cpus)
        .timeout(args.timeout.0)
        .echo(Echo::Live);
    for input in args.inputs {
        rig = rig.input(input.0);
    }
    for variable in args.env {
        let (name, value) = variable.split_once('=').unwrap_or((&variable, ""));
        rig = rig.env(name, value);
    }
    if let Some(directory) = args.out {
        rig = rig.output_dir(directory);
    }
    rig.run(&args.command)
}

/// Says how the run ended and gives the exit code for it.
fn conclude(outcome: &RigOutcome) -> ExitCode {
    let seconds = outcome.elapsed.as_secs_f64();
    let boot = outcome.boot.map_or(0.0, |boot| boot.as_secs_f64());
    match outcome.end {
        RigEnd::Exited(status) => {
            eprintln!("rig: exit status {status} after {seconds:.1} s (outer boot {boot:.1} s)");
            ExitCode::from(status)
        }
        RigEnd::TimedOut => {
            eprintln!(
                "rig: killed after {seconds:.1} s, the time was up\n{}",
                outcome.diagnosis
            );
            ExitCode::from(EXIT_TIMED_OUT)
        }
        RigEnd::Stood => {
            eprintln!(
                "rig: killed after {seconds:.1} s, the outer VM stood still\n{}",
                outcome.diagnosis
            );
            ExitCode::from(EXIT_RIG_FAILED)
        }
        RigEnd::Died => {
            eprintln!(
                "rig: the outer VM died after {seconds:.1} s\n{}",
                outcome.diagnosis
            );
            ExitCode::from(EXIT_RIG_FAILED)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{InputArg, MemoryArg, TimeoutArg};
    use ::tests::rig::Input;
    use std::time::Duration;

    #[test]
    fn input_with_a_colon_gives_file_and_name() {
        let input: InputArg = "a/b:c".parse().unwrap();
        assert_eq!(input.0, Input::named("a/b", "c"));
        let input: InputArg = "a/b".parse().unwrap();
        assert_eq!(input.0, Input::from("a/b"));
    }

    #[test]
    fn memory_and_timeout_with_units_are_read() {
        assert_eq!("2G".parse::<MemoryArg>().unwrap().0, 2048);
        assert_eq!("512M".parse::<MemoryArg>().unwrap().0, 512);
        assert_eq!(
            "2m".parse::<TimeoutArg>().unwrap().0,
            Duration::from_secs(120)
        );
    }

    #[test]
    fn memory_and_timeout_that_make_no_sense_are_refused() {
        for text in ["", "0M", "12Q", "-1G", "5", "9999999G"] {
            assert!(text.parse::<MemoryArg>().is_err(), "{text}");
        }
        for text in ["", "0s", "m", "1.5h"] {
            assert!(text.parse::<TimeoutArg>().is_err(), "{text}");
        }
    }
}
