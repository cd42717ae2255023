//! What does self-ballooning cost a guest that grows and shrinks, and what does it save? As in the
//! paper's figure 11, for intervals from 10 ms to 10 s.
//!
//! Machines that share their hosts do more in one minute than in the next, by more than what is looked
//! for. So a guest with self-ballooning runs beside its equal without, at the same time, each on a
//! processor of its own with all of its monitor; then the other of them has self-ballooning. What both did
//! with it, by what both did without, is what it costs, the monitor's work included: what else makes one
//! processor or one guest faster falls out. Beside it stands what the guest itself counts: the time that
//! it spends on its balloon, until pages that it had given up are there again.

mod guest;
#[cfg(test)]
mod tests;

use std::panic;
use std::thread;

use rustix::thread::{CpuSet, sched_getaffinity};
use serde::Serialize;
use serde_json::{Value, json};

use crate::bench::noise::{Noise, Watch};
use crate::bench::{BenchError, Spread};
use crate::harness::Host;
use guest::Guest;

/// The most that self-ballooning at the paper's interval may cost, in percent (VEE 2009: 0.5 to 1.4 % of
/// a kernel build).
const MOST_PERCENT: f64 = 1.5;

/// The paper's interval, for which the claim is made.
pub const CLAIMED_MS: u32 = 5000;

/// A guest that breathes: its working set grows from an eighth to the whole and shrinks again.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Load {
    /// All memory of the guest.
    pub memory_mib: u32,
    /// Its largest working set.
    pub hot_mib: u32,
    /// Visits between two steps of a page.
    pub revisits: u32,
    /// Whole breaths that are measured with self-ballooning, and as many without, each after a first one.
    pub breaths: u64,
}

/// What one guest did.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    /// Visits per second, over whole breaths.
    pub pages_per_s: f64,
    /// The part of that time that the guest spent on its balloon, in percent: on requests, statistics,
    /// and until each page that it had given up was there again.
    pub balloon_percent: f64,
    /// How long they took.
    pub seconds: f64,
    /// Resident memory on average.
    pub resident_mib: f64,
    /// The targets that were set, in MiB, and why.
    pub targets: Vec<String>,
}

/// Two guests that ran beside each other.
#[derive(Debug, Clone, Serialize)]
pub struct Pair {
    /// The one that was left alone, with an empty balloon.
    pub without: Sample,
    /// The one with self-ballooning.
    pub with: Sample,
    /// What else the machine did in the whole round.
    pub noise: Noise,
}

/// How much less work two guests did with self-ballooning than without, in percent, by the pair in which the
/// one of them had it and the pair in which the other had.
fn slowdown_percent([one, other]: &[Pair; 2]) -> f64 {
    let ratio = |pair: &Pair| pair.with.pages_per_s / pair.without.pages_per_s;
    (1.0 - (ratio(one) * ratio(other)).sqrt()) * 100.0
}

/// All runs with one interval.
#[derive(Debug, Clone)]
pub struct Row {
    /// The interval.
    pub interval_ms: u32,
    /// Two for each round, of the same two guests.
    pub pairs: Vec<[Pair; 2]>,
}

impl Row {
    fn spread(&self, number: impl Fn(&Pair) -> f64) -> Option<Spread> {
        Spread::of(self.pairs.iter().flatten().map(number))
    }

    /// How much less work was done, in percent, of each round.
    #[must_use]
    pub fn slowdown_percent(&self) -> Option<Spread> {
        Spread::of(self.pairs.iter().map(slowdown_percent))
    }

    /// The time that went to the balloon, in percent.
    #[must_use]
    pub fn balloon_percent(&self) -> Option<Spread> {
        self.spread(|pair| pair.with.balloon_percent)
    }
}

/// All rows.
#[derive(Debug, Clone)]
pub struct Drag {
    /// What the guests did.
    pub load: Load,
    /// One for each interval.
    pub rows: Vec<Row>,
}

impl Drag {
    /// Runs two guests for every interval once a round, in an order that changes.
    ///
    /// # Errors
    /// A guest fails.
    pub fn measure(load: Load, intervals_ms: &[u32], rounds: usize) -> Result<Self, BenchError> {
        let empty = |&interval_ms: &u32| Row {
            interval_ms,
            pairs: Vec::new(),
        };
        let mut rows: Vec<_> = intervals_ms.iter().map(empty).collect();
        let count = rows.len();
        let mut processors = processors()?;
        for round in 0..rounds {
            for turn in 0..count {
                let row = &mut rows[(round + turn) % count];
                let pairs = beside(load, row.interval_ms, processors)?;
                let mean =
                    |number: fn(&Pair) -> f64| f64::midpoint(number(&pairs[0]), number(&pairs[1]));
                eprintln!(
                    "round {}/{rounds}, {}/{count}: every {} ms: {:.2} % less work, {:.2} % of the time \
                     for the balloon, {:.0} of {:.0} MiB resident, {} targets",
                    round + 1,
                    turn + 1,
                    row.interval_ms,
                    slowdown_percent(&pairs),
                    mean(|pair| pair.with.balloon_percent),
                    mean(|pair| pair.with.resident_mib),
                    mean(|pair| pair.without.resident_mib),
                    pairs[0].with.targets.len() + pairs[1].with.targets.len()
                );
                row.pairs.push(pairs);
            }
            processors.reverse();
        }
        Ok(Self { load, rows })
    }

    /// Prints every row; of the interval that is claimed for, also the verdict and the targets.
    pub fn print(&self, claimed_ms: Option<u32>) {
        println!(
            "\n{:>10} {:>6} {:>8} {:>8} {:>8} {:>10} {:>8} {:>12} {:>8} {:>8}",
            "drag, ms",
            "rounds",
            "less %",
            "min",
            "max",
            "balloon %",
            "idle %",
            "resident MiB",
            "without",
            "targets"
        );
        for row in &self.rows {
            let (Some(slowdown), Some(balloon), Some(idle), Some(resident), Some(without)) = (
                row.slowdown_percent(),
                row.balloon_percent(),
                row.spread(|pair| pair.without.balloon_percent),
                row.spread(|pair| pair.with.resident_mib),
                row.spread(|pair| pair.without.resident_mib),
            ) else {
                continue;
            };
            let targets = row
                .pairs
                .iter()
                .flatten()
                .map(|pair| pair.with.targets.len());
            let targets: usize = targets.sum();
            println!(
                "{:10} {:6} {:8.2} {:8.2} {:8.2} {:10.2} {:8.2} {:12.0} {:8.0} {:8}{}",
                row.interval_ms,
                row.pairs.len(),
                slowdown.median,
                slowdown.min,
                slowdown.max,
                balloon.median,
                idle.median,
                resident.median,
                without.median,
                targets,
                if Some(row.interval_ms) == claimed_ms {
                    verdict(slowdown)
                } else {
                    ""
                }
            );
        }
        let claimed = |row: &&Row| Some(row.interval_ms) == claimed_ms;
        for row in self.rows.iter().filter(claimed) {
            for (run, pair) in (1..).zip(row.pairs.iter().flatten()) {
                for target in &pair.with.targets {
                    println!("{} ms, pair {run}: target {target}", row.interval_ms);
                }
            }
        }
    }

    /// All of it.
    #[must_use]
    pub fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            json!({
                "interval_ms": row.interval_ms,
                "slowdown_percent": row.slowdown_percent(),
                "balloon_percent": row.balloon_percent(),
                "pairs": row.pairs.iter().flatten().collect::<Vec<_>>(),
            })
        });
        json!({ "load": self.load, "rows": rows.collect::<Vec<_>>() })
    }
}

fn verdict(slowdown: Spread) -> &'static str {
    if slowdown.median <= MOST_PERCENT {
        "  holds"
    } else {
        "  DOES NOT HOLD"
    }
}

/// Two processors that this process may use; twice the same where there is one.
fn processors() -> Result<[usize; 2], BenchError> {
    let allowed = sched_getaffinity(None).map_err(BenchError::system("ask for processors"))?;
    let mut numbers = (0..CpuSet::MAX_CPU).filter(|&number| allowed.is_set(number));
    let first = numbers.next().unwrap_or_default();
    Ok([first, numbers.next().unwrap_or(first)])
}

/// Runs a guest on each of the processors: first the one with self-ballooning, then the other.
fn beside(load: Load, interval_ms: u32, processors: [usize; 2]) -> Result<[Pair; 2], BenchError> {
    // The guests themselves would count as others.
    let watch = Watch::begin()?;
    let host = Host::new()?;
    let every = format!("{interval_ms}ms");
    let mut guests = [
        Guest::boot(&host, "one", load, processors[0])?,
        Guest::boot(&host, "other", load, processors[1])?,
    ];
    let mut turn = |with: usize| {
        host.command(&["balloon", guests[1 - with].name(), "--auto", "off"])?;
        host.command(&["balloon", guests[1 - with].name(), "--target", "0"])?;
        let on = ["--auto", "on", "--interval", &every];
        host.command(&[&["balloon", guests[with].name()], &on[..]].concat())?;
        let [one, other] = &mut guests;
        let (one, other) = thread::scope(|scope| {
            let other = scope.spawn(|| other.measure(load.breaths));
            let one = scope.spawn(|| one.measure(load.breaths));
            let done = |run: thread::ScopedJoinHandle<'_, _>| {
                run.join()
                    .unwrap_or_else(|panic| panic::resume_unwind(panic))
            };
            (done(one), done(other))
        });
        let (one, other): (Sample, Sample) = (one?, other?);
        let (with, without) = if with == 0 {
            (one, other)
        } else {
            (other, one)
        };
        Ok::<_, BenchError>((without, with))
    };
    let turns = [turn(0)?, turn(1)?];
    let noise = watch.end()?;
    Ok(turns.map(|(without, with)| Pair {
        without,
        with,
        noise,
    }))
}
