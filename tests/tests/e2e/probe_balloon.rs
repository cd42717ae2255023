//! The memory balloon with the probe's own driver: given pages, every one of which is accounted for,
//! and the whole of self-ballooning on any host with KVM.

use std::thread;
use std::time::Duration;

use tests::harness::{Host, VmProcess, field};

use crate::balloon::{balloon, bytes, resident, until};
use crate::ground::{has_kvm, scaled};
use crate::migrate::{check_sums, no_corruption, number};

const PATIENCE: Duration = Duration::from_secs(120);
/// How often a guest is tried to be caught while it inflates.
const ATTEMPTS: u32 = 20;
const PAGE: u64 = 4096;
const MIB: u64 = 1 << 20;

/// What a guest answers to a command with pages.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    pages: u64,
    /// The further numbers.
    more: Vec<u64>,
}

/// Has the guest do `verb` with `count` pages from number `first` on.
fn command(vm: &mut VmProcess, verb: &str, first: u64, count: u64) -> Answer {
    let from = vm.skiff.output().count();
    vm.skiff
        .type_text(&format!(":{verb} {first} {count}\n"))
        .unwrap();
    let text = format!("probe: {verb} first={first} count={count} ");
    let line = vm.skiff.output().wait_from(from, &text, PATIENCE).unwrap();
    let keys = match verb {
        "fill" => &[][..],
        "touch" => &["zero", "filled"],
        _ => &["actual"],
    };
    Answer {
        pages: field(&line, "pages").unwrap(),
        more: keys.iter().map(|key| field(&line, key).unwrap()).collect(),
    }
}

fn answer(pages: u64, more: &[u64]) -> Answer {
    Answer {
        pages,
        more: more.to_vec(),
    }
}

/// A guest that does nothing but what it is told.
fn boot_manual(host: &Host, name: &str, memory: &str) -> VmProcess {
    let vm = host
        .boot_probe(name, memory, "workload=idle balloon=manual")
        .unwrap();
    vm.wait_output("t_ms=").unwrap();
    vm
}

fn finish(vm: &mut VmProcess) {
    vm.skiff.type_text("q").unwrap();
    vm.wait_output("probe: done").unwrap();
    vm.skiff.succeed(PATIENCE).unwrap();
    no_corruption(vm);
}

#[test]
fn given_pages_go_into_the_balloon_and_come_back_as_zeroes() {
    if !has_kvm("probe_inflate") {
        return;
    }
    let host = Host::new().unwrap();
    let mut vm = boot_manual(&host, "given", "64M");
    assert_eq!(command(&mut vm, "fill", 0, 8192), answer(8192, &[]));
    let full = resident(&host, "given");
    // Pages that are in the balloon already, or that do not exist, are left alone.
    assert_eq!(command(&mut vm, "inflate", 1000, 300), answer(300, &[300]));
    assert_eq!(
        command(&mut vm, "inflate", 900, 4096),
        answer(3796, &[4096])
    );
    assert_eq!(command(&mut vm, "inflate", u64::MAX, 1), answer(0, &[4096]));
    let told = balloon(&host, "given", &[]);
    assert_eq!(bytes(&told, "actual_bytes"), 4096 * PAGE, "{told}");
    assert_eq!(bytes(&told, "discarded_bytes"), 4096 * PAGE, "{told}");
    let total = bytes(&told["statistics"], "total_bytes");
    let free = bytes(&told["statistics"], "free_bytes");
    assert_eq!(free, total - 4096 * PAGE, "{told}");
    let empty = resident(&host, "given");
    assert!(
        full - empty >= 4096 * PAGE - MIB,
        "{full}, then {empty} bytes are resident"
    );
    // Just those pages: the ones around them have what was written.
    assert_eq!(command(&mut vm, "touch", 0, 8192), answer(4096, &[0, 4096]));
    assert_eq!(command(&mut vm, "deflate", 4990, 100), answer(6, &[4090]));
    assert_eq!(command(&mut vm, "deflate", 0, 1000), answer(100, &[3990]));
    assert_eq!(
        command(&mut vm, "touch", 0, 8192),
        answer(4202, &[106, 4096])
    );
    assert_eq!(command(&mut vm, "fill", 900, 1), answer(1, &[]));
    assert_eq!(command(&mut vm, "deflate", 0, 8192), answer(3990, &[0]));
    assert_eq!(
        command(&mut vm, "touch", 0, 8192),
        answer(8192, &[4095, 4097])
    );
    finish(&mut vm);
}

#[test]
fn given_pages_that_are_reported_are_discarded_and_no_others() {
    if !has_kvm("probe_report") {
        return;
    }
    let host = Host::new().unwrap();
    let mut vm = boot_manual(&host, "told", "64M");
    command(&mut vm, "fill", 0, 4096);
    command(&mut vm, "inflate", 2000, 10);
    let full = resident(&host, "told");
    assert_eq!(command(&mut vm, "report", 1000, 2000), answer(1990, &[10]));
    assert_eq!(command(&mut vm, "report", 1000, 2000), answer(0, &[10]));
    let told = balloon(&host, "told", &[]);
    assert_eq!(bytes(&told, "reported_bytes"), 1990 * PAGE, "{told}");
    assert_eq!(bytes(&told, "discarded_bytes"), 2000 * PAGE, "{told}");
    let empty = resident(&host, "told");
    assert!(
        full - empty >= 1990 * PAGE - MIB,
        "{full}, then {empty} bytes are resident"
    );
    assert_eq!(
        command(&mut vm, "touch", 0, 4096),
        answer(4086, &[1990, 2096])
    );
    // What was reported is the guest's to use, without a word.
    assert_eq!(command(&mut vm, "fill", 1500, 20), answer(20, &[]));
    assert_eq!(command(&mut vm, "report", 0, 1520), answer(1020, &[10]));
    assert_eq!(command(&mut vm, "touch", 1000, 520), answer(520, &[520, 0]));
    finish(&mut vm);
}

#[test]
fn pages_given_up_at_the_destination_before_they_came_read_as_zeroes() {
    if !has_kvm("probe_arriving") {
        return;
    }
    let host = Host::new().unwrap();
    let mut here = boot_manual(&host, "here", "128M");
    let count = scaled(16384, 4096);
    command(&mut here, "fill", 0, count);
    // The last of the pages that are full come last, a good while after the guest.
    let (reported, inflated) = (count - 2000, count - 1000);
    let (mut there, address) = host.receive("there").unwrap();
    let options = [
        "--mode",
        "post-copy",
        "--prepaging",
        "push",
        "--streams",
        "1",
        "--bandwidth",
        scaled("200M", "20M"),
        "--verify",
    ];
    let report = thread::scope(|scope| {
        let mover = scope.spawn(|| here.migrate(&address, &options));
        there.wait_output("t_ms=").unwrap();
        assert_eq!(
            command(&mut there, "report", reported, 1000),
            answer(1000, &[0])
        );
        assert_eq!(
            command(&mut there, "inflate", inflated, 500),
            answer(500, &[500])
        );
        assert_eq!(
            command(&mut there, "deflate", inflated, 100),
            answer(100, &[400])
        );
        assert_eq!(
            command(&mut there, "touch", reported, 1100),
            answer(1100, &[1100, 0])
        );
        // Written again, before it was due.
        assert_eq!(command(&mut there, "fill", reported, 10), answer(10, &[]));
        assert!(
            !mover.is_finished(),
            "all of it had come: nothing was tested"
        );
        // These have to come: somebody waits for them.
        assert_eq!(
            command(&mut there, "touch", inflated + 900, 100),
            answer(100, &[0, 100])
        );
        mover.join().unwrap().unwrap()
    });
    assert_eq!(report["outcome"], "completed", "{report}");
    assert_eq!(report["verified"], true, "{report}");
    check_sums(&report);
    assert!(report["digest"]["source"].is_string(), "{report}");
    assert!(number(&report, "/faults/network") > 0.0, "{report}");
    // Of the pages given up some may have been on their way; most were not sent.
    let transferred = report["pages"]["transferred"].as_u64().unwrap();
    assert!(transferred < count - 1000, "{report}");
    assert_eq!(
        command(&mut there, "touch", 0, count),
        answer(count - 400, &[1090, count - 1490])
    );
    assert_eq!(command(&mut there, "deflate", 0, count), answer(400, &[0]));
    assert_eq!(
        command(&mut there, "touch", 0, count),
        answer(count, &[1490, count - 1490])
    );
    here.skiff.succeed(PATIENCE).unwrap();
    finish(&mut there);
}

/// What `skiff info` says is in the balloon.
fn actual(vm: &VmProcess) -> u64 {
    bytes(&vm.info().unwrap()["balloon"], "actual_bytes")
}

/// Sets the target of an empty balloon, and does `act` while the guest inflates it.
fn while_inflating<T>(host: &Host, vm: &VmProcess, target: u64, act: impl FnOnce() -> T) -> T {
    let size = target.to_string();
    thread::scope(|scope| {
        // This one takes a while to come back. The VM may be gone before it can show how things stand.
        scope.spawn(|| host.command(&["balloon", vm.name(), "--target", &size]));
        while actual(vm) == 0 {}
        act()
    })
}

/// Pauses the VM while its guest inflates an empty balloon; returns the bytes that are in it, more than
/// none and fewer than `target`. A guest that was done sooner gives it all back and is tried again.
fn pause_inflating(host: &Host, vm: &VmProcess, target: u64) -> u64 {
    for _ in 0..ATTEMPTS {
        let caught = while_inflating(host, vm, target, || {
            vm.tell("pause").unwrap();
            actual(vm)
        });
        if caught < target {
            return caught;
        }
        vm.tell("resume").unwrap();
        balloon(host, vm.name(), &["--target", "0"]);
        until(host, vm.name(), "actual_bytes", |actual| actual == 0);
    }
    panic!("the guest was not caught inflating in {ATTEMPTS} attempts");
}

/// Every page of the guest is in the balloon, of which there is to be just so much, or the guest's.
fn assert_exactly(host: &Host, vm: &mut VmProcess, name: &str, target: u64) {
    let (reached, _) = until(host, name, "actual_bytes", |actual| actual == target);
    let told = balloon(host, name, &[]);
    let pages = bytes(&told["statistics"], "total_bytes") / PAGE;
    let touched = command(vm, "touch", 0, pages);
    assert_eq!(touched.pages, pages - reached / PAGE, "{told}");
    assert_eq!(bytes(&balloon(host, name, &[]), "actual_bytes"), target);
}

#[test]
fn guest_that_moves_while_it_inflates_reaches_its_target_exactly() {
    if !has_kvm("probe_inflating") {
        return;
    }
    let host = Host::new().unwrap();
    let (memory, target) = scaled(("1G", 900 * MIB), ("256M", 200 * MIB));
    let mut here = host.boot_probe("move0", memory, "workload=idle").unwrap();
    here.wait_output("t_ms=").unwrap();
    for (number, mode) in ["post-copy", "pre-copy", "hybrid", "stop-and-copy"]
        .into_iter()
        .enumerate()
    {
        // Once as fast as it goes, and once paused, so that how far it got can be seen.
        for is_paused in [false, true] {
            let name = format!("move{}", 2 * number + 1 + usize::from(is_paused));
            let (mut there, address) = host.receive(&name).unwrap();
            let depart = || {
                let options = ["--mode", mode, "--verify"];
                here.migrate(&address, &options).unwrap()
            };
            let (before, report) = if is_paused {
                (Some(pause_inflating(&host, &here, target)), depart())
            } else {
                (None, while_inflating(&host, &here, target, depart))
            };
            assert_eq!(report["outcome"], "completed", "{report}");
            check_sums(&report);
            here.skiff.succeed(PATIENCE).unwrap();
            if let Some(before) = before {
                assert_eq!(actual(&there), before, "{report}");
                there.tell("resume").unwrap();
            }
            assert_exactly(&host, &mut there, &name, target);
            balloon(&host, &name, &["--target", "0"]);
            assert_exactly(&host, &mut there, &name, 0);
            here = there;
        }
    }
    finish(&mut here);
}

#[test]
fn guest_that_is_saved_while_it_inflates_reaches_its_target_exactly_in_every_memory_mode() {
    if !has_kvm("probe_saved_inflating") {
        return;
    }
    let host = Host::new().unwrap();
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("inflating.snap");
    let (memory, target) = scaled(("1G", 900 * MIB), ("256M", 200 * MIB));
    let vm = host.boot_probe("saved", memory, "workload=idle").unwrap();
    vm.wait_output("t_ms=").unwrap();
    let before = pause_inflating(&host, &vm, target);
    vm.snapshot(&directory, &["--stop"]).unwrap();
    println!("saved with {} of {} MiB", before / MIB, target / MIB);
    for mode in ["lazy", "eager", "mapped"] {
        let mut copy = host
            .restore(mode, &directory, &["--memory-mode", mode])
            .unwrap();
        assert_eq!(actual(&copy), before, "{mode}");
        copy.tell("resume").unwrap();
        assert_exactly(&host, &mut copy, mode, target);
        balloon(&host, mode, &["--target", "0"]);
        assert_exactly(&host, &mut copy, mode, 0);
        finish(&mut copy);
    }
}

/// Waits until the balloon has what the host wants, which is something.
fn until_followed(host: &Host, name: &str) {
    until(host, name, "actual_bytes", |actual| {
        let told = balloon(host, name, &[]);
        actual > 0 && bytes(&told, "target_bytes") == bytes(&told, "actual_bytes")
    });
}

#[test]
fn guest_that_grows_and_shrinks_under_self_ballooning_moves_in_every_mode_and_stays_right() {
    if !has_kvm("probe_self_ballooning") {
        return;
    }
    for cpus in ["1", "2"] {
        let host = Host::new().unwrap();
        let words = scaled(
            "workload=grow-shrink ws=64M rate=15000",
            "workload=grow-shrink ws=16M rate=2000",
        );
        let memory = ["--memory", scaled("96M", "32M"), "--cpus", cpus];
        let guest = ["--kernel", "probe", "--cmdline", words];
        let mut here = host.boot("self0", &[memory, guest].concat()).unwrap();
        here.wait_output("t_ms=").unwrap();
        balloon(&host, "self0", &["--auto", "on", "--interval", "200ms"]);
        let mut log = Vec::new();
        for (number, mode) in ["pre-copy", "post-copy", "hybrid", "auto"]
            .into_iter()
            .enumerate()
        {
            let messages = here.skiff.messages();
            messages.wait("balloon: target", PATIENCE).unwrap();
            until_followed(&host, &format!("self{number}"));
            let name = format!("self{}", number + 1);
            let (there, address) = host.receive(&name).unwrap();
            let options = ["--mode", mode, "--verify", "--bandwidth", "500M"];
            let report = here.migrate(&address, &options).unwrap();
            assert_eq!(report["outcome"], "completed", "{report}");
            check_sums(&report);
            here.skiff.succeed(PATIENCE).unwrap();
            no_corruption(&here);
            log.extend(here.skiff.messages().all());
            here = there;
        }
        let messages = here.skiff.messages();
        messages.wait("balloon: target", PATIENCE).unwrap();
        finish(&mut here);
        log.extend(here.skiff.messages().all());
        for reason in ["for what is free", "pressure"] {
            let changes = log.iter().filter(|line| line.contains(reason)).count();
            println!("{cpus} vCPUs: {changes} targets {reason}");
            assert!(changes > 0, "{log:#?}");
        }
    }
}
