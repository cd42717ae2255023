//! What one run showed, and what several runs of one cell and column show together.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::cell::Cell;
use super::column::Column;
use super::guest::{GuestCost, GuestView};
use super::noise::Noise;
use super::statistics::Spread;
use super::vcpu::VcpuTimes;
use super::{BenchError, guest};
use crate::harness::contradiction;

#[cfg(test)]
mod tests;

/// Rates before and after a quiet run differ by less than this share of the greater. Our choice: because
/// they do by a twentieth on a machine that does nothing else.
const RATE_TOLERANCE: f64 = 0.15;

/// One move. Times are in the units of their names.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sample {
    /// Mode and pre-paging as the report names them: what was asked for may leave them open.
    pub mode: String,
    /// As above.
    pub prepaging: String,
    /// From the start to the pause.
    pub preparation_ms: f64,
    /// From the call to pause until the guest runs again.
    pub downtime_ms: f64,
    /// What it went to; adds up to it.
    pub downtime_parts_ms: BTreeMap<String, f64>,
    /// From then until nothing depends on the source.
    pub resume_ms: f64,
    /// The sum of the three.
    pub total_ms: f64,
    /// Network faults.
    pub faults: f64,
    /// Pages that were waited for and on their way already.
    pub underway: f64,
    /// Their latency, median.
    pub fault_p50_us: f64,
    /// 99th percentile.
    pub fault_p99_us: f64,
    /// The longest one.
    pub fault_max_us: f64,
    /// Their number times their mean latency: what vCPUs waited, as the monitor sees it.
    pub blocked_ms: f64,
    /// The same as the kernel sees it, by looks a millisecond apart.
    pub vcpu_blocked_ms: Option<f64>,
    /// How long the vCPU waited for a processor meanwhile.
    pub vcpu_queued_ms: Option<f64>,
    /// How long it ran in the host's kernel.
    pub vcpu_kernel_ms: Option<f64>,
    /// Bytes on the wire.
    pub wire_bytes: f64,
    /// Pages whose content went over it.
    pub transferred_pages: f64,
    /// Those that were sent because a fault asked for them, and were not on their way.
    pub demanded_pages: f64,
    /// Pages that arrived although they were there.
    pub duplicate_pages: f64,
    /// The longest run of pages that went together.
    pub largest_push_bytes: f64,
    /// Rounds of pre-copy.
    pub rounds: usize,
    /// What the guest felt.
    #[serde(flatten)]
    pub cost: GuestCost,
    /// The guest's records, for whoever wants to draw them.
    pub guest: GuestView,
    /// What else the machine did.
    pub noise: Noise,
}

impl Sample {
    /// Reads the report of a move that completed.
    ///
    /// # Errors
    /// It did not complete, contradicts itself or lacks a field that `cli.md` promises, or the guest said too little.
    pub fn new(
        report: &Value,
        guest: GuestView,
        vcpu: Option<VcpuTimes>,
        noise: Noise,
    ) -> Result<Self, BenchError> {
        let text = |name: &str| report[name].as_str().unwrap_or("unknown").to_owned();
        check_moved(report)?;
        if let Some(contradiction) = contradiction(report) {
            return Err(BenchError::Contradiction { contradiction });
        }
        let number = |path: &'static str| number_in(report, path);
        let faults = number("/faults/network")?;
        let underway = number("/faults/underway")?;
        let cost = guest.weigh()?;
        Ok(Self {
            mode: text("mode"),
            prepaging: text("prepaging"),
            preparation_ms: number("/preparation_ms")?,
            downtime_ms: number("/downtime_ms")?,
            downtime_parts_ms: parts_of(&report["downtime_parts_ms"]),
            resume_ms: number("/resume_ms")?,
            total_ms: number("/total_ms")?,
            faults,
            underway,
            fault_p50_us: number("/faults/latency_us/p50")?,
            fault_p99_us: number("/faults/latency_us/p99")?,
            fault_max_us: number("/faults/latency_us/max")?,
            blocked_ms: (faults + underway) * number("/faults/latency_us/mean")? / 1e3,
            vcpu_blocked_ms: vcpu.map(|times| times.blocked_ms),
            vcpu_queued_ms: vcpu.map(|times| times.queued_ms),
            vcpu_kernel_ms: vcpu.map(|times| times.kernel_ms),
            wire_bytes: number("/wire_bytes/total")?,
            transferred_pages: number("/pages/transferred")?,
            demanded_pages: number("/pages/demanded")?,
            duplicate_pages: number("/pages/duplicate")?,
            largest_push_bytes: number("/largest_push_bytes")?,
            rounds: report["rounds"].as_array().map_or(0, Vec::len),
            cost,
            guest,
            noise,
        })
    }

    /// Whether the run had the machine to itself, as far as the machine and the guest can tell: a guest
    /// whose undisturbed rate is not the same before and after does not know what it lost.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let (before, after) = (self.cost.rate_before, self.cost.rate_after);
        let steady = (before - after).abs() <= RATE_TOLERANCE * before.max(after);
        self.noise.is_quiet() && steady
    }

    /// Work lost as a share of the work of an undisturbed guest during the move, in percent.
    #[must_use]
    pub fn lost_percent(&self) -> Option<f64> {
        self.cost
            .lost_s
            .map(|lost_s| lost_s * 1e5 / self.total_ms.max(1.0))
    }

    /// Content that went over the wire.
    #[must_use]
    pub fn content_bytes(&self) -> f64 {
        self.transferred_pages * f64::from(guest::PAGE_BYTES)
    }
}

/// Whether the move completed of which this is the report.
pub(super) fn check_moved(report: &Value) -> Result<(), BenchError> {
    let text = |name: &str| report[name].as_str().unwrap_or("unknown").to_owned();
    let outcome = text("outcome");
    if outcome == "completed" {
        return Ok(());
    }
    let reason = text("reason");
    Err(BenchError::NotMoved { outcome, reason })
}

/// The number at a place of a report.
pub(super) fn number_in(report: &Value, path: &'static str) -> Result<f64, BenchError> {
    let number = report.pointer(path).and_then(Value::as_f64);
    number.ok_or_else(|| BenchError::Lacks {
        what: path,
        text: report.to_string(),
    })
}

fn parts_of(parts: &Value) -> BTreeMap<String, f64> {
    let parts = parts.as_object().into_iter().flatten();
    parts
        .filter_map(|(name, part)| Some((name.clone(), part.as_f64()?)))
        .collect()
}

/// All runs of one cell and column.
#[derive(Debug, Clone)]
pub struct Summary {
    /// What moved.
    pub cell: Cell,
    /// How.
    pub column: Column,
    /// Runs that completed.
    pub samples: Vec<Sample>,
    /// Why the others did not.
    pub failures: Vec<String>,
}

impl Summary {
    /// Nothing has run yet.
    #[must_use]
    pub fn new(cell: Cell, column: Column) -> Self {
        Self {
            cell,
            column,
            samples: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// The runs that count: the quiet ones, or all if none was quiet.
    pub fn counted(&self) -> impl Iterator<Item = &Sample> {
        let any_quiet = self.quiet() > 0;
        self.samples
            .iter()
            .filter(move |sample| !any_quiet || sample.is_quiet())
    }

    /// How many runs had the machine to themselves.
    #[must_use]
    pub fn quiet(&self) -> usize {
        let quiet = |sample: &&Sample| sample.is_quiet();
        self.samples.iter().filter(quiet).count()
    }

    /// The spread of a number over the runs that count and have it.
    pub fn spread(&self, number: impl Fn(&Sample) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.counted().filter_map(number))
    }

    /// The median of a number that every run has.
    pub fn median(&self, number: impl Fn(&Sample) -> f64) -> Option<f64> {
        self.spread(|sample| Some(number(sample)))
            .map(|spread| spread.median)
    }

    /// Whether all runs were made in this mode.
    #[must_use]
    pub fn ran_in(&self, mode: &str) -> bool {
        !self.samples.is_empty() && self.samples.iter().all(|sample| sample.mode == mode)
    }

    /// Whether all runs chose pages in this way.
    #[must_use]
    pub fn prepaged_by(&self, prepaging: &str) -> bool {
        !self.samples.is_empty()
            && self
                .samples
                .iter()
                .all(|sample| sample.prepaging == prepaging)
    }
}
