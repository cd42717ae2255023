//! Tests of the claims.

use super::*;
use crate::bench::cell::{Cell, Pace, Workload};
use crate::bench::guest::{GuestCost, GuestView};
use crate::bench::matrix::Suite;
use crate::bench::noise::Noise;
use crate::bench::sample::Sample;

fn cell(pace: Pace, link: LinkKind) -> Cell {
    Cell {
        suite: Suite::Moves,
        workload: Workload::SeqWrite,
        pace,
        link,
        memory_mib: 1024,
        hot_mib: 256,
    }
}

fn sample(mode: &str, prepaging: &str) -> Sample {
    Sample {
        mode: mode.to_owned(),
        prepaging: prepaging.to_owned(),
        preparation_ms: 1.0,
        downtime_ms: 1.5,
        downtime_parts_ms: std::collections::BTreeMap::new(),
        resume_ms: 2497.5,
        total_ms: 2500.0,
        faults: 3000.0,
        underway: 0.0,
        fault_p50_us: 300.0,
        fault_p99_us: 3000.0,
        fault_max_us: 5000.0,
        blocked_ms: 900.0,
        vcpu_blocked_ms: None,
        vcpu_queued_ms: None,
        vcpu_kernel_ms: None,
        wire_bytes: 270e6,
        transferred_pages: 65_536.0,
        demanded_pages: 2000.0,
        duplicate_pages: 0.0,
        largest_push_bytes: 65_536.0,
        rounds: 0,
        cost: GuestCost {
            rate_before: 1e6,
            rate_after: 1e6,
            lost_s: Some(2.0),
            longest_stall_ms: 8.0,
            usual_stall_ms: 0.2,
        },
        guest: GuestView {
            records: Vec::new(),
            before: 0,
        },
        noise: Noise {
            load: 0.0,
            foreign_share: 0.0,
            stolen_share: 0.0,
        },
    }
}

fn summary(cell: Cell, column: &str, sample: Sample) -> Summary {
    let mut summary = Summary::new(cell, column.parse().unwrap());
    summary.samples.push(sample);
    summary
}

fn floors(link: LinkKind) -> LinkFloors {
    let typical = Floors {
        bulk_copy_bytes_per_s: 2e9,
        tcp_bytes_per_s: 119e6,
        fetch_us: 60.0,
        local_fault_us: 20.0,
        network_fault_us: 100.0,
        network_fault_p99_us: 200.0,
        network_touch_us: 120.0,
    };
    LinkFloors::new(link, vec![typical]).unwrap()
}

fn find<'a>(verdicts: &'a [Verdict], claim: &str) -> Option<&'a Verdict> {
    verdicts
        .iter()
        .find(|verdict| verdict.claim.starts_with(claim))
}

#[test]
fn total_time_on_a_slow_link_is_held_against_the_link() {
    let cell = cell(Pace::Full, LinkKind::GIGABIT);
    let mut fast = sample("post-copy", "push");
    fast.total_ms = 2300.0;
    let slow = sample("post-copy", "push");
    // 256 MiB at 119 MB/s take 2.256 s.
    for (sample, holds) in [(fast, true), (slow, false)] {
        let verdicts = all(
            &[summary(cell, "push:--mode post-copy", sample)],
            &[floors(LinkKind::GIGABIT)],
        );
        let verdict = find(&verdicts, "total time").unwrap();
        assert_eq!(verdict.holds(), holds, "{verdict:?}");
    }
}

#[test]
fn rate_on_loopback_is_held_against_the_bulk_copy_if_the_guest_rests() {
    let mut sample = sample("post-copy", "push");
    sample.total_ms = 200.0;
    let verdicts_at = |pace| {
        let cell = cell(pace, LinkKind::Loopback);
        let summary = summary(cell, "push:--mode post-copy", sample.clone());
        all(&[summary], &[floors(LinkKind::Loopback)])
    };
    let paced = verdicts_at(Pace::PagesPerS(2000));
    let verdict = find(&paced, "rate").unwrap();
    assert!(verdict.holds() && verdict.measured > 0.67, "{verdict:?}");
    assert!(find(&verdicts_at(Pace::Full), "rate").is_none());
}

#[test]
fn fault_latency_is_held_against_the_idle_floor_without_and_the_busy_one_with_prepaging() {
    let cell = cell(Pace::Full, LinkKind::GIGABIT);
    let floors = [floors(LinkKind::GIGABIT)];
    let idle = all(
        &[summary(
            cell,
            "none:--mode post-copy",
            sample("post-copy", "none"),
        )],
        &floors,
    );
    let verdict = find(&idle, "fault p50").unwrap();
    assert!(
        !verdict.holds() && verdict.measured == 3.0 && verdict.limit() == 1.5,
        "{verdict:?}"
    );
    let busy = all(
        &[summary(
            cell,
            "push:--mode post-copy",
            sample("post-copy", "push"),
        )],
        &floors,
    );
    let verdict = find(&busy, "fault p99").unwrap();
    // Twice 64 KiB at 119 MB/s, once of them at 2 GB/s, and 160 us.
    assert!(
        !verdict.holds() && (1290.0..1300.0).contains(&verdict.limit()),
        "{verdict:?}"
    );
    assert_eq!(find(&busy, "fault p50"), None);
}

#[test]
fn paced_guest_may_lose_less_in_auto_than_in_post_copy() {
    let cell = cell(Pace::PagesPerS(2000), LinkKind::GIGABIT);
    let mut mild = sample("post-copy", "push");
    mild.cost.lost_s = Some(0.125);
    let post_copy = all(&[summary(cell, "push:--mode post-copy", mild.clone())], &[]);
    let auto = all(&[summary(cell, "auto:--mode auto", mild)], &[]);
    assert!(find(&post_copy, "work lost").unwrap().holds());
    assert!(!find(&auto, "work lost").unwrap().holds());
}

#[test]
fn auto_keeps_the_downtime_it_was_asked_for() {
    let cell = cell(Pace::Full, LinkKind::Loopback);
    let mut long = sample("hybrid", "bubble");
    long.downtime_ms = 120.0;
    let usual = all(&[summary(cell, "auto:", long.clone())], &[]);
    let asked = all(&[summary(cell, "auto:--max-downtime 50ms", long)], &[]);
    assert!(find(&usual, "longest downtime").unwrap().holds());
    assert!(!find(&asked, "longest downtime").unwrap().holds());
}

#[test]
fn bubble_is_compared_with_push_of_the_same_cell_only() {
    let fast = cell(Pace::Full, LinkKind::GIGABIT);
    let paced = cell(Pace::PagesPerS(2000), LinkKind::GIGABIT);
    let mut bubble = sample("post-copy", "bubble");
    bubble.faults = 500.0;
    bubble.cost.lost_s = Some(1.0);
    let summaries = [
        summary(fast, "push:--mode post-copy", sample("post-copy", "push")),
        summary(fast, "bubble:--mode post-copy", bubble.clone()),
        summary(paced, "bubble:--mode post-copy", bubble),
    ];
    let verdicts = across::verdicts(&summaries);
    assert_eq!(verdicts.len(), 2, "{verdicts:?}");
    assert!(verdicts.iter().all(Verdict::holds));
    assert_eq!(find(&verdicts, "network faults").unwrap().measured, 6.0);
}

#[test]
fn push_that_seems_to_gain_work_does_not_make_bubble_lose_some() {
    let cell = cell(Pace::PagesPerS(2000), LinkKind::GIGABIT);
    let losing = |prepaging, lost_s| {
        let mut sample = sample("post-copy", prepaging);
        sample.cost.lost_s = Some(lost_s);
        summary(cell, &format!("{prepaging}:--mode post-copy"), sample)
    };
    let verdicts = across::verdicts(&[losing("push", -0.02), losing("bubble", 0.001)]);
    assert!(find(&verdicts, "work lost").unwrap().holds());
}

#[test]
fn sort_is_held_against_the_fewest_faults_of_the_paper() {
    let mut sort = cell(Pace::Full, LinkKind::GIGABIT);
    (sort.suite, sort.workload) = (Suite::Sorts, Workload::Quicksort { procs: 64 });
    let of = |prepaging| all(&[summary(sort, "x:", sample("post-copy", prepaging))], &[]);
    assert_eq!(find(&of("push"), "network faults"), None);
    let verdicts = of("bubble");
    let verdict = find(&verdicts, "network faults").unwrap();
    assert_eq!((verdict.holds(), verdict.limit()), (false, 1577.0));
    assert!(verdict.ratio() > 1.9);
}

#[test]
fn downtime_that_grows_with_memory_is_found() {
    let sized = |memory_mib, downtime_ms| {
        let mut cell = cell(Pace::PagesPerS(2000), LinkKind::Loopback);
        (cell.suite, cell.memory_mib) = (Suite::Sizes, memory_mib);
        let mut sample = sample("post-copy", "push");
        sample.downtime_ms = downtime_ms;
        summary(cell, "push:--mode post-copy", sample)
    };
    let growing = across::verdicts(&[sized(256, 1.0), sized(8192, 9.0)]);
    assert_eq!(growing.len(), 1, "{growing:?}");
    assert!(!growing[0].holds());
    let constant = across::verdicts(&[sized(256, 1.0), sized(8192, 1.3)]);
    assert!(constant[0].holds());
}

#[test]
fn wire_bytes_of_a_sparse_vm_are_held_against_what_it_uses() {
    let mut sparse = cell(Pace::PagesPerS(2000), LinkKind::Loopback);
    (sparse.suite, sparse.hot_mib) = (Suite::Sparse, 200);
    let verdicts = all(&[summary(sparse, "push:", sample("pre-copy", "push"))], &[]);
    let verdict = find(&verdicts, "wire bytes").unwrap();
    assert!(!verdict.holds(), "270 MB are more than 200 MiB + 5 %");
}

#[test]
fn cell_without_samples_has_no_verdicts() {
    let cell = cell(Pace::Full, LinkKind::Loopback);
    let empty = Summary::new(cell, "push:".parse().unwrap());
    assert!(all(&[empty], &[]).is_empty());
}

#[test]
fn claim_that_fails_in_disturbed_runs_alone_is_undecided() {
    let judge = |measured, is_quiet| {
        let verdict = Verdict {
            claim: "downtime ms",
            subject: "a cell".to_owned(),
            measured,
            bound: Bound::AtMost(2.0),
            is_quiet,
        };
        verdict.judgement()
    };
    assert_eq!(judge(1.9, false), Judgement::Holds);
    assert_eq!(judge(2.1, true), Judgement::Fails);
    assert_eq!(judge(2.1, false), Judgement::Undecided);
}
