//! A guest that breathes, and what it says of that.

use std::fs;
use std::panic;
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_setaffinity};

use super::{Load, Sample};
use crate::bench::BenchError;
use crate::count::to_f64;
use crate::harness::{Host, VmProcess, field};

const MIB: u64 = 1 << 20;

const PAGE_BYTES: u64 = 4096;

/// How often a guest and its monitor are looked at, which takes a little of the guest's processor.
const LOOK: Duration = Duration::from_millis(500);

/// A guest that has said nothing for so long has ended: it speaks ten times a second.
const SILENCE: Duration = Duration::from_secs(60);

/// A guest that breathes, on one processor with all of its monitor.
#[derive(Debug)]
pub(super) struct Guest {
    vm: VmProcess,
    processor: usize,
}

impl Guest {
    /// Boots it with an empty balloon, and waits until it breathes.
    pub(super) fn boot(
        host: &Host,
        name: &str,
        load: Load,
        processor: usize,
    ) -> Result<Self, BenchError> {
        let Load {
            memory_mib,
            hot_mib,
            revisits,
            ..
        } = load;
        let memory = format!("{memory_mib}M");
        let words = format!("workload=grow-shrink ws={hot_mib}M revisits={revisits}");
        let options = [
            "--memory",
            &memory,
            "--balloon",
            "plain",
            "--cmdline",
            &words,
        ];
        let options = [&["--kernel", "probe"], &options[..]].concat();
        // A monitor stays on the processor of the thread that starts it.
        let vm = on_processor(processor, || Ok(host.boot(name, &options)?))?;
        vm.wait_output("t_ms=")?;
        Ok(Self { vm, processor })
    }

    pub(super) fn name(&self) -> &str {
        self.vm.name()
    }

    /// Waits for the end of a breath, and then measures so many.
    pub(super) fn measure(&mut self, breaths: u64) -> Result<Sample, BenchError> {
        on_processor(self.processor, || {
            let vm = &mut self.vm;
            let said = vm.skiff.messages().count();
            let now = latest(&vm.skiff.output().all()).map_or(0, |breath| breath.breaths);
            let first = await_breath(vm, now + 1, |_| {})?;
            let mut residents = Vec::new();
            let last = await_breath(vm, now + 1 + breaths, |mib| residents.push(mib))?;
            let lines = vm.skiff.output().all();
            if let Some(record) = lines.iter().find(|line| line.contains("corrupt")) {
                let record = record.clone();
                return Err(BenchError::Corrupt { record });
            }
            let messages = vm.skiff.messages().all().split_off(said);
            let targets = messages
                .iter()
                .filter_map(|line| line.split_once("balloon: target "));
            let targets = targets.map(|(_, rest)| rest.to_owned()).collect();
            let seconds = to_f64(last.t_ms.saturating_sub(first.t_ms)) / 1e3;
            let balloon_s = to_f64(last.balloon_us.saturating_sub(first.balloon_us)) / 1e6;
            Ok(Sample {
                balloon_percent: balloon_s / seconds * 100.0,
                pages_per_s: to_f64(last.pages.saturating_sub(first.pages)) / seconds,
                seconds,
                resident_mib: residents.iter().sum::<f64>() / to_f64(residents.len() as u64),
                targets,
            })
        })
    }
}

/// Does something on a thread of its own that stays on one processor, as what it starts does.
fn on_processor<T: Send>(
    processor: usize,
    act: impl FnOnce() -> Result<T, BenchError> + Send,
) -> Result<T, BenchError> {
    let mut only = CpuSet::new();
    only.set(processor);
    thread::scope(|scope| {
        let pinned = scope.spawn(move || {
            sched_setaffinity(None, &only).map_err(BenchError::system("choose a processor"))?;
            act()
        });
        pinned
            .join()
            .unwrap_or_else(|panic| panic::resume_unwind(panic))
    })
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
            // A guest without a balloon says nothing of it.
            balloon_us: field(line, "balloon_us").unwrap_or(0),
        })
    }
}

/// The last progress line of them.
fn latest(lines: &[String]) -> Option<Breath> {
    lines.iter().rev().find_map(|line| Breath::parse(line))
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
