//! Every mode of migration with guests of every kind: nothing is lost, and the report adds up.

use std::thread;
use std::time::{Duration, Instant};

use tests::harness::{Host, VmProcess};

use crate::ground::{has_kvm, scaled};
use crate::migrate::{check_sums, no_corruption, number};

const PATIENCE: Duration = Duration::from_secs(120);

const MODES: [&str; 5] = ["auto", "hybrid", "post-copy", "pre-copy", "stop-and-copy"];

/// What guests do, small enough for a test: 16 MiB of 96 MiB.
const WORKLOADS: [&str; 4] = [
    "workload=idle",
    "workload=seq-write ws=16M",
    "workload=random ws=16M",
    "workload=zipf ws=16M",
];

/// Ends the guest, which checks all of its memory by then.
fn finish(vm: &mut VmProcess) {
    vm.skiff.type_text("q").unwrap();
    vm.wait_output("probe: done").unwrap();
    no_corruption(vm);
}

#[test]
fn every_mode_moves_every_workload_with_every_page_right_and_a_report_that_adds_up() {
    if !has_kvm("modes") {
        return;
    }
    let host = Host::new().unwrap();
    for (number_of_workload, words) in WORKLOADS.iter().enumerate() {
        let mut here = host
            .boot_probe(&format!("guest{number_of_workload}"), "96M", words)
            .unwrap();
        here.wait_output("t_ms=").unwrap();
        for mode in MODES {
            let name = format!("{mode}{number_of_workload}");
            let (there, address) = host.receive(&name).unwrap();
            let report = here.migrate(&address, &["--mode", mode]).unwrap();
            assert_eq!(report["outcome"], "completed", "{words}: {report}");
            assert_eq!(report["mode_asked"], mode, "{words}: {report}");
            check_sums(&report);
            let rounds = report["rounds"].as_array().unwrap().len();
            match mode {
                "post-copy" | "stop-and-copy" => assert_eq!(rounds, 0, "{report}"),
                "hybrid" => assert_eq!(rounds, 1, "{report}"),
                _ => assert!(rounds > 0, "{report}"),
            }
            if report["mode"] == "pre-copy" {
                assert_eq!(number(&report, "/faults/network"), 0.0, "{report}");
            }
            here.skiff.succeed(PATIENCE).unwrap();
            no_corruption(&here);
            here = there;
            here.wait_fresh_output("t_ms=").unwrap();
        }
        finish(&mut here);
    }
}

#[test]
fn auto_keeps_the_downtime_it_was_allowed_or_says_what_forbids_it() {
    if !has_kvm("auto") {
        return;
    }
    let host = Host::new().unwrap();
    let cases = [
        ("calm", "workload=idle", "t_ms="),
        ("busy", "workload=seq-write ws=64M", "passes=1"),
    ];
    for (name, words, warm) in cases {
        let mut source = host.boot_probe(name, "256M", words).unwrap();
        source.wait_output(warm).unwrap();
        let (mut target, address) = host.receive(&format!("{name}2")).unwrap();
        let options = ["--mode", "auto", "--max-downtime", "250ms"];
        let report = source.migrate(&address, &options).unwrap();
        check_sums(&report);
        assert_eq!(number(&report, "/max_downtime_ms"), 250.0, "{report}");
        let kept = number(&report, "/downtime_ms") <= 250.0;
        assert_eq!(kept, report["downtime_excess"].is_null(), "{report}");
        assert!(number(&report, "/predicted_downtime_ms") > 0.0, "{report}");
        if name == "calm" {
            // Where a round is slow, the last handful of pages goes after the hand-over.
            let modes = scaled(&["pre-copy"][..], &["pre-copy", "hybrid"]);
            assert!(modes.iter().any(|&mode| report["mode"] == mode), "{report}");
        }
        source.skiff.succeed(PATIENCE).unwrap();
        target.wait_output("t_ms=").unwrap();
        finish(&mut target);
    }
}

#[test]
fn migration_cancelled_in_its_rounds_leaves_the_guest_running_and_the_next_one_moves_it() {
    if !has_kvm("cancel_rounds") {
        return;
    }
    let host = Host::new().unwrap();
    let words = "workload=seq-write ws=64M";
    let source = host.boot_probe("staying", "256M", words).unwrap();
    source.wait_output("passes=1").unwrap();
    for (attempt, mode) in ["pre-copy", "hybrid", "auto"].into_iter().enumerate() {
        let (_target, address) = host.receive(&format!("waiting{attempt}")).unwrap();
        // One round of this guest takes longer than it takes to ask for it.
        let outcome = thread::scope(|scope| {
            let source = &source;
            let options = ["--mode", mode, "--max-downtime", "1us"];
            let mover = scope.spawn(move || source.migrate(&address, &options));
            while source.tell("cancel").is_err() {
                assert!(
                    !mover.is_finished(),
                    "{mode} was over before it was cancelled"
                );
            }
            let cancelled = Instant::now();
            let outcome = mover.join().unwrap();
            let bound = scaled(Duration::from_millis(500), Duration::from_secs(10));
            assert!(cancelled.elapsed() < bound, "{mode}");
            outcome
        });
        assert!(outcome.is_err(), "{mode}");
        source.wait_fresh_output("t_ms=").unwrap();
    }
    let (mut target, address) = host.receive("at-last").unwrap();
    source.migrate(&address, &["--mode", "pre-copy"]).unwrap();
    no_corruption(&source);
    target.wait_output("t_ms=").unwrap();
    finish(&mut target);
}
