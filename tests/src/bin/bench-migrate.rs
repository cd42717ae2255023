//! `bench-migrate`: what a move costs the guest, the network and the user, next to floors measured
//! in the same run.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use ::tests::bench::run::Interrupt;
use ::tests::bench::{
    BenchError, Column, Extent, LinkKind, Pace, Plan, Selection, Suite, Workload, measure, print,
    results,
};
use ::tests::harness::exit_code;
use argh::FromArgs;
use vmm::console::Signals;

/// Moves VMs that work, over links of several rates, in several ways, and says what it cost:
/// guest work lost, longest stall, time blocked, network faults and their latency, downtime and
/// bytes, with medians and ranges, next to floors of the same run; then which claims hold.
#[derive(FromArgs)]
#[argh(note = "\
Suites: moves (workload x pace x link), sizes (downtime by size of memory), sparse (only what is
used moves), hot (every hot set over every link), sorts and stress (as the paper's). Without options it
takes half an hour; with --full, hours. A claim that fails where others disturbed every run is marked
NOISE. Links with a rate need root and iproute2. SKIFF=PATH names another binary to measure.")]
struct Args {
    /// every cell instead of the most telling ones
    #[argh(switch)]
    full: bool,

    /// a way to move, as NAME:OPTIONS with options of `skiff migrate`; may be repeated
    #[argh(option, arg_name = "NAME:OPTIONS")]
    column: Vec<Column>,

    /// moves, sizes, sparse, hot, sorts or stress; may be repeated (default: all)
    #[argh(option)]
    suite: Vec<Suite>,

    /// workload of the moves: seq-write, seq-read, random, zipf, chase or quicksort:PROCS; may be repeated
    #[argh(option)]
    workload: Vec<Workload>,

    /// pace of the moves: full or pages per second; may be repeated
    #[argh(option)]
    pace: Vec<Pace>,

    /// loopback, or a rate such as 1G or 100M; may be repeated
    #[argh(option)]
    link: Vec<LinkKind>,

    /// size of the VM of the moves in MiB (default 1024)
    #[argh(option, default = "1024")]
    memory_mib: u32,

    /// what its guest works on, in MiB (default 256)
    #[argh(option, default = "256")]
    hot_mib: u32,

    /// runs of each cell and column that nobody else disturbs (default 3, with --full 10)
    #[argh(option)]
    runs: Option<usize>,

    /// how often as many runs are tried at most, because others disturb some (default 2)
    #[argh(option, default = "2")]
    tries: usize,

    /// how long a run may wait for a quiet machine, in seconds (default 20)
    #[argh(option, default = "20")]
    patience: u64,

    /// also write everything to this file, as JSON
    #[argh(option)]
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    exit_code("bench-migrate", run(argh::from_env()))
}

fn run(args: Args) -> Result<(), BenchError> {
    let signals = Signals::block()
        .map_err(std::io::Error::other)
        .map_err(BenchError::system("receive signals"))?;
    let interrupt = Interrupt::new(signals);
    let extent = if args.full {
        Extent::Full
    } else {
        Extent::Small
    };
    let selection = Selection {
        extent,
        suites: args.suite,
        workloads: args.workload,
        paces: args.pace,
        links: args.link,
        memory_mib: args.memory_mib,
        hot_mib: args.hot_mib,
    };
    let usual_runs = match extent {
        Extent::Small => 3,
        Extent::Full => 10,
    };
    let plan = Plan {
        cells: selection.cells(),
        extent,
        columns: args.column,
        runs: args.runs.unwrap_or(usual_runs).max(1),
        tries: args.tries.max(1),
        patience: Duration::from_secs(args.patience),
    };
    let results = measure(&plan, &interrupt)?;
    print(&results);
    if let Some(path) = args.out {
        results::write(&path, &results.json())?;
    }
    if results.interrupted {
        return Err(BenchError::Interrupted);
    }
    Ok(())
}
