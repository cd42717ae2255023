//! The results as text.

use super::results::Results;
use super::sample::{Sample, Summary};
use super::verdict::{Bound, Judgement, Verdict};

/// One number of a run, and how it is shown.
#[derive(Debug)]
pub struct Metric {
    /// Name and unit.
    pub name: &'static str,
    /// Head of its column.
    head: &'static str,
    /// Decimal places.
    places: usize,
    /// The number; not every run has each.
    pub number: fn(&Sample) -> Option<f64>,
}

const fn metric(
    name: &'static str,
    head: &'static str,
    places: usize,
    number: fn(&Sample) -> Option<f64>,
) -> Metric {
    Metric {
        name,
        head,
        places,
        number,
    }
}

/// What the guest felt first, then what explains it.
pub const METRICS: &[Metric] = &[
    metric("work_lost_s", "lost s", 2, |run| run.cost.lost_s),
    metric("work_lost_percent", "lost %", 0, Sample::lost_percent),
    metric("longest_stall_ms", "stall ms", 1, |run| {
        Some(run.cost.longest_stall_ms)
    }),
    metric("blocked_ms", "blocked", 0, |run| Some(run.blocked_ms)),
    metric("vcpu_blocked_ms", "vcpu-bl.", 0, |run| run.vcpu_blocked_ms),
    metric("network_faults", "faults", 0, |run| Some(run.faults)),
    metric("fault_p50_us", "p50 us", 0, |run| Some(run.fault_p50_us)),
    metric("fault_p99_us", "p99 us", 0, |run| Some(run.fault_p99_us)),
    metric("fault_max_us", "max us", 0, |run| Some(run.fault_max_us)),
    metric("preparation_ms", "prep ms", 1, |run| {
        Some(run.preparation_ms)
    }),
    metric("downtime_ms", "down ms", 2, |run| Some(run.downtime_ms)),
    metric("resume_ms", "res. ms", 0, |run| Some(run.resume_ms)),
    metric("total_ms", "total ms", 0, |run| Some(run.total_ms)),
    metric("wire_mib", "wire MiB", 1, |run| {
        Some(run.wire_bytes / f64::from(1 << 20))
    }),
];

/// Prints everything.
pub fn print(results: &Results) {
    for skipped in &results.skipped {
        println!("left out: {}: {}", skipped.what, skipped.reason);
    }
    if results.interrupted {
        println!("interrupted: what follows is what there was");
    }
    print_floors(results);
    print_cells(&results.summaries);
    print_verdicts(&results.verdicts);
}

fn print_floors(results: &Results) {
    println!(
        "\n{:10} {:>10} {:>10} {:>11} {:>12} {:>14} {:>12} {:>12}",
        "floors",
        "copy MB/s",
        "TCP MB/s",
        "fetch us",
        "fault us",
        "net fault us",
        "its p99 us",
        "felt us"
    );
    for floors in &results.floors {
        let typical = &floors.typical;
        println!(
            "{:10} {:10.0} {:10.1} {:9.0} {:12.0} {:14.0} {:12.0} {:12.0}",
            floors.link,
            typical.bulk_copy_bytes_per_s / 1e6,
            typical.tcp_bytes_per_s / 1e6,
            typical.fetch_us,
            typical.local_fault_us,
            typical.network_fault_us,
            typical.network_fault_p99_us,
            typical.network_touch_us,
        );
    }
}

fn print_cells(summaries: &[Summary]) {
    print!("\n{:36} {:9} {:>5}", "cell", "column", "runs");
    for metric in METRICS {
        print!(" {:>11}", metric.head);
    }
    println!(
        "\n{:52} medians; below, the range of all runs that count",
        ""
    );
    for summary in summaries {
        for failure in &summary.failures {
            println!("{:36} {:9} FAILED: {failure}", summary.cell, summary.column);
        }
        if summary.samples.is_empty() {
            continue;
        }
        let runs = format!("{}/{}", summary.quiet(), summary.samples.len());
        print!("{:36} {:9} {:>5}", summary.cell, summary.column, runs);
        let spreads: Vec<_> = METRICS
            .iter()
            .map(|metric| (metric, summary.spread(metric.number)))
            .collect();
        for (metric, spread) in &spreads {
            match spread {
                Some(spread) => print!(" {:11.*}", metric.places, spread.median),
                None => print!(" {:>11}", "-"),
            }
        }
        print!("\n{:52}", "");
        for (metric, spread) in &spreads {
            let places = metric.places.min(1);
            let range = spread.map_or_else(String::new, |spread| {
                format!("{:.places$}-{:.places$}", spread.min, spread.max)
            });
            print!(" {range:>11}");
        }
        println!();
    }
    println!("runs: quiet/all; only quiet ones count, unless there are none");
}

pub(super) fn print_verdicts(verdicts: &[Verdict]) {
    if verdicts.is_empty() {
        return;
    }
    println!(
        "\n{:5} {:>10}    {:>10} {:>6}  claim",
        "", "measured", "limit", "ratio"
    );
    for verdict in verdicts {
        let word = match verdict.judgement() {
            Judgement::Holds => "PASS",
            Judgement::Fails => "FAIL",
            Judgement::Undecided => "NOISE",
        };
        let sign = match verdict.bound {
            Bound::AtMost(_) => "<=",
            Bound::AtLeast(_) => ">=",
        };
        println!(
            "{word:5} {:10.2} {sign} {:10.2} {:6.2}  {} [{}]",
            verdict.measured,
            verdict.limit(),
            verdict.ratio(),
            verdict.claim,
            verdict.subject
        );
    }
    let count = |judgement| {
        let all = verdicts.iter().map(Verdict::judgement);
        all.filter(|one| *one == judgement).count()
    };
    println!(
        "{} of {} claims hold, {} cannot be told: others disturbed every run",
        count(Judgement::Holds),
        verdicts.len(),
        count(Judgement::Undecided)
    );
}
