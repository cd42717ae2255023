//! `bench-peers`: what a move costs on skiff and on QEMU, in the same run.

use std::path::PathBuf;
use std::process::ExitCode;

use ::tests::bench::link::{self, Link};
use ::tests::bench::peers::{Contest, cells, print};
use ::tests::bench::run::{Interrupt, Mover, ReceiverOptions};
use ::tests::bench::{BenchError, Extent, LinkKind, results};
use ::tests::harness::{exit_code, qemu_version};
use argh::FromArgs;
use serde_json::json;
use vmm::console::Signals;

/// Moves the same guest on skiff and on QEMU, in turns, over loopback and 1 Gb/s, and says what each move cost
/// and which claims hold.
#[derive(FromArgs)]
#[argh(note = "\
The guest is the probe with 1 GiB, of which it works on 256 MiB; QEMU is the one that the search path has, its
machine microvm. QEMU is given up on where a move takes longer than 10 s. Time blocked is what the kernel
says that vCPUs waited for pages, by looks a millisecond apart; downtime of QEMU is the time between its own
events STOP at the source and RESUME at the destination. A round takes two minutes, with --full seven. The link
with 1 Gb/s needs root and iproute2; without, it is left out.")]
struct Args {
    /// sequential, random and Zipf's, at full speed and paced, instead of the two that tell most
    #[argh(switch)]
    full: bool,

    /// rounds (default 3)
    #[argh(option, default = "3")]
    rounds: usize,

    /// loopback or 1G; may be repeated (default: both)
    #[argh(option)]
    link: Vec<LinkKind>,

    /// also write everything to this file, as JSON
    #[argh(option)]
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    exit_code("bench-peers", run(&argh::from_env()))
}

fn run(args: &Args) -> Result<(), BenchError> {
    let signals = Signals::block()
        .map_err(std::io::Error::other)
        .map_err(BenchError::system("receive signals"))?;
    let interrupt = Interrupt::new(signals);
    let version = qemu_version().ok_or(BenchError::NoPeer)?;
    println!("beside {version}");
    let extent = if args.full {
        Extent::Full
    } else {
        Extent::Small
    };
    link::sweep();
    let receiver = ReceiverOptions::ask()?;
    let mut contests = Vec::new();
    for kind in [LinkKind::Loopback, LinkKind::GIGABIT] {
        if !args.link.is_empty() && !args.link.contains(&kind) {
            continue;
        }
        if kind != LinkKind::Loopback
            && let Err(error) = link::check_rig()
        {
            println!("nothing is measured over {kind}: {error}");
            continue;
        }
        let link = Link::new(kind)?;
        let of_link = cells(extent).into_iter().filter(|cell| cell.link == kind);
        let mut here: Vec<_> = of_link.map(Contest::new).collect();
        let mover = Mover {
            link: &link,
            receiver: &receiver,
            interrupt: &interrupt,
        };
        for _ in 0..args.rounds.max(1) {
            for contest in &mut here {
                contest.round(&mover)?;
            }
        }
        contests.append(&mut here);
    }
    print(&contests);
    if let Some(path) = &args.out {
        let mut json = results::header("peers");
        json["qemu"] = json!(version);
        json["contests"] = contests.iter().map(Contest::json).collect();
        let verdicts: Vec<_> = contests.iter().flat_map(Contest::verdicts).collect();
        json["verdicts"] = json!(verdicts);
        let shortfalls = contests.iter().flat_map(Contest::shortfalls);
        json["shortfalls"] = json!(shortfalls.collect::<Vec<_>>());
        results::write(path, &json)?;
    }
    Ok(())
}
