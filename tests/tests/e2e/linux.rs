//! A stock Debian kernel as the guest.

use std::time::Duration;

use tests::harness::{Host, VmProcess, field};

use crate::ground::has_hardware;

const PATIENCE: Duration = Duration::from_secs(180);

fn wait(vm: &VmProcess, text: &str) -> String {
    vm.skiff.output().wait(text, PATIENCE).unwrap()
}

#[test]
fn stock_kernel_boots_on_two_vcpus_with_its_devices_and_powers_off() {
    if !has_hardware("linux_boot") {
        return;
    }
    let host = Host::new().unwrap();
    let words = "skiff.run=\"head -c 16 /dev/hwrng | wc -c\" skiff.poweroff";
    let mut vm = host.boot_linux("linux", "2", words).unwrap();
    let ready = wait(&vm, "skiff: ready");
    assert!(
        ready.contains("cpus=2") && ready.contains("hwrng=virtio_rng"),
        "{ready}"
    );
    wait(&vm, "skiff: exit=0");
    assert!(
        vm.skiff
            .output()
            .all()
            .iter()
            .any(|line| line.trim() == "16")
    );
    vm.skiff.succeed(PATIENCE).unwrap();
}

#[test]
fn stock_kernel_reboots_into_the_end_of_the_monitor() {
    if !has_hardware("linux_reboot") {
        return;
    }
    let host = Host::new().unwrap();
    let mut vm = host
        .boot_linux("reboot", "1", "skiff.run=\"reboot -f\"")
        .unwrap();
    vm.skiff.messages().wait("reset", PATIENCE).unwrap();
    vm.skiff.succeed(PATIENCE).unwrap();
}

#[test]
fn stock_guest_moves_while_it_counts_checks_memory_and_answers() {
    if !has_hardware("linux_move") {
        return;
    }
    let host = Host::new().unwrap();
    // Warnings of the kernel, of a timer that was late perhaps, would come in the middle of a line.
    let words = "quiet skiff.counter=50 skiff.checksum=64";
    let mut source = host.boot_linux("alpha", "2", words).unwrap();
    wait(&source, "checksum ok n=1");
    source.skiff.type_text("echo one $((40 + 2))\n").unwrap();
    wait(&source, "one 42");
    let answered = source.skiff.output().text().len();

    let (mut target, address) = host.receive("beta").unwrap();
    let report = source.migrate(&address, &[]).unwrap();
    assert_eq!(report["outcome"], "completed", "{report}");
    source.skiff.succeed(PATIENCE).unwrap();

    wait(&target, "checksum ok");
    // What is typed is echoed, now and then in the middle of a line: the count is read in between.
    let quiet = source.skiff.output().text().split_off(answered) + &target.skiff.output().text();
    target.skiff.type_text("echo two $((40 + 3))\n").unwrap();
    wait(&target, "two 43");
    let text = source.skiff.output().text() + &target.skiff.output().text();
    assert!(!text.contains("WRONG"), "{text}");
    let counts: Vec<u64> = quiet
        .lines()
        .filter_map(|line| field(line, "count").ok())
        .collect();
    let first = *counts.first().expect("the guest counts");
    let expected: Vec<u64> = (first..).take(counts.len()).collect();
    assert_eq!(
        counts, expected,
        "the count has a gap or goes back: {quiet}"
    );
}
