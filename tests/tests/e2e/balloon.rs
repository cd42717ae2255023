//! The memory balloon: what a guest frees or gives up goes back to its host, and comes back when it is
//! used again.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::harness::{Host, VmProcess};

use crate::ground::{has_hardware, has_kvm};

const PATIENCE: Duration = Duration::from_secs(180);

const MIB: u64 = 1 << 20;

/// What the guest fills and frees.
const FILL: u64 = 200 * MIB;

fn say(vm: &mut VmProcess, command: &str, answer: &str) {
    vm.skiff.type_text(&format!("{command}\n")).unwrap();
    vm.skiff.output().wait(answer, PATIENCE).unwrap();
}

/// What `skiff balloon` tells of a VM.
pub fn balloon(host: &Host, name: &str, options: &[&str]) -> Value {
    let words = ["balloon", name, "--json"];
    let printed = host.command(&[&words[..], options].concat()).unwrap();
    serde_json::from_str(&printed).unwrap()
}

pub fn bytes(balloon: &Value, key: &str) -> u64 {
    let bytes = balloon[key].as_u64();
    bytes.unwrap_or_else(|| panic!("no {key} in {balloon}"))
}

pub fn resident(host: &Host, name: &str) -> u64 {
    bytes(&balloon(host, name, &[]), "resident_bytes")
}

/// Waits until a number of the balloon is as wanted; gives it, and how long that took.
pub fn until(host: &Host, name: &str, key: &str, wanted: impl Fn(u64) -> bool) -> (u64, Duration) {
    let began = Instant::now();
    loop {
        let found = bytes(&balloon(host, name, &[]), key);
        if wanted(found) {
            return (found, began.elapsed());
        }
        assert!(began.elapsed() < PATIENCE, "{key} stays at {found}");
        thread::sleep(Duration::from_millis(300));
    }
}

/// Resident memory once a guest that does nothing has reported what it does not use: it is the same
/// after a few seconds, in which a guest reports at least once.
fn settled(host: &Host, name: &str) -> u64 {
    let mut before = resident(host, name);
    loop {
        thread::sleep(Duration::from_secs(4));
        let now = resident(host, name);
        if now.abs_diff(before) < before / 50 {
            return now;
        }
        before = now;
    }
}

#[test]
fn freed_memory_of_a_stock_guest_goes_back_to_the_host_and_can_be_had_again() {
    if !has_hardware("linux_reporting") {
        return;
    }
    let host = Host::new().unwrap();
    let mut vm = host.boot_linux("free", "1", "skiff.checksum=16").unwrap();
    vm.skiff.output().wait("checksum ok n=1", PATIENCE).unwrap();
    let idle = settled(&host, "free");
    for round in 1..=2 {
        let fill = "dd if=/dev/zero of=/run/fill bs=1M count=200 && echo filled";
        say(
            &mut vm,
            &format!("{fill} $(({round} + 10))"),
            &format!("filled 1{round}"),
        );
        let full = resident(&host, "free");
        assert!(full >= idle + FILL * 3 / 4, "{idle}, then {full}");
        vm.skiff.type_text("rm /run/fill\n").unwrap();
        // Linux reports blocks of 2 MiB, so pages that are free among others in use are not.
        let (after, took) = until(&host, "free", "resident_bytes", |resident| {
            resident <= idle + FILL / 4
        });
        println!(
            "resident: idle {} MiB, full {} MiB, {:.1} s after freeing {} MiB",
            idle / MIB,
            full / MIB,
            took.as_secs_f64(),
            after / MIB
        );
    }
    let told = balloon(&host, "free", &[]);
    assert!(
        bytes(&told, "discarded_bytes") >= 2 * FILL * 3 / 4,
        "{told}"
    );
    assert!(told["statistics"]["total_bytes"].is_u64(), "{told}");
    let from = vm.skiff.output().count();
    let fresh = vm.skiff.output().wait_from(from, "checksum ", PATIENCE);
    assert!(fresh.unwrap().contains("checksum ok"));
}

#[test]
fn balloon_of_a_stock_guest_inflates_moves_and_deflates() {
    if !has_hardware("linux_balloon") {
        return;
    }
    let host = Host::new().unwrap();
    let mut source = host.boot_linux("full", "1", "skiff.checksum=16").unwrap();
    source
        .skiff
        .output()
        .wait("checksum ok n=1", PATIENCE)
        .unwrap();
    say(
        &mut source,
        "dd if=/dev/zero of=/run/fill bs=1M count=200; rm /run/fill; echo done $((1 + 1))",
        "done 2",
    );
    balloon(&host, "full", &["--target", "300M"]);
    until(&host, "full", "actual_bytes", |actual| actual == 300 * MIB);

    let (mut target, address) = host.receive("full2").unwrap();
    let report = source.migrate(&address, &["--mode", "post-copy"]).unwrap();
    assert_eq!(report["outcome"], "completed", "{report}");
    source.skiff.succeed(PATIENCE).unwrap();
    let kept = report["pages"]["transferred"].as_u64().unwrap() * 4096;
    println!(
        "moved with 300 MiB in the balloon: {} MiB of 512",
        kept / MIB
    );
    assert!(kept < 200 * MIB, "{report}");

    let there = balloon(&host, "full2", &[]);
    assert_eq!(bytes(&there, "actual_bytes"), 300 * MIB, "{there}");
    assert_eq!(bytes(&there, "target_bytes"), 300 * MIB, "{there}");
    balloon(&host, "full2", &["--target", "0"]);
    until(&host, "full2", "actual_bytes", |actual| actual == 0);
    say(
        &mut target,
        "dd if=/dev/zero of=/run/fill bs=1M count=200; echo again $((2 + 1))",
        "again 3",
    );
    let from = target.skiff.output().count();
    let fresh = target.skiff.output().wait_from(from, "checksum ", PATIENCE);
    assert!(fresh.unwrap().contains("checksum ok"));
}

#[test]
fn pages_that_a_stock_guest_names_as_free_are_not_sent_in_a_pre_copy() {
    if !has_hardware("linux_hinting") {
        return;
    }
    let host = Host::new().unwrap();
    let options = ["--memory", "512M", "--balloon", "plain"];
    // Debian's kernel would fill what it names with zeroes first, which costs what hints are to save.
    let words = "skiff.checksum=16 init_on_alloc=0";
    let mut source = host.boot_linux_with("named", &options, words).unwrap();
    let checked = source.skiff.output().wait("checksum ok n=1", PATIENCE);
    checked.unwrap();
    // Not zeroes, which would not be sent in any case.
    say(
        &mut source,
        "f=/run/one; dd if=/dev/urandom of=$f bs=1M count=4; f=\"$f $f $f $f $f\"; f=\"$f $f\"; \
         cat $f $f $f $f $f >/run/fill; rm /run/one /run/fill; echo freed $((1 + 1))",
        "freed 2",
    );
    let (target, address) = host.receive("named2").unwrap();
    let report = source.migrate(&address, &["--mode", "pre-copy"]).unwrap();
    assert_eq!(report["outcome"], "completed", "{report}");
    println!("named: {}; rounds {}", report["pages"], report["rounds"]);
    source.skiff.succeed(PATIENCE).unwrap();
    let from = target.skiff.output().count();
    let fresh = target.skiff.output().wait_from(from, "checksum ", PATIENCE);
    assert!(fresh.unwrap().contains("checksum ok"));
    let pages = |kind: &str| report["pages"][kind].as_u64().unwrap() * 4096;
    assert!(pages("hinted") > FILL * 3 / 4, "{report}");
    assert!(pages("transferred") + pages("zero") < FILL, "{report}");
    // It has its pages back.
    let began = Instant::now();
    loop {
        let told = balloon(&host, "named2", &[]);
        let free = told["statistics"]["free_bytes"].as_u64();
        if free.is_some_and(|free| free > FILL) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{told}");
        thread::sleep(Duration::from_millis(300));
    }
}

#[test]
fn balloon_that_cannot_be_is_refused_with_the_reason() {
    if !has_kvm("no_balloon") {
        return;
    }
    let host = Host::new().unwrap();
    let options = ["--kernel", "probe", "--memory", "64M"];
    let with = host.boot("with", &options).unwrap();
    with.wait_output("probe: ready").unwrap();
    let error = host
        .command(&["balloon", "with", "--target", "65M"])
        .unwrap_err();
    assert!(error.to_string().contains("does not fit"), "{error}");

    let without = [&options[..], &["--balloon", "off"]].concat();
    let without = host.boot("without", &without).unwrap();
    without.wait_output("probe: ready").unwrap();
    let error = host.command(&["balloon", "without"]).unwrap_err();
    assert!(error.to_string().contains("--balloon off"), "{error}");
    let (_target, address) = host.receive("moved").unwrap();
    without.migrate(&address, &[]).unwrap();
    let error = host.command(&["balloon", "moved"]).unwrap_err();
    assert!(error.to_string().contains("no balloon"), "{error}");
}

#[test]
fn self_ballooning_takes_what_is_free_gives_it_back_under_pressure_and_moves() {
    if !has_hardware("linux_self_ballooning") {
        return;
    }
    let host = Host::new().unwrap();
    let mut source = host.boot_linux("self", "1", "skiff.checksum=16").unwrap();
    let checked = source.skiff.output().wait("checksum ok n=1", PATIENCE);
    checked.unwrap();
    balloon(&host, "self", &["--auto", "on", "--interval", "1s"]);
    let much = 250 * MIB;
    let (taken, took) = until(&host, "self", "actual_bytes", |actual| actual > much);
    println!(
        "{} MiB taken within {:.1} s",
        taken / MIB,
        took.as_secs_f64()
    );
    say(
        &mut source,
        "dd if=/dev/zero of=/run/fill bs=1M count=200; echo filled $((1 + 1))",
        "filled 2",
    );
    let (left, _) = until(&host, "self", "actual_bytes", |actual| actual < much);
    println!("{} MiB left after 200 MiB were used", left / MIB);

    let (mut target, address) = host.receive("self2").unwrap();
    source.migrate(&address, &[]).unwrap();
    source.skiff.succeed(PATIENCE).unwrap();
    let there = balloon(&host, "self2", &[]);
    assert_eq!(there["self_ballooning"]["interval_ms"], 1000, "{there}");
    say(
        &mut target,
        "rm /run/fill; echo freed $((1 + 2))",
        "freed 3",
    );
    // Ten intervals are held off.
    until(&host, "self2", "actual_bytes", |actual| actual > much);
    let text = target.skiff.output().text();
    assert!(!text.contains("Out of memory"), "{text}");
    let from = target.skiff.output().count();
    let fresh = target.skiff.output().wait_from(from, "checksum ", PATIENCE);
    assert!(fresh.unwrap().contains("checksum ok"));
    let refused = host.command(&["balloon", "self2", "--target", "1M"]);
    assert!(refused.unwrap_err().to_string().contains("--auto off"));
    balloon(&host, "self2", &["--auto", "off"]);
    balloon(&host, "self2", &["--target", "0"]);
    until(&host, "self2", "actual_bytes", |actual| actual == 0);
}

#[test]
fn balloon_of_each_kind_is_what_the_guest_gets() {
    if !has_kvm("balloon_kinds") {
        return;
    }
    let host = Host::new().unwrap();
    for (kind, interval_ms) in [
        ("on", Value::Null),
        ("plain", Value::Null),
        ("auto", 5000.into()),
    ] {
        let options = ["--kernel", "probe", "--memory", "64M", "--balloon", kind];
        let vm = host.boot(kind, &options).unwrap();
        vm.wait_output("probe: ready").unwrap();
        let told = balloon(&host, kind, &[]);
        assert_eq!(
            told["self_ballooning"]["interval_ms"], interval_ms,
            "{told}"
        );
        // A request that is refused in one part does nothing.
        let both = ["balloon", kind, "--auto", "on", "--target", "1M"];
        host.command(&both).unwrap_err();
        assert_eq!(
            balloon(&host, kind, &[])["self_ballooning"],
            told["self_ballooning"]
        );
        let (_target, address) = host.receive(&format!("{kind}-moved")).unwrap();
        vm.migrate(&address, &[]).unwrap();
        let moved = balloon(&host, &format!("{kind}-moved"), &[]);
        assert_eq!(moved["self_ballooning"], told["self_ballooning"]);
    }
}

#[test]
fn record_of_a_balloon_has_a_line_for_each_moment_until_the_vm_ends() {
    if !has_kvm("balloon_record") {
        return;
    }
    let host = Host::new().unwrap();
    let vm = host.boot_probe("seen", "64M", "workload=idle").unwrap();
    vm.wait_output("t_ms=").unwrap();
    let file = host.runtime().join("record.csv");
    let words = ["balloon", "seen", "--every", "50ms", "--record"];
    let words = [&words[..], &[file.to_str().unwrap()]].concat();
    let lines = || std::fs::read_to_string(&file).map_or(0, |text| text.lines().count());
    thread::scope(|scope| {
        let recorder = scope.spawn(|| host.command(&words));
        let began = Instant::now();
        while lines() < 4 {
            assert!(began.elapsed() < PATIENCE, "{} lines", lines());
            thread::sleep(Duration::from_millis(20));
        }
        vm.tell("stop").unwrap();
        recorder.join().unwrap().unwrap();
    });
    let text = std::fs::read_to_string(&file).unwrap();
    let columns = |line: &str| line.split(',').count();
    let head = text.lines().next().unwrap();
    assert!(head.starts_with("t_ms,target,actual,"), "{head}");
    assert!(text.lines().all(|line| columns(line) == columns(head)));
    let wrong = host.command(&["balloon", "seen", "--every", "1s"]);
    assert!(wrong.unwrap_err().to_string().contains("--record"));
}
