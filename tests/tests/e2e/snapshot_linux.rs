//! A stock Linux guest out of a snapshot: its clock, its random numbers, its memory, its disk and its
//! console go on.

use std::collections::BTreeSet;
use std::fs::File;
use std::time::{Duration, Instant};

use tests::harness::{Host, VmProcess, field};

use crate::disks_linux::say;
use crate::ground::{has_hardware, scaled};

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
    let words = "quiet skiff.counter=50 skiff.checksum=16";
    let mut vm = host.boot_linux("linux", "1", words).unwrap();
    wait(&vm, "checksum ok n=1");
    vm.snapshot(&directory, &["--stop", "--live"]).unwrap();
    vm.skiff.succeed(PATIENCE).unwrap();
    let before = vm.skiff.output().text();
    let (mut random, mut has_driver) = (BTreeSet::new(), false);
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
            .type_text(&format!(
                "{DRIVER}; {FORKS}; {RANDOM}; echo two $((40 + 3))\n"
            ))
            .unwrap();
        wait(&copy, "two 43");
        random.insert(word_after(&copy, "random="));
        has_driver = word_after(&copy, "driver=") == "1";
        let told = if has_driver { "1" } else { "0" };
        assert_eq!(word_after(&copy, "forks="), told, "{mode}");
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
    if has_driver {
        assert_eq!(random.len(), 3, "copies draw the same numbers: {random:?}");
    } else {
        println!(
            "random numbers are not compared: this kernel has no driver of the VM generation id"
        );
    }
}

#[test]
fn stock_guest_with_a_disk_lives_through_cycle_after_cycle() {
    if !has_hardware("snapshot_linux") {
        return;
    }
    let (host, place) = (Host::new().unwrap(), tempfile::tempdir().unwrap());
    let disk = place.path().join("disk");
    File::create(&disk).unwrap().set_len(64 << 20).unwrap();
    let options = ["--memory", "256M", "--disk", disk.to_str().unwrap()];
    let mut vm = host.boot_linux_with("linux", &options, "").unwrap();
    wait(&vm, "skiff: ready");
    let began = Instant::now();
    let first = uptime(&mut vm);
    let (mut last, mut random) = (first, BTreeSet::new());
    let cycles = scaled(100, 6);
    for cycle in 0..cycles {
        let directory = place.path().join(format!("snap{}", cycle % 2));
        let options = [&["--stop", "--live"][..], &["--stop"]][cycle % 2];
        vm.snapshot(&directory, options).unwrap();
        vm.skiff.succeed(PATIENCE).unwrap();
        let mode = ["lazy", "mapped", "eager"][cycle % 3];
        vm = host
            .restore("linux", &directory, &["--memory-mode", mode])
            .unwrap();
        let now = uptime(&mut vm);
        assert!(now >= last, "cycle {cycle}: {now} s after {last} s");
        last = now;
        // A block of this cycle, and then all there are, from the disk itself.
        let work = format!(
            "dd if=/dev/urandom bs=64k count=1 2>/dev/null >>/run/all && \
             dd if=/run/all of=/dev/vda bs=64k skip={cycle} seek={cycle} conv=fsync 2>/dev/null && \
             echo 3 >/proc/sys/vm/drop_caches && \
             dd if=/dev/vda bs=64k count={} 2>/dev/null | cmp - /run/all",
            cycle + 1
        );
        say(&mut vm, &format!("{work} && {RANDOM}"), "same");
        random.insert(word_after(&vm, "random="));
    }
    assert_eq!(random.len(), cycles, "numbers come twice: {random:?}");
    // It was stopped at times, and never made up for it.
    assert!(last - first <= began.elapsed().as_secs_f64() + 1.0);
    vm.tell("stop").unwrap();
    vm.skiff.succeed(PATIENCE).unwrap();
}

/// Prints random bytes.
const RANDOM: &str = "echo random=$(head -c 16 /dev/urandom | md5sum)";

/// Prints 1 if the guest's kernel has a driver of the VM generation id.
const DRIVER: &str = "echo driver=$(ls /sys/bus/acpi/drivers | grep -c vmgenid)";

/// Prints how often the guest was told that it is a copy.
const FORKS: &str = "echo forks=$(dmesg | grep -c 'virtual machine fork')";

/// Seconds since the guest's start, by its own clock.
fn uptime(vm: &mut VmProcess) -> f64 {
    say(vm, "echo up=$(cut -d' ' -f1 /proc/uptime)", "clock");
    word_after(vm, "up=").parse().unwrap()
}

/// The word after the last `mark` that is not within what was typed.
fn word_after(vm: &VmProcess, mark: &str) -> String {
    let text = vm.skiff.output().text();
    let mut words = text.rsplit(mark).map(|rest| {
        let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '.');
        rest[..end.unwrap_or(rest.len())].to_owned()
    });
    let word = words.find(|word| !word.is_empty());
    word.unwrap_or_else(|| panic!("no {mark} in {text}"))
}
