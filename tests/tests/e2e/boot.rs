//! Booting the probe guest.

use std::time::Duration;

use tests::harness::{Host, field};

use crate::ground::{has_kvm, scaled};

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn probe_idle_reports_progress_until_told_to_end() {
    if !has_kvm("probe_idle") {
        return;
    }
    let host = Host::new().unwrap();
    let mut vm = host.boot_probe("idle", "128M", "workload=idle").unwrap();
    vm.wait_output("probe: ready").unwrap();
    let first = field(&vm.wait_output("t_ms=").unwrap(), "t_ms").unwrap();
    let second = field(&vm.wait_fresh_output("t_ms=").unwrap(), "t_ms").unwrap();
    assert!(second > first, "{second} ms after {first} ms");
    vm.skiff.type_text("q").unwrap();
    vm.wait_output("probe: done").unwrap();
    vm.skiff.succeed(PATIENCE).unwrap();
}

#[test]
fn probe_with_passes_ends_by_itself_with_exit_0() {
    if !has_kvm("probe_passes") {
        return;
    }
    let host = Host::new().unwrap();
    let words = "workload=seq-write ws=8M passes=3 seed=5";
    let mut vm = host.boot_probe("passes", "64M", words).unwrap();
    vm.wait_output("probe: done digest=").unwrap();
    vm.skiff.succeed(PATIENCE).unwrap();
    assert!(
        !vm.skiff
            .output()
            .all()
            .iter()
            .any(|line| line.contains("corrupt"))
    );
}

#[test]
fn probe_with_the_same_seed_has_the_same_digest_on_any_number_of_vcpus() {
    if !has_kvm("probe_digest") {
        return;
    }
    let host = Host::new().unwrap();
    let mut digests = Vec::new();
    for cpus in ["1", "2"] {
        let words = "workload=seq-write ws=4M passes=2 seed=7";
        let options = [
            "--kernel",
            "probe",
            "--memory",
            "64M",
            "--cpus",
            cpus,
            "--cmdline",
            words,
        ];
        let mut vm = host.boot(&format!("digest{cpus}"), &options).unwrap();
        let done = vm.wait_output("probe: done digest=").unwrap();
        digests.push(done.split("digest=").nth(1).unwrap().to_owned());
        vm.skiff.succeed(PATIENCE).unwrap();
    }
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn probe_finds_memory_on_both_sides_of_the_hole() {
    if !has_kvm("probe_hole") {
        return;
    }
    let host = Host::new().unwrap();
    let memory = scaled("5G", "1G");
    let mut vm = host
        .boot_probe("hole", memory, "workload=seq-write ws=4M passes=1")
        .unwrap();
    vm.wait_output("probe: done").unwrap();
    vm.skiff.succeed(PATIENCE).unwrap();
}

#[test]
fn probe_of_sixteen_mib_boots() {
    if !has_kvm("probe_small") {
        return;
    }
    let host = Host::new().unwrap();
    let mut vm = host
        .boot_probe("small", "16M", "workload=seq-write ws=2M passes=1")
        .unwrap();
    vm.wait_output("probe: done").unwrap();
    vm.skiff.succeed(PATIENCE).unwrap();
}
