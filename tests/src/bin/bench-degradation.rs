//! `bench-degradation`: what moves do to an application.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use ::tests::bench::degradation::{Application, LINK_MBIT, columns, course, repeated};
use ::tests::bench::{Ground, results};
use ::tests::harness::{Network, exit_code, remove_on_signal};
use argh::FromArgs;
use serde_json::json;

/// Says what an application feels of its VM's moves: over time, and in how much longer its work takes while the
/// VM moves again and again.
#[derive(FromArgs)]
#[argh(note = "\
The guest is the probe, in the place of the paper's web server, kernel build, file sharing and sender: it has
as many pages as they had, 512 MiB of memory, and works on them or sends at 500 Mb/s. It moves by post-copy and by
pre-copy between two network namespaces, whose links have 1 Gb/s for guest and monitor together. It takes
root, and two minutes, with --full half an hour.")]
struct Args {
    /// four sizes of the VM and ten moves, instead of 512 MiB and one
    #[argh(switch)]
    full: bool,

    /// also write everything to this file, as JSON
    #[argh(option)]
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    exit_code("bench-degradation", run(&argh::from_env()))
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    remove_on_signal()?;
    if let Some(obstacle) = Network::obstacle() {
        println!("nothing is measured: {obstacle}");
        return Ok(());
    }
    let ground = Ground::new(Some(LINK_MBIT))?;
    let mut courses = Vec::new();
    for application in Application::ALL {
        for column in columns() {
            let course = course::measure(&ground, application, &column)?;
            eprintln!("{application}, {column}: {} ms", course["total_ms"]);
            courses.push(course);
        }
    }
    let (sizes_mib, moves): (&[u32], usize) = if args.full {
        (&[128, 256, 512, 1024], 10)
    } else {
        (&[512], 1)
    };
    println!(
        "{:12} {:>10} {:12} {:>6} {:>12} {:>12} {:>12}",
        "application", "memory MiB", "how", "moves", "alone /s", "moved /s", "longer by %"
    );
    let mut rows = Vec::new();
    for application in Application::REPEATED {
        for &memory_mib in sizes_mib {
            for column in columns() {
                let row = repeated::measure(&ground, (application, memory_mib), &column, moves)?;
                println!(
                    "{:12} {:>10} {:12} {:>6} {:>12.0} {:>12.0} {:>12.1}",
                    row.application,
                    row.memory_mib,
                    row.column,
                    row.moves,
                    row.alone_per_s,
                    row.moved_per_s,
                    row.slowdown_percent
                );
                rows.push(row);
            }
        }
    }
    if let Some(path) = &args.out {
        let mut json = results::header("degradation");
        json["courses"] = json!(courses);
        json["repeated"] = json!(rows);
        results::write(path, &json)?;
    }
    Ok(())
}
