//! Who moves how, what it cost in each round, and whether that is what we claim.

#[cfg(test)]
mod tests;

use std::fmt;

use serde::Serialize;

use super::metric::{METRICS, Metric, Moves};
use super::qemu::{self, Way};
use crate::bench::cell::{Cell, LinkKind, Pace, Workload};
use crate::bench::column::Column;
use crate::bench::matrix::{Extent, Suite};
use crate::bench::noise::{Noise, Watch};
use crate::bench::run::Mover;
use crate::bench::table::print_verdicts;
use crate::bench::verdict::{Bound, Verdict};
use crate::bench::{BenchError, Sample, Spread};
use crate::count::to_f64;

/// What a move cost, as far as every monitor says it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cost {
    /// From the start until nothing depends on the source.
    pub total_ms: f64,
    /// While the guest ran nowhere; `None` if the monitor does not say.
    pub downtime_ms: Option<f64>,
    /// What was sent.
    pub wire_bytes: f64,
    /// Pages or runs of pages that were asked for.
    pub requests: f64,
    /// Pages that were waited for, those included that were on their way; `None` if the monitor does not say.
    pub waits: Option<f64>,
    /// The longest wait for one; `None` if the monitor does not say.
    pub longest_wait_ms: Option<f64>,
    /// How long the vCPU waited for pages at the destination, as the kernel sees it.
    pub blocked_ms: Option<f64>,
    /// How long it could have run there and did not, because others had the processors.
    pub queued_ms: Option<f64>,
    /// How long it ran in the host's kernel there, which maps its pages.
    pub kernel_ms: Option<f64>,
    /// Time for which the guest would have had to work undisturbed to do what it did not do.
    pub lost_s: Option<f64>,
    /// The longest time in which it made no step.
    pub longest_stall_ms: f64,
    /// What else the machine did.
    pub noise: Noise,
}

impl From<Sample> for Cost {
    fn from(sample: Sample) -> Self {
        Self {
            total_ms: sample.total_ms,
            downtime_ms: Some(sample.downtime_ms),
            wire_bytes: sample.wire_bytes,
            requests: sample.faults,
            waits: Some(sample.faults + sample.underway),
            longest_wait_ms: Some(sample.fault_max_us / 1e3),
            blocked_ms: sample.vcpu_blocked_ms,
            queued_ms: sample.vcpu_queued_ms,
            kernel_ms: sample.vcpu_kernel_ms,
            lost_s: sample.cost.lost_s,
            longest_stall_ms: sample.cost.longest_stall_ms,
            noise: sample.noise,
        }
    }
}

/// Who moves a VM.
#[derive(Debug, Clone)]
enum Contestant {
    Skiff(Column),
    Qemu(Way),
}

impl Contestant {
    /// Ours first: post-copy, and as the VM itself chooses.
    fn all() -> [Self; 5] {
        let column = |text: &str| text.parse().expect("a name and options");
        [
            Self::Skiff(column("skiff post-copy:--mode post-copy")),
            Self::Skiff(column("skiff auto:--mode auto")),
            Self::Qemu(Way::PreCopy),
            Self::Qemu(Way::PostCopy),
            Self::Qemu(Way::Preempt),
        ]
    }

    fn run(&self, mover: &Mover<'_>, cell: &Cell, watch: Watch) -> Result<Cost, BenchError> {
        match self {
            Self::Skiff(column) => mover.run(cell, column, watch).map(Cost::from),
            Self::Qemu(way) => qemu::run(mover, cell, *way, watch),
        }
    }
}

impl fmt::Display for Contestant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skiff(column) => column.fmt(f),
            Self::Qemu(way) => way.fmt(f),
        }
    }
}

/// What became of a move; a reason if it failed.
type Outcome = Result<Cost, String>;

/// All rounds of one guest over one link.
#[derive(Debug)]
pub struct Contest {
    /// The guest and the link.
    pub cell: Cell,
    entries: Vec<(Contestant, Vec<Outcome>)>,
}

/// A claim that does not hold.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Shortfall {
    /// What was claimed.
    pub claim: &'static str,
    /// Of which guest and link, against which way of QEMU's.
    pub subject: String,
    /// Why, if the moves say so.
    pub reason: Option<String>,
}

/// Why a claim does not hold that holds for some of the rounds.
const DIFFERENT_ROUNDS: &str =
    "in some of the rounds it does, which differ by more than is missing";

/// One number of ours by one of QEMU's.
struct Comparison<'a> {
    metric: &'static Metric,
    subject: String,
    /// Ours and QEMU's of each round in which both have the number.
    moves: Vec<Moves<'a>>,
    ratio: Spread,
}

/// The guests and links.
#[must_use]
pub fn cells(extent: Extent) -> Vec<Cell> {
    let (workloads, paces): (&[_], &[_]) = match extent {
        Extent::Small => (&[Workload::SeqWrite, Workload::Random], &[Pace::Full]),
        Extent::Full => (
            &[Workload::SeqWrite, Workload::Random, Workload::Zipf],
            &[Pace::Full, Pace::PagesPerS(20_000)],
        ),
    };
    let links = [LinkKind::Loopback, LinkKind::GIGABIT];
    let mut cells = Vec::new();
    for link in links {
        for &workload in workloads {
            for &pace in paces {
                cells.push(Cell {
                    suite: Suite::Moves,
                    workload,
                    pace,
                    link,
                    memory_mib: 1024,
                    hot_mib: 256,
                });
            }
        }
    }
    cells
}

impl Contest {
    /// Nobody has moved yet.
    #[must_use]
    pub fn new(cell: Cell) -> Self {
        let entries = Contestant::all().map(|contestant| (contestant, Vec::new()));
        Self {
            cell,
            entries: entries.into(),
        }
    }

    /// Lets each move the guest once; who comes first changes from round to round.
    ///
    /// # Errors
    /// The user wants no more. A move that fails is part of the results.
    pub fn round(&mut self, mover: &Mover<'_>) -> Result<(), BenchError> {
        let count = self.entries.len();
        let first = self.entries[0].1.len() % count;
        for turn in 0..count {
            let (contestant, costs) = &mut self.entries[(first + turn) % count];
            let cost = contestant.run(mover, &self.cell, Watch::begin()?);
            mover.interrupt.check()?;
            let cost = cost.map_err(|error| error.to_string());
            match &cost {
                Ok(cost) => eprintln!("{} {contestant}: {:.0} ms", self.cell, cost.total_ms),
                Err(error) => eprintln!("{} {contestant}: {error}", self.cell),
            }
            costs.push(cost);
        }
        Ok(())
    }

    /// As JSON: every single move.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let entries = self.entries.iter().map(|(contestant, costs)| {
            let failures: Vec<_> = costs
                .iter()
                .filter_map(|cost| cost.as_ref().err())
                .collect();
            let costs: Vec<_> = costs.iter().map(|cost| cost.as_ref().ok()).collect();
            serde_json::json!({
                "contestant": contestant.to_string(),
                "moves": costs,
                "failures": failures,
            })
        });
        serde_json::json!({
            "workload": self.cell.workload.to_string(),
            "pace": self.cell.pace.to_string(),
            "link": self.cell.link.to_string(),
            "memory_mib": self.cell.memory_mib,
            "hot_mib": self.cell.hot_mib,
            "entries": entries.collect::<Vec<_>>(),
        })
    }

    /// Our post-copy against either of QEMU's.
    fn comparisons(&self) -> Vec<Comparison<'_>> {
        let [(_, ours), _, _, theirs @ ..] = &self.entries[..] else {
            return Vec::new();
        };
        let mut comparisons = Vec::new();
        for (way, theirs) in theirs {
            for metric in &METRICS {
                let ratio = |(ours, theirs): &(&Cost, &Cost)| {
                    let theirs = (metric.number)(theirs).filter(|&number| number > metric.least)?;
                    Some((metric.number)(ours)? / theirs)
                };
                let pairs = ours.iter().zip(theirs).filter_map(both);
                let moves: Vec<_> = pairs.filter(|pair| ratio(pair).is_some()).collect();
                let ratio = Spread::of(moves.iter().filter_map(ratio));
                comparisons.extend(ratio.map(|ratio| Comparison {
                    metric,
                    subject: format!("{}, {way}", self.cell),
                    moves,
                    ratio,
                }));
            }
        }
        comparisons
    }

    /// Where what is claimed against QEMU does not hold, and why.
    #[must_use]
    pub fn shortfalls(&self) -> Vec<Shortfall> {
        let comparisons = self.comparisons().into_iter();
        let short = comparisons.filter(|one| one.ratio.median > one.metric.limit);
        let shortfall = |one: Comparison<'_>| {
            let holds_at_times = one.ratio.min <= one.metric.limit;
            let reasons = [
                (one.metric.reason)(&one.moves, self.cell.link),
                holds_at_times.then(|| DIFFERENT_ROUNDS.to_owned()),
            ];
            let reasons: Vec<_> = reasons.into_iter().flatten().collect();
            Shortfall {
                claim: one.metric.claim,
                subject: one.subject,
                reason: (!reasons.is_empty()).then(|| reasons.join("; ")),
            }
        };
        short.map(shortfall).collect()
    }

    /// What is claimed of our post-copy against either of QEMU's, and of our own choice where QEMU's
    /// pre-copy does not end.
    #[must_use]
    pub fn verdicts(&self) -> Vec<Verdict> {
        let [_, (_, auto), (_, pre_copy), ..] = &self.entries[..] else {
            return Vec::new();
        };
        let verdict = |one: Comparison<'_>| {
            let is_quiet =
                |(ours, theirs): &(&Cost, &Cost)| ours.noise.is_quiet() && theirs.noise.is_quiet();
            Verdict {
                claim: one.metric.claim,
                subject: one.subject,
                measured: one.ratio.median,
                bound: Bound::AtMost(one.metric.limit),
                is_quiet: one.moves.iter().any(is_quiet),
            }
        };
        let mut verdicts: Vec<_> = self.comparisons().into_iter().map(verdict).collect();
        if !pre_copy.is_empty() && pre_copy.iter().all(Result::is_err) {
            let ended = auto.iter().filter(|cost| cost.is_ok()).count();
            verdicts.push(Verdict {
                claim: "moves that end, of those where QEMU's pre-copy does not",
                subject: self.cell.to_string(),
                measured: to_f64(ended as u64) / to_f64(auto.len() as u64),
                bound: Bound::AtLeast(1.0),
                is_quiet: true,
            });
        }
        verdicts
    }
}

/// A round in which both moved their guests.
fn both<'a>((ours, theirs): (&'a Outcome, &'a Outcome)) -> Option<(&'a Cost, &'a Cost)> {
    ours.as_ref().ok().zip(theirs.as_ref().ok())
}

/// Prints medians, and which claims hold.
pub fn print(contests: &[Contest]) {
    println!(
        "\n{:44} {:24} {:>5} {:>9} {:>8} {:>7} {:>10} {:>9} {:>9} {:>8} {:>9} {:>8}",
        "guest and link",
        "who",
        "moves",
        "total ms",
        "down ms",
        "lost s",
        "blocked ms",
        "queued ms",
        "kernel ms",
        "stall ms",
        "requests",
        "MiB sent"
    );
    for contest in contests {
        for (contestant, costs) in &contest.entries {
            let median = |number: fn(&Cost) -> Option<f64>, places: usize| {
                let numbers = costs.iter().filter_map(|cost| number(cost.as_ref().ok()?));
                Spread::of(numbers).map_or("-".to_owned(), |spread| {
                    format!("{:.places$}", spread.median)
                })
            };
            let ended = costs.iter().filter(|cost| cost.is_ok()).count();
            println!(
                "{:44} {:24} {:>5} {:>9} {:>8} {:>7} {:>10} {:>9} {:>9} {:>8} {:>9} {:>8}",
                contest.cell.to_string(),
                contestant.to_string(),
                format!("{ended}/{}", costs.len()),
                median(|cost| Some(cost.total_ms), 0),
                median(|cost| cost.downtime_ms, 1),
                median(|cost| cost.lost_s, 2),
                median(|cost| cost.blocked_ms, 0),
                median(|cost| cost.queued_ms, 0),
                median(|cost| cost.kernel_ms, 0),
                median(|cost| Some(cost.longest_stall_ms), 1),
                median(|cost| Some(cost.requests), 0),
                median(|cost| Some(cost.wire_bytes / f64::from(1 << 20)), 0),
            );
        }
    }
    let verdicts: Vec<_> = contests.iter().flat_map(Contest::verdicts).collect();
    print_verdicts(&verdicts);
    for short in contests.iter().flat_map(Contest::shortfalls) {
        let reason = short.reason.as_deref();
        let reason = reason.unwrap_or("the moves do not say why");
        println!(
            "does not hold: {}: {}: {reason}",
            short.claim, short.subject
        );
    }
}
