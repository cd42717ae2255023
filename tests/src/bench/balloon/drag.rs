//! What does self-ballooning cost a guest that grows and shrinks, and what does it save? As in the
//! paper's figure 11, for intervals from 10 ms to 10 s.
//!
//! The guest counts the time that it spends on its balloon, until pages that it had given up are there
//! again. How much less it does than a guest without one is shown beside it, and says little where
//! machines share their hosts: two equal guests differ by more than what is looked for.

mod picture;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};

use crate::bench::noise::{Noise, Watch};
use crate::bench::statistics::to_f64;
use crate::bench::{BenchError, Spread};
use crate::harness::{Host, VmProcess, field};

pub use picture::draw;

const NAME: &str = "bench";

const MIB: u64 = 1 << 20;

const PAGE_BYTES: u64 = 4096;

/// How often the guest and its monitor are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// A guest that has said nothing for so long has ended: it speaks ten times a second.
const SILENCE: Duration = Duration::from_secs(60);

/// The most that self-ballooning at the paper's interval may cost, in percent (VEE 2009: 0.5 to 1.4 % of
/// a kernel build).
const MOST_PERCENT: f64 = 1.5;

/// The paper's interval, for which the claim is made.
const CLAIMED_MS: u32 = 5000;

/// How the balloon is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Regime {
    /// There is none.
    Off,
    /// Self-ballooning so often, and no reporting.
    EveryMs(u32),
}

impl fmt::Display for Regime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.pad("off"),
            Self::EveryMs(ms) => f.pad(&format!("{ms} ms")),
        }
    }
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

/// One run.
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
    /// What else the machine did.
    pub noise: Noise,
}

/// All runs of one regime.
#[derive(Debug, Clone)]
pub struct Row {
    /// The regime.
    pub regime: Regime,
    /// One for each round.
    pub samples: Vec<Sample>,
}

impl Row {
    /// The time that went to the balloon.
    #[must_use]
    pub fn balloon_percent(&self) -> Option<Spread> {
        Spread::of(self.samples.iter().map(|sample| sample.balloon_percent))
    }
}

/// All rows; the first is [`Regime::Off`].
#[derive(Debug, Clone)]
pub struct Drag {
    /// What the guest did.
    pub load: Load,
    /// The regimes.
    pub rows: Vec<Row>,
}

impl Drag {
    /// Runs every regime once a round, in an order that changes.
    ///
    /// # Errors
    /// A guest fails.
    pub fn measure(load: Load, intervals_ms: &[u32], rounds: usize) -> Result<Self, BenchError> {
        let every = intervals_ms.iter().map(|&ms| Regime::EveryMs(ms));
        let mut rows: Vec<_> = [Regime::Off]
            .into_iter()
            .chain(every)
            .map(|regime| Row {
                regime,
                samples: Vec::new(),
            })
            .collect();
        let count = rows.len();
        for round in 0..rounds {
            for turn in 0..count {
                let row = &mut rows[(round + turn) % count];
                let sample = run(load, row.regime)?;
                eprintln!(
                    "round {}/{rounds}, {}/{count}: {}: {:.2} % for the balloon, {:.0} pages/s, \
                     {:.0} MiB resident, {} targets",
                    round + 1,
                    turn + 1,
                    row.regime,
                    sample.balloon_percent,
                    sample.pages_per_s,
                    sample.resident_mib,
                    sample.targets.len()
                );
                row.samples.push(sample);
            }
        }
        Ok(Self { load, rows })
    }

    /// How much less work was done than without a balloon in the same round, in percent.
    #[must_use]
    pub fn fewer_percent(&self, row: &Row) -> Option<Spread> {
        let alone = &self.rows.first()?.samples;
        let percent = alone
            .iter()
            .zip(&row.samples)
            .map(|(alone, sample)| (1.0 - sample.pages_per_s / alone.pages_per_s) * 100.0);
        Spread::of(percent)
    }

    /// Prints every row and the targets of the claimed interval.
    pub fn print(&self) {
        println!(
            "\n{:10} {:>6} {:>10} {:>8} {:>8} {:>12} {:>12} {:>8} {:>8} {:>12} {:>8}",
            "drag",
            "runs",
            "balloon %",
            "min",
            "max",
            "pages/s",
            "fewer %",
            "min",
            "max",
            "resident MiB",
            "targets"
        );
        for row in &self.rows {
            let middle = |number: fn(&Sample) -> f64| Spread::of(row.samples.iter().map(number));
            let Some((((rate, resident), balloon), fewer)) = middle(|sample| sample.pages_per_s)
                .zip(middle(|sample| sample.resident_mib))
                .zip(row.balloon_percent())
                .zip(self.fewer_percent(row))
            else {
                continue;
            };
            let targets: usize = row.samples.iter().map(|sample| sample.targets.len()).sum();
            println!(
                "{:10} {:6} {:10.2} {:8.2} {:8.2} {:12.0} {:12.2} {:8.2} {:8.2} {:12.0} {:8}{}",
                row.regime,
                row.samples.len(),
                balloon.median,
                balloon.min,
                balloon.max,
                rate.median,
                fewer.median,
                fewer.min,
                fewer.max,
                resident.median,
                targets,
                verdict(row.regime, balloon)
            );
        }
        let claimed = |row: &&Row| row.regime == Regime::EveryMs(CLAIMED_MS);
        for row in self.rows.iter().filter(claimed) {
            for (run, sample) in (1..).zip(&row.samples) {
                for target in &sample.targets {
                    println!("{}, run {run}: target {target}", row.regime);
                }
            }
        }
    }

    /// All of it.
    #[must_use]
    pub fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            json!({
                "regime": row.regime.to_string(),
                "balloon_percent": row.balloon_percent(),
                "fewer_pages_percent": self.fewer_percent(row),
                "samples": row.samples,
            })
        });
        json!({ "load": self.load, "rows": rows.collect::<Vec<_>>() })
    }
}

fn verdict(regime: Regime, balloon: Spread) -> &'static str {
    match regime {
        Regime::EveryMs(CLAIMED_MS) if balloon.median <= MOST_PERCENT => "  holds",
        Regime::EveryMs(CLAIMED_MS) => "  DOES NOT HOLD",
        Regime::Off | Regime::EveryMs(_) => "",
    }
}

fn run(load: Load, regime: Regime) -> Result<Sample, BenchError> {
    let Load {
        memory_mib,
        hot_mib,
        revisits,
        breaths,
    } = load;
    let watch = Watch::begin()?;
    let host = Host::new()?;
    let memory = format!("{memory_mib}M");
    let words = format!("workload=grow-shrink ws={hot_mib}M revisits={revisits}");
    let device = match regime {
        Regime::Off => "off",
        Regime::EveryMs(_) => "plain",
    };
    let options = [
        "--memory",
        &memory,
        "--balloon",
        device,
        "--cmdline",
        &words,
    ];
    let mut vm = host.boot(NAME, &[&["--kernel", "probe"], &options[..]].concat())?;
    vm.wait_output("probe: ")?;
    if let Regime::EveryMs(ms) = regime {
        let every = format!("{ms}ms");
        host.command(&["balloon", NAME, "--auto", "on", "--interval", &every])?;
    }
    let first = await_breath(&mut vm, 1, |_| {})?;
    let mut residents = Vec::new();
    let last = await_breath(&mut vm, 1 + breaths, |mib| residents.push(mib))?;
    let noise = watch.end()?;
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
    host.command(&["stop", NAME])?;
    let seconds = to_f64(last.t_ms.saturating_sub(first.t_ms)) / 1e3;
    let balloon_s = to_f64(last.balloon_us.saturating_sub(first.balloon_us)) / 1e6;
    Ok(Sample {
        balloon_percent: balloon_s / seconds * 100.0,
        pages_per_s: to_f64(last.pages.saturating_sub(first.pages)) / seconds,
        seconds,
        resident_mib: residents.iter().sum::<f64>() / to_f64(residents.len() as u64),
        targets,
        noise,
    })
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
