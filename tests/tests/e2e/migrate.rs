//! Moving the probe guest between two processes.

use std::time::Duration;

use serde_json::Value;
use tests::harness::{Host, VmProcess, contradiction, field};

use crate::ground::{has_kvm, scaled};

const PATIENCE: Duration = Duration::from_secs(120);
/// Moves in a row, back and forth.
const MOVES: u32 = 20;

/// No guest has found a byte that it did not write.
pub fn no_corruption(vm: &VmProcess) {
    let lines = vm.skiff.output().all();
    let corrupt: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("corrupt"))
        .collect();
    assert!(corrupt.is_empty(), "{corrupt:?}");
}

/// A number of the report.
pub fn number(report: &Value, path: &str) -> f64 {
    report
        .pointer(path)
        .and_then(Value::as_f64)
        .unwrap_or_else(|| panic!("{path} in {report}"))
}

/// The sums of a report hold.
pub fn check_sums(report: &Value) {
    assert_eq!(contradiction(report), None, "{report}");
}

#[test]
fn post_copy_twenty_moves_in_a_row_lose_and_corrupt_nothing() {
    if !has_kvm("twenty_moves") {
        return;
    }
    let host = Host::new().unwrap();
    let memory = scaled("1G", "256M");
    let words = scaled("workload=seq-write ws=256M", "workload=seq-write ws=16M");
    let mut here = host.boot_probe("move0", memory, words).unwrap();
    here.wait_output("passes=1").unwrap();
    let mut last_ms = 0;
    for number in 1..=scaled(MOVES, 4) {
        let (there, address) = host.receive(&format!("move{number}")).unwrap();
        let report = here.migrate(&address, &["--mode", "post-copy"]).unwrap();
        assert_eq!(report["outcome"], "completed", "{report}");
        check_sums(&report);
        here.skiff.succeed(PATIENCE).unwrap();
        let t_ms = field(&there.wait_output("t_ms=").unwrap(), "t_ms").unwrap();
        assert!(t_ms > last_ms, "time went back from {last_ms} to {t_ms} ms");
        last_ms = t_ms;
        no_corruption(&there);
        here = there;
    }
    here.skiff.type_text("q").unwrap();
    here.wait_output("probe: done").unwrap();
    here.skiff.succeed(PATIENCE).unwrap();
    no_corruption(&here);
}

#[test]
fn stop_and_copy_moves_a_guest_whole() {
    if !has_kvm("stop_and_copy") {
        return;
    }
    let host = Host::new().unwrap();
    let mut source = host
        .boot_probe("still", "128M", "workload=random ws=16M")
        .unwrap();
    source.wait_output("passes=1").unwrap();
    let (mut target, address) = host.receive("still2").unwrap();
    let report = source
        .migrate(&address, &["--mode", "stop-and-copy"])
        .unwrap();
    assert_eq!(report["outcome"], "completed", "{report}");
    assert_eq!(number(&report, "/faults/network"), 0.0, "{report}");
    check_sums(&report);
    source.skiff.succeed(PATIENCE).unwrap();
    target.wait_output("t_ms=").unwrap();
    target.skiff.type_text("q").unwrap();
    target.wait_output("probe: done").unwrap();
    no_corruption(&target);
}

#[test]
fn guest_of_two_vcpus_moves_and_both_go_on() {
    if !has_kvm("smp_move") {
        return;
    }
    let host = Host::new().unwrap();
    let words = scaled("workload=random ws=16M", "workload=random ws=1M");
    let options = [
        "--kernel",
        "probe",
        "--memory",
        "128M",
        "--cpus",
        "2",
        "--cmdline",
        words,
    ];
    let mut source = host.boot("smp", &options).unwrap();
    source.wait_output("passes=1").unwrap();
    let (mut target, address) = host.receive("smp2").unwrap();
    source.migrate(&address, &[]).unwrap();
    source.skiff.succeed(PATIENCE).unwrap();
    let passes = field(&target.wait_output("t_ms=").unwrap(), "passes").unwrap();
    // A pass is complete only when every vCPU has done its part.
    let pass = |line: &str| field(line, "passes").unwrap();
    while pass(&target.wait_fresh_output("t_ms=").unwrap()) < passes + 2 {}
    target.skiff.type_text("q").unwrap();
    target.wait_output("probe: done").unwrap();
    no_corruption(&target);
}

/// A guest as young as the VM it comes to: kernels have a rule of their own for its clock.
#[test]
fn time_of_a_young_guest_goes_on_across_a_move() {
    if !has_kvm("young_move") {
        return;
    }
    let host = Host::new().unwrap();
    let (target, address) = host.receive("young2").unwrap();
    let mut source = host.boot_probe("young", "64M", "workload=idle").unwrap();
    source.wait_output("t_ms=").unwrap();
    source.migrate(&address, &["--mode", "post-copy"]).unwrap();
    source.skiff.succeed(PATIENCE).unwrap();
    let t_ms = |line: &str| field(line, "t_ms").unwrap();
    let records = source.skiff.output().all();
    let before = records.iter().rfind(|line| line.contains("t_ms=")).unwrap();
    let after = target.wait_output("t_ms=").unwrap();
    assert!(t_ms(&after) > t_ms(before), "{before}, then {after}");
}

#[test]
fn paused_guest_arrives_paused() {
    if !has_kvm("paused_move") {
        return;
    }
    let host = Host::new().unwrap();
    let source = host.boot_probe("frozen", "64M", "workload=idle").unwrap();
    source.wait_output("t_ms=").unwrap();
    source.tell("pause").unwrap();
    let (target, address) = host.receive("frozen2").unwrap();
    source.migrate(&address, &[]).unwrap();
    let messages = target.skiff.messages();
    messages.wait("all memory of the VM", PATIENCE).unwrap();
    assert_eq!(target.info().unwrap()["state"], "paused");
    assert_eq!(target.skiff.output().count(), 0);
    target.tell("resume").unwrap();
    target.wait_output("t_ms=").unwrap();
}
