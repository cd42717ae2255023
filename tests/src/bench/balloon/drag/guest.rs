//! One of the guests: it breathes, alone or with self-ballooning.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::bench::BenchError;
use crate::count::to_f64;
use crate::harness::{Host, VmProcess, field};

const MIB: u64 = 1 << 20;

const PAGE_BYTES: u64 = 4096;

/// How often a guest and its monitor are looked at, which takes a little of the guest's processor.
const LOOK: Duration = Duration::from_millis(500);

/// A guest that has said nothing for so long has ended: it speaks once a second. It does not more often, because
/// a guest with a balloon has more to say, and each byte takes an exit.
const SILENCE: Duration = Duration::from_secs(60);

/// How the balloon is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Regime {
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
    /// Visits for each page that is taken or given back.
    pub revisits: u32,
    /// How much is taken or given back at once.
    pub step_kib: u32,
    /// At least so many whole breaths are measured, after a first one.
    pub breaths: u64,
    /// And for at least so long.
    pub seconds: u64,
}

impl Load {
    /// Whether all is measured when a breath ends.
    pub(super) fn is_measured(&self, first: &Breath, last: &Breath) -> bool {
        last.breaths.saturating_sub(first.breaths) >= self.breaths
            && last.t_ms.saturating_sub(first.t_ms) >= self.seconds * 1000
    }
}

/// What one guest did.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    /// Visits per second, over whole breaths.
    pub pages_per_s: f64,
    /// The part of that time that the guest spent on its balloon, in percent: on requests, statistics,
    /// and until each page that it had given up was there again.
    pub balloon_percent: f64,
    /// The part of one processor that guest and monitor had.
    pub processor_share: f64,
    /// How long they took.
    pub seconds: f64,
    /// Resident memory on average.
    pub resident_mib: f64,
    /// The targets that were set, in MiB, and why.
    pub targets: Vec<String>,
}

/// Runs a guest until it has breathed so often and so long.
///
/// # Errors
/// It fails, or finds its memory to be other than what it wrote.
pub(super) fn run(
    host: &Host,
    load: Load,
    regime: Regime,
) -> Result<(Sample, VmProcess), BenchError> {
    let Load {
        memory_mib,
        hot_mib,
        revisits,
        step_kib,
        ..
    } = load;
    let memory = format!("{memory_mib}M");
    let words =
        format!("workload=grow-shrink ws={hot_mib}M revisits={revisits} step={step_kib}K lines=1");
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
    let first = await_end_of_breath(&mut vm, |_| true, |_| {})?;
    let pid = vm.skiff.pid();
    let (began, ran_before) = (Instant::now(), processor_time(pid)?);
    let mut residents = Vec::new();
    let is_last = |breath: &Breath| load.is_measured(&first, breath);
    let last = await_end_of_breath(&mut vm, is_last, |mib| residents.push(mib))?;
    let ran = processor_time(pid)?.saturating_sub(ran_before);
    let processor_share = ran.as_secs_f64() / began.elapsed().as_secs_f64();
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
        processor_share,
        seconds,
        resident_mib: residents.iter().sum::<f64>() / to_f64(residents.len() as u64),
        targets,
    };
    Ok((sample, vm))
}

/// A progress line of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Breath {
    pub(super) t_ms: u64,
    pub(super) breaths: u64,
    pub(super) pages: u64,
    /// Spent on the balloon so far.
    pub(super) balloon_us: u64,
}

impl Breath {
    pub(super) fn parse(line: &str) -> Option<Self> {
        Some(Self {
            t_ms: field(line, "t_ms").ok()?,
            breaths: field(line, "passes").ok()?,
            pages: field(line, "pages").ok()?,
            balloon_us: field(line, "balloon_us").ok()?,
        })
    }
}

/// Waits for the line in which the guest says that the breath which is looked for has ended; tells the monitor's
/// resident MiB meanwhile.
fn await_end_of_breath(
    vm: &mut VmProcess,
    is_looked_for: impl Fn(&Breath) -> bool,
    mut resident_mib: impl FnMut(f64),
) -> Result<Breath, BenchError> {
    let statm = format!("/proc/{}/statm", vm.skiff.pid());
    let (mut seen, mut ended) = (0, 0);
    let mut heard = Instant::now();
    loop {
        let lines = vm.skiff.output().all();
        let fresh = lines.get(seen..).unwrap_or_default();
        for breath in fresh.iter().filter_map(|line| Breath::parse(line)) {
            if breath.breaths > ended && is_looked_for(&breath) {
                return Ok(breath);
            }
            ended = breath.breaths;
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

/// How long all threads of a process have run, which the scheduler counts in ns.
fn processor_time(pid: u32) -> Result<Duration, BenchError> {
    let tasks = Path::new("/proc").join(pid.to_string()).join("task");
    let tasks = fs::read_dir(tasks).map_err(BenchError::system("list threads"))?;
    let mut whole = Duration::ZERO;
    for task in tasks.flatten() {
        // A thread may have ended in between.
        let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        let ran = text.split(' ').next().and_then(|word| word.parse().ok());
        whole += Duration::from_nanos(ran.unwrap_or_default());
    }
    Ok(whole)
}
