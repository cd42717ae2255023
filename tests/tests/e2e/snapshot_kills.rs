//! Processes that are killed at any moment while they write a snapshot over an older one.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use migration::snapshot::{Identity, Snapshot, verify};
use tests::harness::{Host, VmProcess, skiff_binary};
use tests::relay::Chance;

use crate::ground::{has_kvm, scaled};
use crate::migrate::no_corruption;

/// Decides when monitors are killed.
const SEED: u64 = 0x5a9_5407;

/// How long a monitor may live at most, in percent of what the last complete snapshot took.
const STRETCH_PERCENT: u128 = 160;

fn identity(directory: &Path) -> Identity {
    Snapshot::open(directory).unwrap().identity()
}

fn resume(host: &Host, directory: &Path) -> VmProcess {
    let vm = host
        .restore("killed", directory, &["--memory-mode", "mapped"])
        .unwrap();
    vm.wait_output("t_ms=").unwrap();
    vm
}

#[test]
fn one_of_two_snapshots_restores_whenever_the_monitor_is_killed() {
    if !has_kvm("snapshot_kills") {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let (host, directory) = (Host::new().unwrap(), place.path().join("snap"));
    let mut vm = host
        .boot_probe("killed", "64M", "workload=seq-write ws=16M")
        .unwrap();
    vm.wait_output("passes=1").unwrap();
    let began = Instant::now();
    vm.snapshot(&directory, &[]).unwrap();
    let mut usual = began.elapsed();
    let chance = Chance::new(SEED);
    let (mut old, mut new) = (0, 0);
    for kill in 0..scaled(100, 16) {
        let before = identity(&directory);
        let limit_us = usual.as_micros() * STRETCH_PERCENT / 100;
        let limit_us = u64::try_from(limit_us).unwrap();
        let life = Duration::from_micros(chance.with(kill).below(limit_us));
        let began = Instant::now();
        thread::scope(|scope| {
            let client = scope.spawn(|| {
                let mode = if kill % 2 == 0 { &[][..] } else { &["--live"] };
                (vm.snapshot(&directory, mode).is_ok(), began.elapsed())
            });
            wait_until(began + life);
            kill_process(vm.skiff.pid());
            let (is_complete, took) = client.join().unwrap();
            // What it takes changes with what else this machine does.
            usual = if is_complete { took } else { usual + usual / 8 };
        });
        vm.skiff.kill();
        no_corruption(&vm);
        let after = verify(&directory).unwrap().identity;
        if after == before {
            old += 1;
        } else {
            new += 1;
        }
        vm = resume(&host, &directory);
    }
    println!("the old snapshot {old} times, the new one {new} times");
    assert!(
        old > 0 && new > 0,
        "{old} {new}: kills came at one side only"
    );
}

/// Starts to merge the difference into its base.
fn merge(difference: &Path, base: &Path) -> Command {
    let mut command = Command::new(skiff_binary().unwrap());
    command.args(["snapshot", "merge"]).arg(difference);
    command.arg("--base").arg(base).arg("--to").arg(base);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[test]
fn base_is_as_it_was_or_whole_whenever_a_merge_into_it_is_killed() {
    if !has_kvm("merge_kills") {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let [base, difference, kept] =
        ["base", "difference", "kept"].map(|name| place.path().join(name));
    let host = Host::new().unwrap();
    let mut vm = host
        .boot_probe("vm", "64M", "workload=seq-write ws=16M")
        .unwrap();
    vm.wait_output("passes=1").unwrap();
    vm.snapshot(&base, &[]).unwrap();
    vm.wait_fresh_output("passes=").unwrap();
    let to_base = ["--base", &base.to_string_lossy(), "--stop"];
    vm.snapshot(&difference, &to_base).unwrap();
    vm.skiff.succeed(Duration::from_secs(60)).unwrap();
    let whole = verify(&difference).unwrap().digest;
    let before = verify(&base).unwrap();
    assert_ne!(whole, before.digest);
    copy_files(&base, &kept);

    let began = Instant::now();
    assert!(merge(&difference, &base).status().unwrap().success());
    let mut usual = began.elapsed();
    let chance = Chance::new(SEED + 1);
    let (mut old, mut new) = (0, 0);
    for kill in 0..scaled(100, 16) {
        fs::remove_dir_all(&base).unwrap();
        copy_files(&kept, &base);
        let limit_us = u64::try_from(usual.as_micros() * STRETCH_PERCENT / 100).unwrap();
        let life = Duration::from_micros(chance.with(kill).below(limit_us));
        let began = Instant::now();
        let mut child = merge(&difference, &base).spawn().unwrap();
        while began.elapsed() < life && child.try_wait().unwrap().is_none() {
            thread::yield_now();
        }
        let took = began.elapsed();
        child.kill().unwrap();
        let is_complete = child.wait().unwrap().success();
        usual = if is_complete { took } else { usual + usual / 8 };
        let after = verify(&base).unwrap();
        if after.identity == before.identity {
            old += 1;
            // What was left behind is in nobody's way.
            assert!(merge(&difference, &base).status().unwrap().success());
        } else {
            new += 1;
        }
        assert_eq!(verify(&base).unwrap().digest, whole);
        assert_eq!(verify(&difference).unwrap().digest, whole);
    }
    println!("the base {old} times, the whole snapshot {new} times");
    assert!(
        old > 0 && new > 0,
        "{old} {new}: kills came at one side only"
    );
    let copy = resume(&host, &base);
    no_corruption(&copy);
}

fn copy_files(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let file = entry.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// Nothing happens at that moment that could be waited for: it is what is tried.
fn wait_until(moment: Instant) {
    while Instant::now() < moment {
        thread::yield_now();
    }
}

fn kill_process(pid: u32) {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(pid.unwrap(), rustix::process::Signal::KILL).unwrap();
}
