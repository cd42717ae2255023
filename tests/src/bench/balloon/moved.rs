//! How much goes over the wire of a guest that has freed most of what it had used?

use serde::Serialize;

use super::Giving;
use super::freed::Load;
use super::linux::LinuxGuest;
use crate::bench::BenchError;
use crate::bench::sample::number_in;

/// The modes that are compared, in the order in which one guest is moved.
pub const MODES: [&str; 3] = ["pre-copy", "post-copy", "hybrid"];

/// What may go over the wire, of what the guest really uses.
const MOST_SHARE: f64 = 1.1;

/// One move of one guest.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Moved {
    /// How it gives memory back.
    pub giving: Giving,
    /// How it was moved.
    pub mode: String,
    /// What it had filled and freed before.
    pub load: Load,
    /// What it really used: all memory but what was free or in its balloon.
    pub used_mib: u64,
    /// Resident memory of the source.
    pub resident_mib: u64,
    /// Everything that went over the wire.
    pub wire_mib: f64,
    /// Pages that were sent, as MiB.
    pub pages_mib: f64,
    /// How long the move took.
    pub total_ms: f64,
}

impl Moved {
    /// Bytes on the wire for each byte in use.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.wire_mib / super::mib(self.used_mib)
    }

    /// Whether not much more was sent than is used, if everything else was given back.
    #[must_use]
    pub fn holds(&self) -> bool {
        match self.giving {
            Giving::Nothing | Giving::CoarseReporting => true,
            Giving::Reporting | Giving::SelfBallooning => self.share() <= MOST_SHARE,
        }
    }
}

/// Has a guest with `words` on its command line fill and free, waits until nothing more is given back,
/// and moves it in each mode in turn.
///
/// # Errors
/// The guest does not do what it is told, or a move fails.
pub fn measure(giving: Giving, words: &str) -> Result<Vec<Moved>, BenchError> {
    let load = Load {
        memory_mib: 2048,
        fill_mib: 1536,
    };
    let mut guest = LinuxGuest::boot(load.memory_mib, giving, words)?;
    guest.fill(load.fill_mib)?;
    guest.free()?;
    guest.begin()?;
    let mut all = Vec::new();
    for mode in MODES {
        guest.settle()?;
        let now = guest.now()?;
        let report = guest.migrate(mode)?;
        let moved = Moved {
            giving,
            mode: mode.to_owned(),
            load,
            used_mib: now.used_mib,
            resident_mib: now.resident_mib,
            wire_mib: number_in(&report, "/wire_bytes/total")? / f64::from(1 << 20),
            pages_mib: number_in(&report, "/pages/transferred")? * 4096.0 / f64::from(1 << 20),
            total_ms: number_in(&report, "/total_ms")?,
        };
        eprintln!("{giving} {mode}: {:.0} MiB on the wire", moved.wire_mib);
        all.push(moved);
    }
    Ok(all)
}

/// Prints every move.
pub fn print(all: &[Moved]) {
    println!(
        "\n{:13} {:10} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10}",
        "moved", "mode", "memory MiB", "used", "resident", "wire", "wire/used", "total ms"
    );
    for moved in all {
        println!(
            "{:13} {:10} {:10} {:10} {:10} {:10.0} {:10.2} {:10.0}  {}",
            moved.giving,
            moved.mode,
            moved.load.memory_mib,
            moved.used_mib,
            moved.resident_mib,
            moved.wire_mib,
            moved.share(),
            moved.total_ms,
            if moved.holds() {
                "holds"
            } else {
                "DOES NOT HOLD"
            }
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn move_holds_up_to_a_tenth_more_than_is_used_and_always_without_a_balloon() {
        let moved = |giving, wire_mib| Moved {
            giving,
            mode: "hybrid".to_owned(),
            load: Load {
                memory_mib: 2048,
                fill_mib: 1536,
            },
            used_mib: 100,
            resident_mib: 100,
            wire_mib,
            pages_mib: wire_mib,
            total_ms: 1.0,
        };
        assert!(moved(Giving::Reporting, 109.0).holds());
        assert!(!moved(Giving::SelfBallooning, 111.0).holds());
        assert!(moved(Giving::Nothing, 1600.0).holds());
    }
}
