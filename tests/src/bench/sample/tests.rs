//! Tests of what is made of reports.

use serde_json::json;

use super::*;
use crate::bench::guest::{RATE_RECORDS, Record};
use crate::bench::{LinkKind, Pace, Suite, Workload};

fn report() -> Value {
    json!({
        "outcome": "completed", "reason": null, "mode": "post-copy", "prepaging": "push",
        "preparation_ms": 5.0, "downtime_ms": 2.0, "resume_ms": 993.0, "total_ms": 1000.0,
        "faults": { "network": 400, "underway": 0, "latency_us": { "p50": 400.0, "p90": 1.0, "p99": 900.0, "max": 1000.0, "mean": 500.0 } },
        "wire_bytes": { "total": 500_000 },
        "pages": {
            "total": 97, "transferred": 100, "duplicate": 3, "zero": 0, "absent": 0,
            "pushed": 80, "demanded": 20
        },
        "rounds": [], "largest_push_bytes": 65536,
        "downtime_parts_ms": { "pause": 0.5, "state": 1.5 },
    })
}

fn sample(report: &Value, foreign_share: f64) -> Result<Sample, BenchError> {
    // A second of work before the move and one after it, and in the second between, three quarters
    // of the work.
    let steps = 0..=RATE_RECORDS as u64;
    let before = steps.clone().map(|step| (step * 100, step * 100));
    let after = steps.map(|step| (2000 + step * 100, 1750 + step * 100));
    let record = |(t_ms, pages)| Record {
        t_ms,
        pages,
        max_gap_us: 200,
    };
    let guest = GuestView {
        records: before.chain(after).map(record).collect(),
        before: RATE_RECORDS,
    };
    let noise = Noise {
        load: 0.1,
        foreign_share,
        stolen_share: 0.0,
    };
    Sample::new(report, guest, None, noise)
}

#[test]
fn sample_has_the_numbers_of_the_report_and_what_follows_from_them() {
    let sample = sample(&report(), 0.0).unwrap();
    assert_eq!(sample.blocked_ms, 200.0);
    assert_eq!(sample.downtime_parts_ms["state"], 1.5);
    assert_eq!(sample.content_bytes(), 409_600.0);
    assert!((sample.lost_percent().unwrap() - 25.0).abs() < 1e-9);
}

#[test]
fn move_that_did_not_complete_is_no_sample() {
    let mut failed = report();
    failed["outcome"] = json!("resumed-at-source");
    failed["reason"] = json!("the peer is gone");
    let error = sample(&failed, 0.0).unwrap_err();
    assert!(error.to_string().contains("the peer is gone"), "{error}");
}

#[test]
fn report_that_lacks_a_promised_field_is_an_error_that_names_it() {
    let mut poor = report();
    poor["faults"] = json!({});
    let error = sample(&poor, 0.0).unwrap_err();
    assert!(error.to_string().contains("/faults/network"), "{error}");
}

#[test]
fn report_that_does_not_add_up_is_an_error() {
    let mut wrong = report();
    wrong["total_ms"] = json!(1200.0);
    let error = sample(&wrong, 0.0).unwrap_err();
    assert!(error.to_string().contains("the times"), "{error}");
}

#[test]
fn noisy_runs_do_not_count_beside_quiet_ones_and_do_if_there_is_nothing_else() {
    let cell = Cell {
        suite: Suite::Moves,
        workload: Workload::SeqWrite,
        pace: Pace::Full,
        link: LinkKind::Loopback,
        memory_mib: 1024,
        hot_mib: 256,
    };
    let mut summary = Summary::new(cell, "push:".parse().unwrap());
    let mut noisy = sample(&report(), 0.9).unwrap();
    noisy.total_ms = 9000.0;
    summary.samples.push(noisy);
    assert_eq!(summary.median(|sample| sample.total_ms), Some(9000.0));
    summary.samples.push(sample(&report(), 0.0).unwrap());
    assert_eq!(summary.median(|sample| sample.total_ms), Some(1000.0));
    assert_eq!(summary.quiet(), 1);
    assert!(summary.ran_in("post-copy") && summary.prepaged_by("push"));
}

#[test]
fn guest_whose_rate_changes_by_itself_was_not_alone() {
    let mut sample = sample(&report(), 0.0).unwrap();
    assert!(sample.is_quiet());
    sample.cost.rate_before *= 0.8;
    assert!(!sample.is_quiet());
}
