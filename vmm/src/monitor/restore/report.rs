//! The account of a resume, as it is told to people and programs.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use migration::snapshot::Snapshot;
use serde::Serialize;

use super::choice::Choice;
use crate::config::MemoryMode;
use crate::host;
use crate::machine::Wish;

/// Version of the report.
const SCHEMA: u32 = 1;

/// What is known so far.
#[derive(Debug)]
pub(super) struct Record {
    began: Instant,
    choice: Choice,
    identity: String,
    pages: u64,
    total_pages: u64,
    /// What is printed when the VM is ready.
    ready: String,
    state_load: Duration,
    first_instruction: Option<Duration>,
}

/// What became of the memory that came after the guest ran.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Filling {
    /// Until all that was to be there ahead of demand was there.
    pub(super) prefetch: Option<Duration>,
    /// Pages that were to be.
    pub(super) prefetch_pages: u64,
    /// Pages that the guest had to wait for.
    pub(super) faults: u64,
    /// The median of how long, in us.
    pub(super) fault_p50_us: f64,
    /// The 99th percentile.
    pub(super) fault_p99_us: f64,
    /// Until all of it was there.
    pub(super) fill: Option<Duration>,
}

/// The report.
#[derive(Debug, Serialize)]
struct RestoreReport<'a> {
    schema: u32,
    snapshot: &'a str,
    memory_mode: MemoryMode,
    memory_mode_reason: &'static str,
    /// From the start of the process until the state was restored.
    state_load_ms: f64,
    /// From the start of the process until the vCPUs ran; null if the VM is paused.
    first_instruction_ms: Option<f64>,
    /// From then until the pages were there that come ahead of demand; null if none do.
    prefetch_ms: Option<f64>,
    prefetch_pages: u64,
    /// From then until all memory was there; null if it was before, or is not copied.
    fill_ms: Option<f64>,
    /// Pages that the guest had to wait for.
    faults: u64,
    fault_us: FaultUs,
    /// Pages that the snapshot has.
    pages: u64,
    /// Pages of the VM.
    total_pages: u64,
    resident_bytes: u64,
}

#[derive(Debug, Serialize)]
struct FaultUs {
    p50: f64,
    p99: f64,
}

impl Record {
    /// Begins when the process does.
    pub(super) fn new(began: Instant, choice: Choice, snapshot: &Snapshot, ready: String) -> Self {
        Self {
            began,
            choice,
            identity: snapshot.identity().to_string(),
            pages: snapshot.memory().present().count(),
            total_pages: snapshot.memory().pages(),
            ready,
            state_load: Duration::ZERO,
            first_instruction: None,
        }
    }

    /// The state is restored: the VM has its place, and is about to run. Says so on standard output,
    /// before the guest can write there.
    pub(super) fn loaded(&mut self) {
        self.state_load = self.began.elapsed();
        let mut stdout = io::stdout().lock();
        let written = stdout
            .write_all(self.ready.as_bytes())
            .and_then(|()| stdout.flush());
        if let Err(error) = written {
            log::warn!("cannot say on standard output that the VM is ready: {error}");
        }
    }

    /// The machine was started, and its vCPUs run if that was the wish.
    pub(super) fn started(&mut self, wish: Wish) {
        self.first_instruction = (wish == Wish::Running).then(|| self.began.elapsed());
    }

    /// Writes the report to a file, or to standard output if its path is `-`. If that fails, it says so:
    /// the VM runs.
    pub(super) fn write(&self, path: Option<&Path>, filling: Filling) {
        let Some(path) = path else { return };
        let Filling {
            prefetch,
            prefetch_pages,
            faults,
            fault_p50_us,
            fault_p99_us,
            fill,
        } = filling;
        let report = RestoreReport {
            schema: SCHEMA,
            snapshot: &self.identity,
            memory_mode: self.choice.mode,
            memory_mode_reason: self.choice.reason,
            state_load_ms: ms(self.state_load),
            first_instruction_ms: self.first_instruction.map(ms),
            prefetch_ms: prefetch.map(ms),
            prefetch_pages,
            fill_ms: fill.map(ms),
            faults,
            fault_us: FaultUs {
                p50: fault_p50_us,
                p99: fault_p99_us,
            },
            pages: self.pages,
            total_pages: self.total_pages,
            resident_bytes: host::resident_bytes().unwrap_or(0),
        };
        let mut text = serde_json::to_string_pretty(&report).expect("a report is plain data");
        text.push('\n');
        let written = if path == Path::new("-") {
            io::stdout().write_all(text.as_bytes())
        } else {
            fs::write(path, text)
        };
        if let Err(error) = written {
            log::warn!("cannot write the report to `{}`: {error}", path.display());
        }
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
