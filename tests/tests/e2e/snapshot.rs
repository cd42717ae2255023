//! Snapshots and resumes as a user sees them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tests::harness::{Host, VmProcess, field};

use crate::ground::{has_kvm, is_rig, scaled};
use crate::migrate::{check_sums, no_corruption};

const PATIENCE: Duration = Duration::from_secs(120);

/// Every way in which memory gets to a guest.
const MODES: [&str; 3] = ["lazy", "eager", "mapped"];

fn place() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn read_report(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Waits for the last line that begins a record of the probe guest, and gives the passes in it.
fn passes(vm: &VmProcess) -> u64 {
    field(&vm.wait_fresh_output("passes=").unwrap(), "passes").unwrap()
}

/// Writes a snapshot with which the VM ends.
fn end_with_snapshot(vm: &mut VmProcess, directory: &Path) -> Value {
    let report = vm.snapshot(directory, &["--stop"]).unwrap();
    vm.skiff.succeed(PATIENCE).unwrap();
    no_corruption(vm);
    report
}

/// The digest that the probe guest prints in the end.
pub fn done_digest(vm: &VmProcess) -> String {
    let line = vm.wait_output("probe: done").unwrap();
    line.split("digest=").nth(1).unwrap().to_owned()
}

#[test]
fn vm_goes_on_from_its_snapshot_in_every_memory_mode() {
    if !has_kvm("snapshot_modes") {
        return;
    }
    let (host, place) = (Host::new().unwrap(), place());
    let directory = place.path().join("web.snap");
    let mut vm = host
        .boot_probe("web", "128M", "workload=seq-write ws=32M")
        .unwrap();
    vm.wait_output("passes=1").unwrap();
    let report = vm.snapshot(&directory, &[]).unwrap();
    println!(
        "pause of {} stored pages: {} ms",
        report["pages"]["stored"], report["pause_ms"]
    );
    assert!(passes(&vm) > 0, "it goes on after a snapshot");
    let report = vm.snapshot(&directory, &["--live"]).unwrap();
    println!(
        "the same live: {} ms after {} rounds",
        report["pause_ms"],
        report["rounds"].as_array().unwrap().len()
    );
    let before = passes(&vm);
    end_with_snapshot(&mut vm, &directory);
    host.command(&["snapshot", "verify", &directory.to_string_lossy()])
        .unwrap();

    for mode in MODES {
        let file = place.path().join(format!("{mode}.json"));
        let options = ["--memory-mode", mode, "--report", &file.to_string_lossy()];
        let mut copy = host.restore(mode, &directory, &options).unwrap();
        copy.wait_output("passes=").unwrap();
        assert!(passes(&copy) >= before, "{mode}");
        assert_eq!(copy.info().unwrap()["memory_bytes"], 128 << 20);
        if mode == "lazy" {
            let messages = copy.skiff.messages();
            messages.wait("all memory is here", PATIENCE).unwrap();
        }
        copy.skiff.type_text("q").unwrap();
        copy.wait_output("probe: done").unwrap();
        copy.skiff.succeed(PATIENCE).unwrap();
        no_corruption(&copy);
        let report = read_report(&file);
        assert_eq!(report["memory_mode"], mode);
        for key in [
            "state_load_ms",
            "first_instruction_ms",
            "faults",
            "pages",
            "resident_bytes",
        ] {
            assert!(report[key].as_f64().is_some(), "{mode}: {key}");
        }
        println!("{mode}: {report}");
    }
}

#[test]
fn vm_that_is_resumed_paused_waits_and_keeps_its_own_state_otherwise() {
    if !has_kvm("snapshot_paused") {
        return;
    }
    let (host, place) = (Host::new().unwrap(), place());
    let directory = place.path().join("snap");
    let mut vm = host.boot_probe("still", "64M", "workload=idle").unwrap();
    vm.wait_output("t_ms=").unwrap();
    end_with_snapshot(&mut vm, &directory);
    for mode in MODES {
        let options = ["--memory-mode", mode, "--paused"];
        let copy = host.restore("still", &directory, &options).unwrap();
        assert_eq!(
            copy.info().unwrap()["state"]
                .as_str()
                .map(|state| state == "paused" || state == "arriving"),
            Some(true)
        );
        assert!(!copy.skiff.output().text().contains("t_ms="));
        copy.tell("resume").unwrap();
        copy.wait_output("t_ms=").unwrap();
    }
}

#[test]
fn one_vm_survives_a_hundred_cycles_of_snapshot_and_resume_and_ends_as_without_any() {
    if !has_kvm("snapshot_cycles") {
        return;
    }
    let (host, place) = (Host::new().unwrap(), place());
    // More than it does between the first snapshot and the last.
    let passes = scaled(1200, 500);
    let words = format!("workload=seq-write ws=8M rate=60000 seed=5 passes={passes}");
    let control = host.boot_probe("control", "64M", &words).unwrap();
    let mut vm = host.boot_probe("cycled", "64M", &words).unwrap();
    vm.wait_output("t_ms=").unwrap();
    let directory = place.path().join("snap");
    let cycles = scaled(100, 6);
    for cycle in 0..cycles {
        let live = if cycle % 2 == 0 { "--stop" } else { "--live" };
        vm.snapshot(
            &directory,
            &["--stop", live][..2 - usize::from(live == "--stop")],
        )
        .unwrap();
        vm.skiff.succeed(PATIENCE).unwrap();
        no_corruption(&vm);
        let mode = MODES[cycle % MODES.len()];
        vm = host
            .restore("cycled", &directory, &["--memory-mode", mode])
            .unwrap();
    }
    assert_eq!(done_digest(&vm), done_digest(&control));
    no_corruption(&vm);
}

#[test]
fn vm_that_is_still_resuming_is_snapshotted_and_moved_and_ends_as_without() {
    if !has_kvm("snapshot_chain") {
        return;
    }
    let (host, place) = (Host::new().unwrap(), place());
    let words = "workload=seq-write ws=48M rate=100000 seed=9 passes=40";
    let control = host.boot_probe("control", "128M", words).unwrap();
    let mut first = host.boot_probe("first", "128M", words).unwrap();
    first.wait_output("passes=1").unwrap();
    let (one, two) = (place.path().join("one"), place.path().join("two"));
    end_with_snapshot(&mut first, &one);
    let lazy = ["--memory-mode", "lazy"];
    let mut second = host.restore("second", &one, &lazy).unwrap();
    end_with_snapshot(&mut second, &two);
    let mut third = host.restore("third", &two, &lazy).unwrap();
    let (mut fourth, address) = host.receive("fourth").unwrap();
    let report = third.migrate(&address, &["--mode", "post-copy"]).unwrap();
    assert_eq!(report["outcome"], "completed", "{report}");
    check_sums(&report);
    third.skiff.succeed(PATIENCE).unwrap();
    assert_eq!(done_digest(&fourth), done_digest(&control));
    fourth.skiff.succeed(PATIENCE).unwrap();
    for vm in [&third, &fourth] {
        no_corruption(vm);
    }
}

#[test]
fn second_lazy_resume_has_fewer_faults_than_the_first() {
    if !has_kvm("snapshot_working_set") {
        return;
    }
    let (host, place) = (Host::new().unwrap(), place());
    let directory = place.path().join("snap");
    let mut vm = host
        .boot_probe("learns", "256M", "workload=random ws=32M seed=2")
        .unwrap();
    vm.wait_output("passes=1").unwrap();
    end_with_snapshot(&mut vm, &directory);
    let resume = |number: usize| {
        let file = place.path().join(format!("{number}.json"));
        let options = ["--memory-mode", "lazy", "--report", &file.to_string_lossy()];
        let mut vm = host.restore("learns", &directory, &options).unwrap();
        vm.skiff
            .messages()
            .wait("all memory is here", PATIENCE)
            .unwrap();
        vm.wait_fresh_output("passes=").unwrap();
        vm.tell("stop").unwrap();
        vm.skiff.succeed(PATIENCE).unwrap();
        no_corruption(&vm);
        read_report(&file)
    };
    let reports: Vec<Value> = (0..3).map(resume).collect();
    for (number, report) in reports.iter().enumerate() {
        println!("resume {number}: {report}");
        let is_first = number == 0;
        assert_eq!(report["prefetch_pages"] == 0, is_first, "{report}");
    }
    let faults = |number: usize| reports[number]["faults"].as_u64().unwrap();
    // Under emulation one processor does all: what goes ahead of the guest is hardly ahead of it.
    if !is_rig() {
        assert!(faults(0) > faults(1), "{reports:#?}");
    }
    assert!(directory.join("working-set").exists());

    // Of no use any more, and no harm.
    fs::write(directory.join("working-set"), b"nonsense").unwrap();
    let again = resume(3);
    assert_eq!(again["prefetch_pages"], 0, "{again}");
}

#[test]
fn snapshot_that_cannot_be_used_is_named_with_exit_code_one() {
    if !has_kvm("snapshot_bad") {
        return;
    }
    let (host, place) = (Host::new().unwrap(), place());
    let directory = place.path().join("snap");
    let path = directory.to_string_lossy();
    let refused = |words: &[&str]| host.command(words).unwrap_err().to_string();
    let missing = refused(&["restore", &path, "--serial", "none"]);
    assert!(
        missing.contains("no snapshot in") && missing.contains("exit status: 1"),
        "{missing}"
    );
    let usage = refused(&["snapshot", "vm"]);
    assert!(usage.contains("exit status: 2"), "{usage}");

    let mut vm = host.boot_probe("vm", "64M", "workload=idle").unwrap();
    vm.wait_output("t_ms=").unwrap();
    let foreign = refused(&["snapshot", "vm", "--to", &host.runtime().to_string_lossy()]);
    assert!(foreign.contains("no part of a snapshot"), "{foreign}");
    end_with_snapshot(&mut vm, &directory);

    let file = directory.join("snapshot");
    let whole = fs::read(&file).unwrap();
    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(&file, &damaged).unwrap();
    for words in [
        &["restore", &*path, "--serial", "none"][..],
        &["snapshot", "verify", &path],
    ] {
        let told = refused(words);
        assert!(told.contains("damaged") && told.contains("try:"), "{told}");
    }
    fs::write(&file, &whole).unwrap();

    let memory = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path != &file)
        .unwrap();
    fs::rename(&memory, place.path().join("elsewhere")).unwrap();
    let told = refused(&["restore", &path, "--serial", "none"]);
    assert!(told.contains("is missing"), "{told}");
}

#[test]
fn memory_damaged_on_the_disk_ends_a_lazy_resume_with_the_page_named() {
    if !has_kvm("snapshot_damage") {
        return;
    }
    let (host, place) = (Host::new().unwrap(), place());
    let directory = place.path().join("snap");
    let mut vm = host
        .boot_probe("hurt", "64M", "workload=seq-write ws=16M")
        .unwrap();
    vm.wait_output("passes=1").unwrap();
    end_with_snapshot(&mut vm, &directory);
    let memory = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_string_lossy().contains("memory-"))
        .unwrap();
    let mut bytes = fs::read(&memory).unwrap();
    // A page of the workload, which every pass visits.
    let used = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .unwrap()
        .min(60 << 20);
    let place_of_damage = bytes[..used].iter().rposition(|byte| *byte != 0).unwrap();
    bytes[place_of_damage] ^= 0xff;
    fs::write(&memory, bytes).unwrap();
    let path = directory.to_string_lossy();
    for mode in ["lazy", "eager"] {
        let words = ["restore", &path, "--memory-mode", mode, "--serial", "none"];
        let told = host.command(&words).unwrap_err().to_string();
        let page = format!("page {}", place_of_damage / 4096);
        assert!(
            told.contains(&page) && told.contains("is damaged"),
            "{told}"
        );
    }
}
