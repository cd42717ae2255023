//! What does self-ballooning cost a guest that grows and shrinks, and what does it save? As in the
//! paper's figure 11, for intervals from 10 ms to 10 s.
//!
//! Machines that share their hosts do more in one minute than in the next, and by one processor more than by
//! the other, by more than what is looked for. So each guest with a balloon shares one processor with its
//! equal without one: the scheduler lets them run in turns of milliseconds, the monitors' work included, and
//! what the machine does to the one it does to the other. What the one does less than the other is what
//! self-ballooning costs, by the clock and by the time that each had on the processor; the larger counts, for
//! the first knows of waiting, and the second does not depend on equal shares. Beside it stands what the guest
//! itself counts: the time that it spends on its balloon, until pages that it had given up are there again.

mod guest;
#[cfg(test)]
mod tests;

use std::panic;
use std::thread::{self, ScopedJoinHandle};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::Serialize;
use serde_json::{Value, json};

use crate::bench::noise::{Noise, Watch};
use crate::bench::{BenchError, Spread};
use crate::harness::Host;

use guest::Regime;
pub use guest::{Load, Sample};

/// The most that self-ballooning at the paper's interval may cost, in percent (VEE 2009: 0.5 to 1.4 % of
/// a kernel build).
const MOST_PERCENT: f64 = 1.5;

/// Pairs that run at the same time, each on a processor of its own. Our choice: because a pair takes a gigabyte.
const PAIRS_AT_ONCE: usize = 2;

/// The paper's interval, for which the claim is made.
pub const CLAIMED_MS: u32 = 5000;

/// Two guests that ran beside each other.
#[derive(Debug, Clone, Serialize)]
pub struct Pair {
    /// The one without a balloon.
    pub without: Sample,
    /// The one with self-ballooning.
    pub with: Sample,
    /// What else the machine did.
    pub noise: Noise,
}

impl Pair {
    /// How much less work was done with self-ballooning, in percent: by the clock or by the time on the
    /// processor, whichever is more.
    fn slowdown_percent(&self) -> f64 {
        let by_clock = self.with.pages_per_s / self.without.pages_per_s;
        let share = self.with.processor_share / self.without.processor_share;
        (1.0 - by_clock.min(by_clock / share)) * 100.0
    }
}

/// All runs with one interval.
#[derive(Debug, Clone)]
pub struct Row {
    /// The interval.
    pub interval_ms: u32,
    /// One for each round.
    pub pairs: Vec<Pair>,
}

impl Row {
    /// Takes in one more pair of so many, and tells of it.
    fn add(&mut self, pair: Pair, of: usize) {
        eprintln!(
            "every {} ms, {}/{of}: {:.2} % less work, {:.2} % of the time for the balloon, {:.0} of {:.0} MiB \
             resident, {} targets",
            self.interval_ms,
            self.pairs.len() + 1,
            pair.slowdown_percent(),
            pair.with.balloon_percent,
            pair.with.resident_mib,
            pair.without.resident_mib,
            pair.with.targets.len()
        );
        self.pairs.push(pair);
    }

    fn spread(&self, number: impl Fn(&Pair) -> f64) -> Option<Spread> {
        Spread::of(self.pairs.iter().map(number))
    }

    /// How much less work was done, in percent.
    #[must_use]
    pub fn slowdown_percent(&self) -> Option<Spread> {
        self.spread(Pair::slowdown_percent)
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
    /// Runs a pair for every interval once a round, in an order that changes, on as many processors at a time as
    /// there are for it.
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
        let turns = |round| (0..count).map(move |turn| (round + turn) % count);
        let order: Vec<_> = (0..rounds).flat_map(turns).collect();
        let processors = processors()?;
        for places in order.chunks(processors.len()) {
            let pairs: Vec<_> = thread::scope(|scope| {
                let start = |(&place, &processor): (&usize, &usize)| {
                    let interval_ms = rows[place].interval_ms;
                    scope.spawn(move || beside(load, interval_ms, processor))
                };
                let started: Vec<_> = places.iter().zip(&processors).map(start).collect();
                started.into_iter().map(joined).collect()
            });
            for (&place, pair) in places.iter().zip(pairs) {
                rows[place].add(pair?, rounds);
            }
        }
        Ok(Self { load, rows })
    }

    /// Prints every row; of the interval that is claimed for, also the verdict and the targets.
    pub fn print(&self, claimed_ms: Option<u32>) {
        println!(
            "\n{:>10} {:>6} {:>8} {:>8} {:>8} {:>8} {:>10} {:>12} {:>8} {:>8}",
            "drag, ms",
            "pairs",
            "s each",
            "less %",
            "min",
            "max",
            "balloon %",
            "resident MiB",
            "without",
            "targets"
        );
        for row in &self.rows {
            let Some(((((slowdown, balloon), seconds), resident), without)) = row
                .slowdown_percent()
                .zip(row.balloon_percent())
                .zip(row.spread(|pair| pair.with.seconds))
                .zip(row.spread(|pair| pair.with.resident_mib))
                .zip(row.spread(|pair| pair.without.resident_mib))
            else {
                continue;
            };
            let targets: usize = row.pairs.iter().map(|pair| pair.with.targets.len()).sum();
            println!(
                "{:10} {:6} {:8.0} {:8.2} {:8.2} {:8.2} {:10.2} {:12.0} {:8.0} {:8}{}",
                row.interval_ms,
                row.pairs.len(),
                seconds.median,
                slowdown.median,
                slowdown.min,
                slowdown.max,
                balloon.median,
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
            for (run, pair) in (1..).zip(&row.pairs) {
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
                "pairs": row.pairs,
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

/// The first processors that this process may use.
fn processors() -> Result<Vec<usize>, BenchError> {
    let allowed = sched_getaffinity(None).map_err(BenchError::system("ask for processors"))?;
    let numbers = (0..CpuSet::MAX_CPU).filter(|&number| allowed.is_set(number));
    Ok(numbers.take(PAIRS_AT_ONCE).collect())
}

/// What a thread found; its panic is ours.
fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| panic::resume_unwind(panic))
}

/// Runs two guests on one processor: one without a balloon, one with self-ballooning.
fn beside(load: Load, interval_ms: u32, processor: usize) -> Result<Pair, BenchError> {
    let watch = Watch::begin()?;
    let host = Host::of_sessions()?;
    let [without, with] = thread::scope(|scope| {
        let started = [Regime::Off, Regime::EveryMs(interval_ms)].map(|regime| {
            let host = &host;
            scope.spawn(move || {
                let mut only = CpuSet::new();
                only.set(processor);
                // What a thread starts runs where the thread may.
                sched_setaffinity(None, &only).map_err(BenchError::system("choose a processor"))?;
                guest::run(host, load, regime)
            })
        });
        started.map(joined)
    });
    // Both run until the slower one is done.
    let ((without, _vm), (with, _other)) = (without?, with?);
    let noise = watch.end()?;
    Ok(Pair {
        without,
        with,
        noise,
    })
}
