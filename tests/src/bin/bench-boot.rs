//! `bench-boot`: how long until a guest speaks, and how much memory its monitor takes.
//!
//! Absolute times depend on the machine, so the floor (starting a process that does nothing) is
//! measured in turn with the monitor, in the same run.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ::tests::bench::{BenchError, Spread, results};
use ::tests::harness::{HarnessError, Host, VmProcess, exit_code, remove_on_signal};
use argh::FromArgs;
use serde_json::json;

/// How long an idle guest runs before its monitor's memory is read.
const SETTLE: Duration = Duration::from_millis(500);

/// Measures process start to the guest's first serial line, and the resident size of a monitor with
/// an idle 128 MiB guest.
#[derive(FromArgs)]
struct Args {
    /// counted runs after one warm-up (default 21)
    #[argh(option, default = "21")]
    runs: usize,

    /// also write everything to this file, as JSON
    #[argh(option)]
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    exit_code("bench-boot", run(&argh::from_env()))
}

fn run(args: &Args) -> Result<(), BenchError> {
    remove_on_signal()?;
    let [boot, floor, resident] = measure(args.runs.max(1))?;
    println!("{:34} {:>8} {:>8} {:>8}", "", "min", "median", "max");
    print_row("process start to first line, ms", &boot);
    print_row("floor: an empty process, ms", &floor);
    print_row("resident, idle 128 MiB guest, MB", &resident);
    if let Some(path) = &args.out {
        let mut results = results::header("boot");
        results["first_line_ms"] = json!(boot);
        results["process_floor_ms"] = json!(floor);
        results["resident_mb"] = json!(resident);
        results::write(path, &results)?;
    }
    Ok(())
}

fn print_row(what: &str, spread: &Spread) {
    println!(
        "{what:34} {:8.2} {:8.2} {:8.2}",
        spread.min, spread.median, spread.max
    );
}

fn measure(runs: usize) -> Result<[Spread; 3], HarnessError> {
    let host = Host::new()?;
    let (mut boots, mut floors, mut residents) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..=runs {
        let floor = empty_process().map_err(HarnessError::process("run `true`"))?;
        let began = Instant::now();
        let vm = host.boot_probe("bench", "128M", "workload=idle")?;
        vm.wait_output("probe: ready")?;
        let boot = began.elapsed();
        thread::sleep(SETTLE);
        let resident = resident_mb(&vm)?;
        vm.tell("stop")?;
        // The first run warms the caches and is not counted.
        if run > 0 {
            boots.push(boot.as_secs_f64() * 1e3);
            floors.push(floor.as_secs_f64() * 1e3);
            residents.push(resident);
        }
    }
    let spread = |values| Spread::of(values).expect("at least one run is counted");
    Ok([spread(boots), spread(floors), spread(residents)])
}

fn empty_process() -> io::Result<Duration> {
    let began = Instant::now();
    Command::new("true").stdout(Stdio::null()).status()?;
    Ok(began.elapsed())
}

/// `VmRSS` of the monitor: all of its resident memory, the guest's in use included.
fn resident_mb(vm: &VmProcess) -> Result<f64, HarnessError> {
    let path = format!("/proc/{}/status", vm.skiff.pid());
    let status =
        fs::read_to_string(Path::new(&path)).map_err(HarnessError::process("read VmRSS"))?;
    status
        .lines()
        .find_map(|line| {
            line.strip_prefix("VmRSS:")?
                .trim()
                .strip_suffix(" kB")?
                .parse()
                .ok()
        })
        .map(|kib: f64| kib * 1024.0 / 1e6)
        .ok_or(HarnessError::Unexpected {
            what: "VmRSS",
            text: status,
        })
}
