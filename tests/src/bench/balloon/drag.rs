//! What does self-ballooning cost a guest that grows and shrinks, and what does it save? As in the
//! paper's figure 11, for intervals from 10 ms to 10 s.
//!
//! Machines that share their hosts do more in one minute than in the next, by more than what is looked
//! for. So each guest with a balloon runs beside its equal without one, at the same time, each on a
//! processor of its own with all of its monitor, and they change processors from round to round. What
//! the one does less than the other is what self-ballooning costs, the monitor's work included. Beside it
//! stands what the guest itself counts: the time that it spends on its balloon, until pages that it had
//! given up are there again.

#[cfg(test)]
mod tests;

use std::fs;
use std::panic;
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::Serialize;
use serde_json::{Value, json};

use crate::bench::noise::{Noise, Watch};
use crate::bench::{BenchError, Spread};
use crate::count::to_f64;
use crate::harness::{Host, VmProcess, field};

const MIB: u64 = 1 << 20;

const PAGE_BYTES: u64 = 4096;

/// How often a guest and its monitor are looked at, which takes a little of the guest's processor.
const LOOK: Duration = Duration::from_millis(500);

/// A guest that has said nothing for so long has ended: it speaks ten times a second.
const SILENCE: Duration = Duration::from_secs(60);

/// The most that self-ballooning at the paper's interval may cost, in percent (VEE 2009: 0.5 to 1.4 % of
/// a kernel build).
const MOST_PERCENT: f64 = 1.5;

/// The paper's interval, for which the claim is made.
pub const CLAIMED_MS: u32 = 5000;

/// How the balloon is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Regime {
    /// There is none.
    Off,
    /// Self-ballooning so often, and no reporting.
    EveryMs(u32),
}

/// A guest that breathes: its working set grows from an eighth to the whole and shrinks again.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Load {
    /// All memory of the guest.
    pub memory_mib: u32,
    /// Its largest working set.
    pub hot_mib: u32,
    /// Visits between two steps of a page.
    pub revisits: u32,
    /// Whole breaths that are measured, after a first one.
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
    /// The one without a balloon.
    pub without: Sample,
    /// The one with self-ballooning.
    pub with: Sample,
    /// What else the machine did.
    pub noise: Noise,
}

impl Pair {
    /// How much less work was done with self-ballooning, in percent.
    fn slowdown_percent(&self) -> f64 {
        (1.0 - self.with.pages_per_s / self.without.pages_per_s) * 100.0
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
    /// Runs a pair for every interval once a round, in an order that changes.
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
                let pair = beside(load, row.interval_ms, processors)?;
                eprintln!(
                    "round {}/{rounds}, {}/{count}: every {} ms: {:.2} % less work, {:.2} % of the time \
                     for the balloon, {:.0} of {:.0} MiB resident, {} targets",
                    round + 1,
                    turn + 1,
                    row.interval_ms,
                    pair.slowdown_percent(),
                    pair.with.balloon_percent,
                    pair.with.resident_mib,
                    pair.without.resident_mib,
                    pair.with.targets.len()
                );
                row.pairs.push(pair);
            }
            processors.reverse();
        }
        Ok(Self { load, rows })
    }

    /// Prints every row; of the interval that is claimed for, also the verdict and the targets.
    pub fn print(&self, claimed_ms: Option<u32>) {
        println!(
            "\n{:>10} {:>6} {:>8} {:>8} {:>8} {:>10} {:>12} {:>8} {:>8}",
            "drag, ms",
            "pairs",
            "less %",
            "min",
            "max",
            "balloon %",
            "resident MiB",
            "without",
            "targets"
        );
        for row in &self.rows {
            let Some((((slowdown, balloon), resident), without)) = row
                .slowdown_percent()
                .zip(row.balloon_percent())
                .zip(row.spread(|pair| pair.with.resident_mib))
                .zip(row.spread(|pair| pair.without.resident_mib))
            else {
                continue;
            };
            let targets: usize = row.pairs.iter().map(|pair| pair.with.targets.len()).sum();
            println!(
                "{:10} {:6} {:8.2} {:8.2} {:8.2} {:10.2} {:12.0} {:8.0} {:8}{}",
                row.interval_ms,
                row.pairs.len(),
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

/// Two processors that this process may use; twice the same where there is one.
fn processors() -> Result<[usize; 2], BenchError> {
    let allowed = sched_getaffinity(None).map_err(BenchError::system("ask for processors"))?;
    let mut numbers = (0..CpuSet::MAX_CPU).filter(|&number| allowed.is_set(number));
    let first = numbers.next().unwrap_or_default();
    Ok([first, numbers.next().unwrap_or(first)])
}

/// Runs a guest on each of the processors: one without a balloon, one with self-ballooning.
fn beside(load: Load, interval_ms: u32, processors: [usize; 2]) -> Result<Pair, BenchError> {
    let watch = Watch::begin()?;
    let host = Host::new()?;
    let [without, with] = thread::scope(|scope| {
        let regimes = [Regime::Off, Regime::EveryMs(interval_ms)];
        let started = [0, 1].map(|i| {
            let host = &host;
            scope.spawn(move || run(host, load, regimes[i], processors[i]))
        });
        started.map(|run| {
            run.join()
                .unwrap_or_else(|panic| panic::resume_unwind(panic))
        })
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

/// Runs a guest on one processor, with all of its monitor and this thread.
fn run(
    host: &Host,
    load: Load,
    regime: Regime,
    processor: usize,
) -> Result<(Sample, VmProcess), BenchError> {
    let mut only = CpuSet::new();
    only.set(processor);
    sched_setaffinity(None, &only).map_err(BenchError::system("choose a processor"))?;
    let Load {
        memory_mib,
        hot_mib,
        revisits,
        breaths,
    } = load;
    let memory = format!("{memory_mib}M");
    let words = format!("workload=grow-shrink ws={hot_mib}M revisits={revisits}");
    let (name, device) = match regime {
        Regime::Off => ("without", "off"),
        Regime::EveryMs(_) => ("with", "plain"),
    };
    let options = [
        "--memory",
        &memory,
        "--balloon",
        device,
        "--cmdline",
        &words,
    ];
    let mut vm = host.boot(name, &[&["--kernel", "probe"], &options[..]].concat())?;
    vm.wait_output("probe: ")?;
    if let Regime::EveryMs(ms) = regime {
        let every = format!("{ms}ms");
        host.command(&["balloon", name, "--auto", "on", "--interval", &every])?;
    }
    let first = await_breath(&mut vm, 1, |_| {})?;
    let mut residents = Vec::new();
    let last = await_breath(&mut vm, 1 + breaths, |mib| residents.push(mib))?;
    let lines = vm.skiff.output().all();
    if let Some(record) = lines.iter().find(|line| line.contains("corrupt")) {
        let record = record.clone();
        return Err(BenchError::Corrupt { record });
    }
    let messages = vm.skiff.messages().all();
    let targets = messages
        .iter()
        .filter_map(|line| line.split_once("balloon: target "));
    let targets = targets.map(|(_, rest)| rest.to_owned()).collect();
    let seconds = to_f64(last.t_ms.saturating_sub(first.t_ms)) / 1e3;
    let balloon_s = to_f64(last.balloon_us.saturating_sub(first.balloon_us)) / 1e6;
    let sample = Sample {
        balloon_percent: balloon_s / seconds * 100.0,
        pages_per_s: to_f64(last.pages.saturating_sub(first.pages)) / seconds,
        seconds,
        resident_mib: residents.iter().sum::<f64>() / to_f64(residents.len() as u64),
        targets,
    };
    Ok((sample, vm))
}

/// A progress line of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Breath {
    t_ms: u64,
    breaths: u64,
    pages: u64,
    /// Spent on the balloon so far.
    balloon_us: u64,
}

impl Breath {
    fn parse(line: &str) -> Option<Self> {
        Some(Self {
            t_ms: field(line, "t_ms").ok()?,
            breaths: field(line, "passes").ok()?,
            pages: field(line, "pages").ok()?,
            // A guest without a balloon says nothing of it.
            balloon_us: field(line, "balloon_us").unwrap_or(0),
        })
    }
}

/// Waits for the first line with so many breaths; tells the monitor's resident MiB meanwhile.
fn await_breath(
    vm: &mut VmProcess,
    breaths: u64,
    mut resident_mib: impl FnMut(f64),
) -> Result<Breath, BenchError> {
    let statm = format!("/proc/{}/statm", vm.skiff.pid());
    let mut seen = 0;
    let mut heard = Instant::now();
    loop {
        let lines = vm.skiff.output().all();
        let fresh = lines.get(seen..).unwrap_or_default();
        let there = fresh.iter().filter_map(|line| Breath::parse(line));
        if let Some(breath) = there.into_iter().find(|breath| breath.breaths >= breaths) {
            return Ok(breath);
        }
        if !fresh.is_empty() {
            heard = Instant::now();
        }
        seen = lines.len();
        if !vm.skiff.is_running() || heard.elapsed() > SILENCE {
            let text = lines.last().cloned().unwrap_or_default();
            let what = "further record of the guest";
            return Err(BenchError::Lacks { what, text });
        }
        let text =
            fs::read_to_string(&statm).map_err(BenchError::system("read resident memory"))?;
        let pages = text.split(' ').nth(1).and_then(|word| word.parse().ok());
        let what = "resident memory";
        let pages: u64 = pages.ok_or(BenchError::Lacks { what, text })?;
        resident_mib(to_f64(pages * PAGE_BYTES) / to_f64(MIB));
        thread::sleep(LOOK);
    }
}
