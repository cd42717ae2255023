//! What memory does each of 50 copies of a snapshot take beyond what all of them share?
//!
//! The guest only reads, so that it dirties next to nothing, and all private memory counts against the
//! monitor.

use std::fs;
use std::path::Path;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use super::Findings;
use super::guest::{Guest, PATIENCE, ms, save};
use crate::bench::BenchError;
use crate::bench::noise::Watch;
use crate::bench::verdict::Bound;
use crate::count::to_f64;
use crate::harness::{Host, Process};

const COPIES: u32 = 50;

/// What each copy reads.
const SET_MIB: u64 = 64;

/// The most that a copy may take for itself, in MiB.
const MOST_MIB: f64 = 5.0;

const PRIVATE: &str = "private and dirty, worst copy";

/// Makes all copies, asks each, and ends them, once a run.
///
/// # Errors
/// A copy does not come or does not answer.
pub fn measure(runs: usize) -> Result<Findings, BenchError> {
    let mut findings = Findings::default();
    let host = Host::new()?;
    let directory = host.runtime().join("snapshot");
    let guest = Guest {
        memory: "256M",
        set_kib: SET_MIB << 10,
        words: "workload=seq-read rate=100",
        filled_pages: 0,
    };
    save(&mut guest.boot(&host)?, &directory)?;
    for _ in 0..runs {
        let watch = Watch::begin()?;
        run(&host, &directory, &mut findings)?;
        findings.heard(watch.end()?);
    }
    let median = findings.median(PRIVATE);
    findings.hold("median, MiB", PRIVATE, median, Bound::AtMost(MOST_MIB));
    Ok(findings)
}

fn run(host: &Host, directory: &Path, findings: &mut Findings) -> Result<(), BenchError> {
    let began = Instant::now();
    let mut copies = Copies::start(host, directory)?;
    let output = copies.parent.output().clone();
    output.wait("copies are ready", PATIENCE)?;
    findings.note("all are ready", "ms", ms(began.elapsed()));
    let mut memory = Vec::new();
    for name in names() {
        memory.push(Memory::of(host, &name)?);
    }
    findings.note("all have answered", "ms", ms(began.elapsed()));
    copies.end()?;
    let kib = |kib: u64| to_f64(kib) / 1024.0;
    let worst = memory.iter().map(|one| one.private_dirty_kib).max();
    findings.note(PRIVATE, "MiB", kib(worst.unwrap_or(0)));
    let share: u64 = memory.iter().map(|one| one.pss_kib).sum();
    findings.note(
        "proportional share, mean copy",
        "MiB",
        kib(share) / f64::from(COPIES),
    );
    Ok(())
}

fn names() -> impl Iterator<Item = String> {
    (1..=COPIES).map(|number| format!("copy-{number}"))
}

/// The process that makes the copies. They are processes of its own, which outlive it when it is
/// killed; so it is told to end, whatever happens.
struct Copies {
    parent: Process,
}

impl Copies {
    fn start(host: &Host, directory: &Path) -> Result<Self, BenchError> {
        let count = COPIES.to_string();
        let directory = directory.to_string_lossy();
        let words = [
            "restore",
            &directory,
            "--name",
            "copy",
            "--clones",
            &count,
            "--memory-mode",
            "mapped",
        ];
        Ok(Self {
            parent: Process::skiff(host.runtime(), &words)?,
        })
    }

    fn end(&mut self) -> Result<(), BenchError> {
        self.tell_to_end();
        Ok(self.parent.succeed(PATIENCE)?)
    }

    fn tell_to_end(&self) {
        let pid = i32::try_from(self.parent.pid());
        if let Some(pid) = pid.ok().and_then(Pid::from_raw) {
            // Nobody has waited for it, so the number is still its.
            let _ = kill_process(pid, Signal::TERM);
        }
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        if self.parent.is_running() {
            self.tell_to_end();
            let _ = self.parent.wait(PATIENCE);
        }
    }
}

/// What `smaps_rollup` says of a process (proc_pid_smaps(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Memory {
    private_dirty_kib: u64,
    pss_kib: u64,
}

impl Memory {
    /// Asks the copy who it is, and the kernel what it takes.
    fn of(host: &Host, name: &str) -> Result<Self, BenchError> {
        let told = host.command(&["info", name, "--json"])?;
        let lacks = |what, text| BenchError::Lacks { what, text };
        let info: serde_json::Value = serde_json::from_str(&told).unwrap_or_default();
        let Some(pid) = info["pid"].as_u64().filter(|_| info["state"] == "running") else {
            return Err(lacks("running copy", told));
        };
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
            .map_err(BenchError::system("read smaps_rollup"))?;
        Self::parse(&text).ok_or_else(|| lacks("private memory", text))
    }

    fn parse(text: &str) -> Option<Self> {
        let kib = |key: &str| {
            let mut lines = text.lines();
            let rest = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
            rest.trim().strip_suffix(" kB")?.parse().ok()
        };
        Some(Self {
            private_dirty_kib: kib("Private_Dirty")?,
            pss_kib: kib("Pss")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_a_process_is_read_from_the_rollup_of_its_mappings() {
        let text = "55d0-7ffd ---p 00000000 00:00 0    [rollup]\n\
                    Rss:   11000 kB\nPss:    1200 kB\nPss_Dirty:  900 kB\n\
                    Private_Clean:  4 kB\nPrivate_Dirty:     880 kB\n";
        let memory = Memory::parse(text).unwrap();
        assert_eq!((memory.private_dirty_kib, memory.pss_kib), (880, 1200));
        assert_eq!(Memory::parse("Pss: 1200 kB\n"), None);
    }
}
