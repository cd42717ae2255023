//! A guest that is told to move on while its memory is still arriving.

use std::thread;
use std::time::{Duration, Instant};

use tests::harness::{Host, VmProcess};

use crate::ground::{has_kvm, scaled};
use crate::migrate::{check_sums, no_corruption};

const PATIENCE: Duration = Duration::from_secs(120);

/// Moves some 16 MiB within a second, or within five where a question to a monitor takes half of one.
fn slowly() -> [&'static str; 4] {
    let rate = scaled("140M", "28M");
    ["--mode", "post-copy", "--bandwidth", rate]
}

fn wait_state(vm: &VmProcess, state: &str) {
    let deadline = Instant::now() + PATIENCE;
    while vm.info().unwrap()["state"] != state {
        assert!(Instant::now() < deadline, "never {state}");
        thread::yield_now();
    }
}

/// Boots a guest that touches little of what it has written, so that its memory comes at the rate.
fn boot(host: &Host, name: &str) -> VmProcess {
    let words = "workload=seq-write ws=16M rate=300";
    let guest = host.boot_probe(name, "64M", words).unwrap();
    guest.wait_output("t_ms=").unwrap();
    guest.wait_fresh_output("t_ms=").unwrap();
    guest
}

#[test]
fn second_move_waits_for_the_last_page_of_the_first_and_loses_none() {
    if !has_kvm("chain") {
        return;
    }
    let host = Host::new().unwrap();
    let mut first = boot(&host, "first");
    let (mut second, to_second) = host.receive("second").unwrap();
    let (mut third, to_third) = host.receive("third").unwrap();
    thread::scope(|scope| {
        let first = &first;
        let mover = scope.spawn(move || first.migrate(&to_second, &slowly()).unwrap());
        wait_state(&second, "arriving");
        let report = second.migrate(&to_third, &[]).unwrap();
        assert_eq!(report["outcome"], "completed", "{report}");
        check_sums(&report);
        check_sums(&mover.join().unwrap());
    });
    first.skiff.succeed(PATIENCE).unwrap();
    second.skiff.succeed(PATIENCE).unwrap();
    third.skiff.type_text("q").unwrap();
    third.wait_output("probe: done").unwrap();
    for vm in [&first, &second, &third] {
        no_corruption(vm);
    }
}

#[test]
fn second_move_called_off_while_it_waits_leaves_the_first_alone() {
    if !has_kvm("chain_cancel") {
        return;
    }
    let host = Host::new().unwrap();
    let mut first = boot(&host, "origin");
    let (mut second, to_second) = host.receive("middle").unwrap();
    let (_third, to_third) = host.receive("end").unwrap();
    thread::scope(|scope| {
        let first = &first;
        let mover = scope.spawn(move || first.migrate(&to_second, &slowly()).unwrap());
        wait_state(&second, "arriving");
        let waiting = &second;
        let second_mover = scope.spawn(move || waiting.migrate(&to_third, &[]));
        // It has begun to wait when it can be called off.
        while second.tell("cancel").is_err() {
            assert!(!second_mover.is_finished(), "it did not wait");
        }
        assert!(second_mover.join().unwrap().is_err());
        check_sums(&mover.join().unwrap());
    });
    first.skiff.succeed(PATIENCE).unwrap();
    wait_state(&second, "running");
    second.skiff.type_text("q").unwrap();
    second.wait_output("probe: done").unwrap();
    no_corruption(&second);
}

#[test]
fn info_of_a_vm_that_moves_tells_how_far_it_is_at_both_ends() {
    if !has_kvm("info") {
        return;
    }
    let host = Host::new().unwrap();
    let mut here = boot(&host, "here");
    let (there, address) = host.receive("there").unwrap();
    thread::scope(|scope| {
        let source = &here;
        // Long enough to be asked about.
        let options = ["--mode", "post-copy", "--bandwidth", "10M"];
        let mover = scope.spawn(move || source.migrate(&address, &options).unwrap());
        let mut seen = [None, None];
        let deadline = Instant::now() + PATIENCE;
        while seen.iter().any(Option::is_none) {
            assert!(
                Instant::now() < deadline && !mover.is_finished(),
                "{seen:?}"
            );
            for (vm, seen) in [&here, &there].into_iter().zip(&mut seen) {
                // The rate takes a moment to be known.
                let migration = vm.info().map(|info| info["migration"].clone());
                *seen = migration
                    .ok()
                    .filter(|migration| migration["eta_ms"].is_u64())
                    .or(seen.take());
            }
        }
        for (seen, direction) in seen.into_iter().flatten().zip(["leaving", "arriving"]) {
            assert_eq!(seen["direction"], direction, "{seen}");
            assert_eq!(seen["mode"], "post-copy", "{seen}");
            assert_eq!(seen["pages_total"], 16_384, "{seen}");
        }
        check_sums(&mover.join().unwrap());
    });
    here.skiff.succeed(PATIENCE).unwrap();
    wait_state(&there, "running");
    assert!(there.info().unwrap()["migration"].is_null());
}
