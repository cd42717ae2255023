//! Snapshots on a disk that is full, and more copies of one than anybody watches.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use migration::snapshot::verify;
use serde_json::Value;
use tests::harness::{Host, Process};

use crate::ground::{has_kvm, scaled};
use crate::migrate::no_corruption;

const PATIENCE: Duration = Duration::from_secs(120);

/// A file system of its own, unmounted when dropped.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    /// `None` where nobody may mount anything.
    fn mount(at: &'a Path, size: &str) -> Option<Self> {
        let options = format!("size={size}");
        let words = ["-t", "tmpfs", "-o", &options, "tmpfs"];
        let mounted = Command::new("mount").args(words).arg(at).status();
        mounted
            .is_ok_and(|status| status.success())
            .then_some(Self(at))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

#[test]
fn disk_that_is_full_leaves_the_older_snapshot_and_the_vm() {
    if !has_kvm("snapshot_full_disk") {
        return;
    }
    let (host, place) = (Host::new().unwrap(), tempfile::tempdir().unwrap());
    let Some(_disk) = SmallDisk::mount(place.path(), "24M") else {
        println!("snapshot_full_disk: not run here, it takes the right to mount a file system");
        return;
    };
    let directory = place.path().join("snap");
    let vm = host
        .boot_probe("full", "64M", "workload=seq-write ws=14M")
        .unwrap();
    vm.wait_output("passes=1").unwrap();
    let report = vm.snapshot(&directory, &[]).unwrap();
    for mode in [&[][..], &["--live"]] {
        let told = vm.snapshot(&directory, mode).unwrap_err().to_string();
        assert!(
            told.contains("No space left") && told.contains("make room"),
            "{told}"
        );
        vm.wait_fresh_output("passes=").unwrap();
        let whole = verify(&directory).unwrap();
        assert_eq!(whole.identity.to_string(), report["identity"]);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 2);
    }
    no_corruption(&vm);
}

#[test]
fn clones_share_what_they_have_not_written_and_all_answer() {
    if !has_kvm("snapshot_clones") {
        return;
    }
    let (host, place) = (Host::new().unwrap(), tempfile::tempdir().unwrap());
    let directory = place.path().join("snap");
    let mut vm = host
        .boot_probe("parent", "256M", "workload=seq-read ws=32M rate=2000")
        .unwrap();
    vm.wait_output("t_ms=").unwrap();
    vm.snapshot(&directory, &["--stop"]).unwrap();
    vm.skiff.succeed(PATIENCE).unwrap();
    let count = scaled(50, 4);
    let (number, report) = (count.to_string(), place.path().join("report.json"));
    let words = [
        "restore",
        &directory.to_string_lossy(),
        "--name",
        "clone",
        "--clones",
        &number,
        "--report",
        &report.to_string_lossy(),
    ]
    .map(str::to_owned);
    let mut clones = Process::skiff(host.runtime(), &words).unwrap();
    let line = clones
        .output()
        .wait(" copies are ready after", PATIENCE)
        .unwrap();
    println!("{line}");
    let listed = host.command(&["ls", "--json"]).unwrap();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let vms = listed.as_array().unwrap();
    assert_eq!(vms.len(), count);
    let mut pss_kib: Vec<u64> = vms.iter().map(|vm| pss_of(&vm["pid"])).collect();
    pss_kib.sort_unstable();
    println!(
        "memory of a clone, its share of what is shared included: {} KiB",
        pss_kib[count / 2]
    );
    assert!(pss_kib[count / 2] < 8 << 10, "{pss_kib:?}");
    for number in 1..=count {
        host.command(&["stop", &format!("clone-{number}")]).unwrap();
    }
    clones.succeed(PATIENCE).unwrap();
    let report: Value = serde_json::from_slice(&fs::read(report).unwrap()).unwrap();
    assert_eq!(report["clones"].as_array().unwrap().len(), count);
}

/// Memory of a process, in KiB, of which it counts its share of what is shared.
fn pss_of(pid: &Value) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = rollup.lines().find(|line| line.starts_with("Pss:"));
    line.and_then(|line| line.split_whitespace().nth(1))
        .and_then(|kib| kib.parse().ok())
        .unwrap()
}
