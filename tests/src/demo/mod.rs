//! The demonstration behind `make demo`.

mod linux;
mod probe;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde_json::Value;
use vmm::host::HostKvm;

use crate::harness::{HarnessError, skiff_binary};
use crate::rig::{Echo, Rig, RigEnd, RigError};

/// A guest that can be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guest {
    /// The built-in one.
    Probe,
    /// Debian's, with its stock kernel.
    Linux,
}

impl FromStr for Guest {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "probe" => Ok(Self::Probe),
            "linux" => Ok(Self::Linux),
            other => Err(format!("no guest `{other}`; there are `probe` and `linux`")),
        }
    }
}

impl fmt::Display for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Probe => "probe",
            Self::Linux => "linux",
        })
    }
}

/// Why a demonstration failed.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A process did not do its part.
    #[error(transparent)]
    Harness(#[from] HarnessError),
    /// The nested rig failed.
    #[error(transparent)]
    Rig(#[from] RigError),
    /// The demonstration inside the rig failed.
    #[error("the demonstration in the nested rig ended with {end:?}\n{diagnosis}")]
    InRig {
        /// How it ended.
        end: RigEnd,
        /// The last words of the rig.
        diagnosis: String,
    },
    /// This program is nowhere to be found.
    #[error("cannot find this program")]
    Myself(#[source] std::io::Error),
    /// The guest did not go on as it should.
    #[error("the guest went wrong: {what}")]
    Guest {
        /// What was seen.
        what: String,
    },
}

/// Shows one guest, here if this host's KVM runs it, in the rig otherwise.
///
/// # Errors
/// Anything does not go as promised.
pub fn show(guest: Guest) -> Result<(), DemoError> {
    let kvm = HostKvm::open().map(|host| host.kind);
    let runs_here = match (&kvm, guest) {
        (Ok(_), Guest::Probe) => true,
        (Ok(kind), Guest::Linux) => kind.runs_stock_kernels(),
        (Err(_), _) => false,
    };
    let found = kvm.map_or_else(|error| error.to_string(), |kind| kind.to_string());
    if runs_here {
        println!("\n=== the {guest} guest, natively: {found}");
        return match guest {
            Guest::Probe => probe::show(),
            Guest::Linux => linux::show(),
        };
    }
    println!("\n=== the {guest} guest, in the nested rig (emulated AMD-V), because: {found}");
    in_rig(guest)
}

fn in_rig(guest: Guest) -> Result<(), DemoError> {
    let myself = std::env::current_exe().map_err(DemoError::Myself)?;
    let (program, word) = (myself.into_os_string(), guest.to_string());
    let skiff: PathBuf = skiff_binary()?;
    let outcome = Rig::new()
        .input(skiff)
        .echo(Echo::Live)
        .run(&[program, word.into()])?;
    match outcome.end {
        RigEnd::Exited(0) => Ok(()),
        end => Err(DemoError::InRig {
            end,
            diagnosis: outcome.diagnosis,
        }),
    }
}

/// Prints what a report says, for people.
fn summarize(report: &Value) {
    let number = |path: &str| {
        report
            .pointer(path)
            .and_then(Value::as_f64)
            .unwrap_or(f64::NAN)
    };
    let count = |path: &str| {
        report
            .pointer(path)
            .and_then(Value::as_u64)
            .unwrap_or_default()
    };
    println!(
        "  outcome   {}",
        report["outcome"].as_str().unwrap_or("unknown")
    );
    println!(
        "  time      {:.1} ms in all: {:.1} preparation, {:.1} downtime, {:.1} resume",
        number("/total_ms"),
        number("/preparation_ms"),
        number("/downtime_ms"),
        number("/resume_ms"),
    );
    println!(
        "  pages     {} in all: {} pushed, {} demanded, {} zero, {} never touched",
        count("/pages/total"),
        count("/pages/pushed"),
        count("/pages/demanded"),
        count("/pages/zero"),
        count("/pages/absent"),
    );
    println!(
        "  faults    {} over the network, {:.0} us in the median, {:.0} us at most",
        count("/faults/network"),
        number("/faults/latency_us/p50"),
        number("/faults/latency_us/max"),
    );
    println!(
        "  on wire   {:.1} MiB",
        number("/wire_bytes/total") / f64::from(1 << 20)
    );
}
