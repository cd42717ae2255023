//! What else the machine does while a run is measured.

use std::fs;
use std::thread;
use std::time::Duration;

use serde::Serialize;

use super::BenchError;
use crate::count::to_f64;

/// How long the machine is watched before a run.
const WATCH: Duration = Duration::from_millis(250);

/// Above these a run is noisy. Our choice: because a fifth of two processors is what one compiler
/// leaves of a guest and a fault thread, and a percent of theft is a stall of a millisecond in each
/// tenth of a second.
const FOREIGN_SHARE: f64 = 0.2;
const STOLEN_SHARE: f64 = 0.01;

/// The load around one run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Noise {
    /// Load average over the last minute before the run.
    pub load: f64,
    /// Share of all processors that others used right before the run.
    pub foreign_share: f64,
    /// Share of all processors' time during the run that the hypervisor below took away.
    pub stolen_share: f64,
}

impl Noise {
    /// Whether the run had the machine to itself.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.foreign_share <= FOREIGN_SHARE && self.stolen_share <= STOLEN_SHARE
    }
}

/// A watch over one run.
#[derive(Debug)]
pub struct Watch {
    load: f64,
    foreign_share: f64,
    since: CpuTimes,
}

impl Watch {
    /// Looks at the machine for a quarter of a second; nothing of the run may be there yet.
    ///
    /// # Errors
    /// `/proc` is not as proc(5) says.
    pub fn begin() -> Result<Self, BenchError> {
        let before = CpuTimes::now()?;
        thread::sleep(WATCH);
        let since = CpuTimes::now()?;
        let text = read("/proc/loadavg")?;
        let load = text.split(' ').next().and_then(|word| word.parse().ok());
        Ok(Self {
            load: load.ok_or_else(|| lacks("load average", &text))?,
            foreign_share: since.share_since(&before, |times| times.busy),
            since,
        })
    }

    /// Whether the run might as well begin now.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.foreign_share <= FOREIGN_SHARE
    }

    /// The run is over.
    ///
    /// # Errors
    /// `/proc` is not as proc(5) says.
    pub fn end(self) -> Result<Noise, BenchError> {
        let now = CpuTimes::now()?;
        Ok(Noise {
            load: self.load,
            foreign_share: self.foreign_share,
            stolen_share: now.share_since(&self.since, |times| times.stolen),
        })
    }
}

/// Times of all processors together, in ticks, from the first line of `/proc/stat` (proc_stat(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct CpuTimes {
    total: u64,
    busy: u64,
    stolen: u64,
}

impl CpuTimes {
    fn now() -> Result<Self, BenchError> {
        let text = read("/proc/stat")?;
        Self::parse(&text).ok_or_else(|| lacks("processor times", &text))
    }

    fn parse(text: &str) -> Option<Self> {
        let line = text.lines().next()?.strip_prefix("cpu ")?;
        let numbers = line.split_whitespace().map(|word| word.parse().ok());
        let numbers: Vec<u64> = numbers.collect::<Option<_>>()?;
        // What follows, guest time, is part of user time.
        let [user, nice, system, idle, waiting, irq, soft_irq, stolen] =
            *numbers.first_chunk::<8>()?;
        let busy = user + nice + system + irq + soft_irq;
        Some(Self {
            total: busy + idle + waiting + stolen,
            busy,
            stolen,
        })
    }

    fn share_since(&self, before: &Self, part: impl Fn(&Self) -> u64) -> f64 {
        let total = self.total.saturating_sub(before.total);
        let part = part(self).saturating_sub(part(before));
        to_f64(part) / to_f64(total.max(1))
    }
}

fn read(path: &str) -> Result<String, BenchError> {
    fs::read_to_string(path).map_err(BenchError::system("read a file in /proc"))
}

fn lacks(what: &'static str, text: &str) -> BenchError {
    BenchError::Lacks {
        what,
        text: text.lines().next().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_times_of_proc_stat_are_shared_out() {
        let before = CpuTimes::parse("cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1").unwrap();
        assert_eq!((before.total, before.busy, before.stolen), (1000, 200, 0));
        let after = CpuTimes::parse("cpu  130 0 110 740 100 5 5 10 60 0\n").unwrap();
        assert_eq!(after.share_since(&before, |times| times.busy), 0.5);
        assert_eq!(after.share_since(&before, |times| times.stolen), 0.1);
    }

    #[test]
    fn processor_times_of_another_file_are_none() {
        assert_eq!(CpuTimes::parse(""), None);
        assert_eq!(CpuTimes::parse("cpu  1 2 3"), None);
        assert_eq!(CpuTimes::parse("cpu  1 2 3 4 5 6 7 x"), None);
    }

    #[test]
    fn run_beside_a_compiler_is_not_quiet() {
        let noise = |foreign_share, stolen_share| Noise {
            load: 0.0,
            foreign_share,
            stolen_share,
        };
        assert!(noise(0.05, 0.0).is_quiet());
        assert!(!noise(0.5, 0.0).is_quiet());
        assert!(!noise(0.05, 0.05).is_quiet());
    }
}
