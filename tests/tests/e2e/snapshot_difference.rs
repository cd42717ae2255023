//! Differences to a snapshot as a user sees them.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tests::harness::Host;

use crate::ground::has_kvm;
use crate::migrate::no_corruption;
use crate::snapshot::done_digest;

const PATIENCE: Duration = Duration::from_secs(120);

fn number(report: &Value, pointer: &str) -> u64 {
    report.pointer(pointer).and_then(Value::as_u64).unwrap()
}

#[test]
fn vm_goes_on_from_a_difference_that_was_merged_and_ends_as_without() {
    if !has_kvm("snapshot_difference") {
        return;
    }
    let (host, place) = (Host::new().unwrap(), tempfile::tempdir().unwrap());
    let path = |name: &str| place.path().join(name).to_string_lossy().into_owned();
    let [base, difference, merged] = ["base", "difference", "merged"].map(path);
    let words = "workload=seq-write ws=32M rate=20000 seed=11 passes=12";
    let control = host.boot_probe("control", "128M", words).unwrap();
    let mut vm = host.boot_probe("vm", "128M", words).unwrap();
    vm.wait_output("passes=1").unwrap();
    vm.snapshot(Path::new(&base), &["--live"]).unwrap();
    vm.wait_fresh_output("passes=").unwrap();
    let options = ["--base", &base, "--live", "--stop"];
    let report = vm.snapshot(Path::new(&difference), &options).unwrap();
    vm.skiff.succeed(PATIENCE).unwrap();
    no_corruption(&vm);
    println!("difference: {report}");
    assert!(number(&report, "/pages/stored") > 0 && number(&report, "/pages/base") > 0);

    let verified = host.command(&["snapshot", "verify", &difference]).unwrap();
    let of_base = host.command(&["snapshot", "verify", &base]).unwrap();
    let (_, identity) = of_base.trim().rsplit_once(' ').unwrap();
    assert!(
        verified.contains(&format!("a difference to {identity}:")),
        "{verified}"
    );
    let refused = |words: &[&str]| host.command(words).unwrap_err().to_string();
    let told = refused(&["restore", &difference, "--serial", "none"]);
    assert!(
        told.contains(identity) && told.contains("try: ") && told.contains("skiff snapshot merge"),
        "{told}"
    );
    let merge = [
        "snapshot",
        "merge",
        &difference,
        "--base",
        &base,
        "--to",
        &merged,
    ];
    let told = refused(&["snapshot", "merge", &base, "--base", &base, "--to", &merged]);
    assert!(told.contains("no difference"), "{told}");
    let printed = host
        .command(&[&merge[..], &["--report", "-"]].concat())
        .unwrap();
    println!("merge: {printed}");
    let account: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(account["digest"], report["digest"]);
    let mut copy = host.restore("copy", Path::new(&merged), &[]).unwrap();
    assert_eq!(done_digest(&copy), done_digest(&control));
    copy.skiff.succeed(PATIENCE).unwrap();
    no_corruption(&copy);
}

#[test]
fn difference_of_a_guest_that_writes_nothing_is_small() {
    if !has_kvm("snapshot_difference_idle") {
        return;
    }
    let (host, place) = (Host::new().unwrap(), tempfile::tempdir().unwrap());
    let [base, difference] = ["base", "difference"].map(|name| place.path().join(name));
    let to_base = ["--base", &base.to_string_lossy()];
    let words = "workload=seq-read ws=32M";
    let vm = host.boot_probe("reader", "128M", words).unwrap();
    vm.wait_output("passes=1").unwrap();
    let whole = vm.snapshot(&base, &[]).unwrap();
    vm.wait_fresh_output("passes=").unwrap();
    for liveness in [&[][..], &["--live"]] {
        let options = [&to_base[..], liveness].concat();
        let report = vm.snapshot(&difference, &options).unwrap();
        println!("{liveness:?}: {report}");
        // The guest's stack and what it counts.
        assert!(number(&report, "/pages/stored") <= 64, "{report}");
        assert!(number(&report, "/pages/base") + 64 >= number(&whole, "/pages/stored"));
    }
    no_corruption(&vm);
}
