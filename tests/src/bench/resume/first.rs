//! How long from the start of the process to the guest's first instruction, and to the first thing it
//! says?

use std::process::{Command, Stdio};
use std::time::Instant;

use super::guest::{Guest, MIB_PAGES, PATIENCE, ms, resume, save};
use super::{EAGER, FETCHED, Findings, LAZY, MAPPED};
use crate::bench::BenchError;
use crate::bench::host_memory;
use crate::bench::noise::Watch;
use crate::bench::sample::number_in;
use crate::bench::verdict::Bound;
use crate::harness::{Host, VmProcess};

/// Sizes of the guests.
const SIZES: [&str; 4] = ["256M", "1G", "4G", "8G"];

/// What each of them has used.
const USED_PAGES: u64 = 64 * MIB_PAGES;

/// More than such a guest and its monitor take of the host.
const NEEDED_MIB: u32 = 256;

/// What it works on: so little that it hardly ever does anything else but to say so.
const SET_KIB: u64 = 64;

/// Digests asked for before the snapshot. Our choice: because a guest needs a second or more for them,
/// it is saved while it talks, and goes on talking at once.
const DIGESTS: usize = 20_000;

/// The most that it may take, in ms.
const MOST_MS: f64 = 10.0;

/// Resumes each size in each mode once a run.
///
/// # Errors
/// A guest fails.
pub fn measure(runs: usize) -> Result<Findings, BenchError> {
    let mut findings = Findings::default();
    let host = Host::new()?;
    let mut saved = Vec::new();
    for size in SIZES {
        let directory = host.runtime().join(size);
        let mut vm = talking(&host, size)?;
        save(&mut vm, &directory)?;
        saved.push((size, directory));
    }
    let modes = [LAZY, MAPPED, EAGER];
    for _ in 0..runs {
        let watch = Watch::begin()?;
        findings.note("an empty process", "ms", empty_process()?);
        for (size, directory) in &saved {
            for mode in modes {
                let fetched = host_memory::fetch(NEEDED_MIB)?;
                findings.note(FETCHED, "ms", ms(fetched));
                let resumed = resume(&host, directory, &mode)?;
                // The first line says that the VM is ready.
                resumed.vm.skiff.output().wait_from(1, "", PATIENCE)?;
                let line = ms(resumed.began.elapsed());
                let report = resumed.report(&host, &mode)?;
                let first = number_in(&report, "/first_instruction_ms")?;
                findings.note(&instruction(size, mode), "ms", first);
                findings.note(&format!("{size} {}: first line", mode[1]), "ms", line);
                resumed.end()?;
            }
        }
        findings.heard(watch.end()?);
    }
    for size in SIZES {
        for mode in [LAZY, MAPPED] {
            let what = instruction(size, mode);
            let median = findings.median(&what);
            findings.hold("median, ms", &what, median, Bound::AtMost(MOST_MS));
        }
    }
    Ok(findings)
}

fn instruction(size: &str, mode: [&str; 2]) -> String {
    format!("{size} {}: first instruction", mode[1])
}

/// A guest that says one line after the other.
fn talking(host: &Host, size: &str) -> Result<VmProcess, BenchError> {
    let guest = Guest {
        memory: size,
        set_kib: SET_KIB,
        words: "workload=seq-read rate=1",
        filled_pages: USED_PAGES,
    };
    let mut vm = guest.boot(host)?;
    vm.skiff.type_text(&"d".repeat(DIGESTS))?;
    vm.wait_output("probe: digest=")?;
    Ok(vm)
}

fn empty_process() -> Result<f64, BenchError> {
    let began = Instant::now();
    Command::new("true")
        .stdout(Stdio::null())
        .status()
        .map_err(BenchError::system("run `true`"))?;
    Ok(ms(began.elapsed()))
}
