//! A migration in words: while it goes on, and what came of it.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use super::format::{bytes, microseconds, milliseconds};
use crate::control::Progress;

/// How long the bar of a progress line is.
const BAR_CELLS: u64 = 24;

/// The size of a page of guest memory in bytes.
const PAGE_BYTES: u64 = 4096;

/// The outcome of a VM that is completely at its destination.
pub(super) const COMPLETED: &str = "completed";

/// A bar, the share of pages that need no more work, rate and time left as far as they are known, and
/// what is being done.
pub(super) fn progress_line(progress: &Progress) -> String {
    let Progress {
        phase,
        round,
        pages_done,
        pages_total,
        elapsed_ms: _,
        rate_bytes_per_s,
        remaining_bytes: _,
        eta_ms,
    } = progress;
    let rate = match rate_bytes_per_s {
        0 => String::new(),
        rate => format!("  {}/s", bytes(*rate)),
    };
    let left = eta_ms.map_or_else(String::new, |ms| {
        let ms = f64::from(u32::try_from(ms).unwrap_or(u32::MAX));
        format!("  {} left", milliseconds(ms))
    });
    let total = (*pages_total).max(1);
    let done = (*pages_done).min(total);
    let share = |of: u64| u128::from(done) * u128::from(of) / u128::from(total);
    let bar: String = (0..u128::from(BAR_CELLS))
        .map(|cell| if cell < share(BAR_CELLS) { '#' } else { '.' })
        .collect();
    let round = match round {
        0 => String::new(),
        round => format!(", round {round}"),
    };
    format!(
        "[{bar}] {:3}%  {} of {}{rate}{left}  {phase}{round}",
        share(100),
        bytes(done.saturating_mul(PAGE_BYTES)),
        bytes(pages_total.saturating_mul(PAGE_BYTES)),
    )
}

/// What people want to know of a report; fields that a report lacks are zero.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Summary {
    pub(super) outcome: String,
    pub(super) reason: Option<String>,
    mode: String,
    preparation_ms: f64,
    downtime_ms: f64,
    resume_ms: f64,
    total_ms: f64,
    pages: Pages,
    faults: Faults,
    wire_bytes: WireBytes,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Pages {
    total: u64,
    transferred: u64,
    zero: u64,
    absent: u64,
    pushed: u64,
    demanded: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Faults {
    network: u64,
    latency_us: Latency,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Latency {
    p50: f64,
    p99: f64,
    max: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WireBytes {
    total: u64,
}

impl Summary {
    /// Reads what it can from a report; one of another form has no outcome, which counts as not moved.
    pub(super) fn of(report: &Value) -> Self {
        Self::deserialize(report).unwrap_or_default()
    }

    /// Whether the VM is completely at its destination.
    fn has_moved(&self) -> bool {
        self.outcome == COMPLETED
    }
}

impl fmt::Display for Summary {
    /// Several lines, each with its end, the first to follow the name of the VM.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            outcome,
            mode,
            total_ms,
            pages,
            faults,
            ..
        } = self;
        if !self.has_moved() {
            return writeln!(f, "{outcome} after {}", milliseconds(*total_ms));
        }
        writeln!(f, "moved by {mode} in {}", milliseconds(*total_ms))?;
        writeln!(
            f,
            "  times   downtime {}, before it {}, after it {}",
            milliseconds(self.downtime_ms),
            milliseconds(self.preparation_ms),
            milliseconds(self.resume_ms)
        )?;
        writeln!(
            f,
            "  pages   {} in all: {} transferred ({} pushed, {} demanded), {} absent, {} zero",
            pages.total, pages.transferred, pages.pushed, pages.demanded, pages.absent, pages.zero
        )?;
        writeln!(
            f,
            "  faults  {} over the network, half of them within {}, 99% within {}, all within {}",
            faults.network,
            microseconds(faults.latency_us.p50),
            microseconds(faults.latency_us.p99),
            microseconds(faults.latency_us.max)
        )?;
        writeln!(f, "  wire    {}", bytes(self.wire_bytes.total))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn progress_is_a_bar_with_its_share() {
        let progress = Progress {
            phase: "transfer".into(),
            round: 2,
            pages_done: 131_072,
            pages_total: 262_144,
            elapsed_ms: 1500,
            rate_bytes_per_s: 112 << 20,
            remaining_bytes: 512 << 20,
            eta_ms: Some(4571),
        };
        assert_eq!(
            progress_line(&progress),
            "[############............]  50%  512.0 MiB of 1.0 GiB  112.0 MiB/s  4.57 s left  transfer, round 2"
        );
    }

    #[test]
    fn progress_without_sense_is_still_a_line() {
        for (pages_done, pages_total) in [(0, 0), (9, 3), (u64::MAX, u64::MAX)] {
            let progress = Progress {
                phase: String::new(),
                round: u32::MAX,
                pages_done,
                pages_total,
                elapsed_ms: u64::MAX,
                rate_bytes_per_s: u64::MAX,
                remaining_bytes: u64::MAX,
                eta_ms: Some(u64::MAX),
            };
            assert!(progress_line(&progress).starts_with('['));
        }
    }

    #[test]
    fn summary_of_a_completed_move_tells_the_numbers() {
        let summary = Summary::of(&json!({
            "schema": 1, "outcome": "completed", "reason": null, "mode": "post-copy",
            "preparation_ms": 5.0, "downtime_ms": 12.34, "resume_ms": 1500.0, "total_ms": 1517.34,
            "pages": { "total": 100, "transferred": 60, "zero": 1, "absent": 39, "pushed": 50, "demanded": 10 },
            "faults": { "network": 10, "latency_us": { "p50": 90.0, "p99": 400.0, "max": 2000.0 } },
            "wire_bytes": { "total": 5 << 20 }
        }));
        assert!(summary.has_moved());
        let text = summary.to_string();
        for part in [
            "post-copy in 1.52 s",
            "downtime 12.3 ms",
            "60 transferred",
            "within 90 us",
            "5.0 MiB",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn summary_of_anything_but_a_completed_move_is_not_moved() {
        let report =
            json!({ "outcome": "resumed-at-source", "reason": "cancelled", "total_ms": 20.0 });
        let summary = Summary::of(&report);
        assert!(!summary.has_moved());
        assert_eq!(summary.to_string(), "resumed-at-source after 20.0 ms\n");
        for report in [json!(null), json!([]), json!({}), json!({ "outcome": 7 })] {
            assert!(!Summary::of(&report).has_moved());
        }
    }
}
