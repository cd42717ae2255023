//! A stock Linux guest out of a snapshot: its clock, its memory and its console go on.

use std::time::Duration;

use tests::harness::{Host, VmProcess, field};

use crate::ground::has_hardware;

const PATIENCE: Duration = Duration::from_secs(240);

fn wait(vm: &VmProcess, text: &str) {
    vm.skiff.output().wait(text, PATIENCE).unwrap();
}

#[test]
fn stock_guest_counts_checks_memory_and_answers_after_each_resume() {
    if !has_hardware("snapshot_linux") {
        return;
    }
    let (host, place) = (Host::new().unwrap(), tempfile::tempdir().unwrap());
    let directory = place.path().join("snap");
    let words = "skiff.counter=50 skiff.checksum=16";
    let mut vm = host.boot_linux("linux", "1", words).unwrap();
    wait(&vm, "checksum ok n=1");
    vm.snapshot(&directory, &["--stop", "--live"]).unwrap();
    vm.skiff.succeed(PATIENCE).unwrap();
    let before = vm.skiff.output().text();
    for mode in ["lazy", "mapped", "eager"] {
        let options = ["--memory-mode", mode];
        let mut copy = host.restore(mode, &directory, &options).unwrap();
        wait(&copy, "checksum ok");
        let text = copy.skiff.output().text();
        // The guest runs by then, so that the monitor's own line may stand within one of the guest's.
        let (first, rest) = text.split_once(&format!("{mode} is ready: ")).unwrap();
        let (_, rest) = rest.split_once('\n').unwrap();
        // What is typed is echoed, now and then in the middle of a line: the count is read before.
        let quiet = before.clone() + first + rest;
        copy.skiff
            .type_text("dmesg | grep -c fork; echo two $((40 + 3))\n")
            .unwrap();
        wait(&copy, "two 43");
        assert!(!copy.skiff.output().text().contains("WRONG"), "{mode}");
        let counts: Vec<u64> = quiet
            .lines()
            .filter_map(|line| field(line, "count").ok())
            .collect();
        let first = *counts.first().expect("the guest counts");
        let expected: Vec<u64> = (first..).take(counts.len()).collect();
        assert_eq!(counts, expected, "{mode}: the count has a gap or goes back");
        copy.tell("stop").unwrap();
        copy.skiff.succeed(PATIENCE).unwrap();
    }
}
