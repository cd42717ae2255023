//! How soon is the host's memory back that a guest has freed?

use std::time::Duration;

use serde::Serialize;

use super::Giving;
use super::linux::LinuxGuest;
use crate::bench::BenchError;

/// Nothing is waited for longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// What fills and frees memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Load {
    /// All memory of the guest.
    pub memory_mib: u32,
    /// What it fills, and frees.
    pub fill_mib: u32,
}

/// What happened to one guest.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Freed {
    /// How it gives memory back.
    pub giving: Giving,
    /// Its load.
    pub load: Load,
    /// The interval of self-ballooning.
    pub interval_s: u32,
    /// Resident memory before anything was filled.
    pub idle_mib: u64,
    /// The same when it was filled.
    pub full_mib: u64,
    /// The same when it had been freed and nothing changed any more.
    pub after_mib: u64,
    /// Time from the freeing, or from the start of self-ballooning, to no more than 110 % of idle;
    /// nothing if that did not come.
    pub back_s: Option<f64>,
    /// Whether it could fill as much again and find it as it was written.
    pub is_intact: bool,
    /// How often its OOM killer woke.
    pub oom_kills: usize,
    /// The targets that were set.
    pub targets: Vec<String>,
}

impl Freed {
    /// How long memory may take to be back: 40 s by reporting, 3 intervals by self-ballooning. What is
    /// free in pieces smaller than Linux reports by itself is not claimed.
    #[must_use]
    pub fn bound_s(&self) -> Option<f64> {
        match self.giving {
            Giving::Nothing | Giving::CoarseReporting => None,
            Giving::Reporting => Some(40.0),
            Giving::SelfBallooning => Some(3.0 * f64::from(self.interval_s)),
        }
    }

    /// Whether the guest got its memory again, and the host got it back in time, if at all.
    #[must_use]
    pub fn holds(&self) -> bool {
        let in_time = match (self.bound_s(), self.back_s) {
            (Some(bound), Some(back)) => back <= bound,
            (Some(_), None) => false,
            (None, _) => true,
        };
        in_time && self.is_intact && self.oom_kills == 0
    }
}

/// Has a guest with `words` on its command line fill and free once, and fill again.
///
/// # Errors
/// The guest does not do what it is told.
pub fn measure(giving: Giving, words: &str) -> Result<Freed, BenchError> {
    let load = Load {
        memory_mib: 1024,
        fill_mib: 700,
    };
    let fill_mib = load.fill_mib;
    let mut guest = LinuxGuest::boot(load.memory_mib, giving, words)?;
    let idle_mib = guest.resident_mib()?;
    eprintln!("{giving}: an idle guest holds {idle_mib} MiB");
    guest.fill(fill_mib)?;
    let full_mib = guest.resident_mib()?;
    eprintln!("{giving}: {full_mib} MiB with {fill_mib} MiB filled");
    guest.free()?;
    guest.begin()?;
    let patience = match giving {
        Giving::Nothing => Duration::ZERO,
        Giving::Reporting | Giving::CoarseReporting | Giving::SelfBallooning => PATIENCE,
    };
    let back = guest.await_resident_mib(idle_mib * 11 / 10, patience)?;
    let after_mib = guest.settle()?;
    eprintln!("{giving}: {after_mib} MiB when they were freed");
    guest.fill(fill_mib)?;
    Ok(Freed {
        giving,
        load,
        interval_s: super::interval_s(),
        idle_mib,
        full_mib,
        after_mib,
        back_s: back.map(|back| back.as_secs_f64()),
        is_intact: guest.is_intact(fill_mib)?,
        oom_kills: guest.oom_kills(),
        targets: guest.targets(),
    })
}

/// Prints what happened to each guest.
pub fn print(all: &[Freed]) {
    println!(
        "\n{:13} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10}  again",
        "freed", "memory MiB", "idle", "full", "after", "back s", "bound s"
    );
    for freed in all {
        let seconds = |seconds: Option<f64>| {
            seconds.map_or("-".to_owned(), |seconds| format!("{seconds:.1}"))
        };
        println!(
            "{:13} {:10} {:10} {:10} {:10} {:>10} {:>10}  {}, {} OOM kills: {}",
            freed.giving,
            freed.load.memory_mib,
            freed.idle_mib,
            freed.full_mib,
            freed.after_mib,
            seconds(freed.back_s),
            seconds(freed.bound_s()),
            if freed.is_intact { "intact" } else { "DAMAGED" },
            freed.oom_kills,
            if freed.holds() {
                "holds"
            } else {
                "DOES NOT HOLD"
            }
        );
        for target in &freed.targets {
            println!("{:10} target {target}", "");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn freed(giving: Giving, back_s: Option<f64>) -> Freed {
        Freed {
            giving,
            load: Load {
                memory_mib: 1024,
                fill_mib: 700,
            },
            interval_s: 5,
            idle_mib: 100,
            full_mib: 800,
            after_mib: 100,
            back_s,
            is_intact: true,
            oom_kills: 0,
            targets: Vec::new(),
        }
    }

    #[test]
    fn memory_that_is_back_in_time_holds_and_none_or_late_does_not() {
        assert!(freed(Giving::Reporting, Some(39.0)).holds());
        assert!(!freed(Giving::Reporting, Some(41.0)).holds());
        assert!(freed(Giving::SelfBallooning, Some(15.0)).holds());
        assert!(!freed(Giving::SelfBallooning, None).holds());
        assert!(freed(Giving::Nothing, None).holds());
        assert!(freed(Giving::CoarseReporting, None).holds());
    }

    #[test]
    fn guest_that_lost_a_byte_or_a_process_does_not_hold() {
        let mut damaged = freed(Giving::Reporting, Some(1.0));
        damaged.is_intact = false;
        assert!(!damaged.holds());
        let mut killed = freed(Giving::Reporting, Some(1.0));
        killed.oom_kills = 1;
        assert!(!killed.holds());
    }
}
