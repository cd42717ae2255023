//! Disks from the outside: what a user is told of them, who may have them, and where they may go.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use devices::blk::{Access, DiskImage};
use tests::harness::{Host, VmProcess};

use crate::ground::{has_kvm, key};

/// A directory for images, and the path of one in it.
fn image(name: &str, bytes: u64) -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join(name);
    File::create(&path).unwrap().set_len(bytes).unwrap();
    (place, path)
}

fn options(disk: &str) -> Vec<String> {
    let words = ["--kernel", "probe", "--memory", "64M", "--disk", disk];
    words.map(str::to_owned).into()
}

fn boot(host: &Host, name: &str, disk: &str) -> VmProcess {
    let options = options(disk);
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    let vm = host.boot(name, &options).unwrap();
    vm.wait_output("probe: ready").unwrap();
    vm
}

/// What is said of a VM that does not boot.
fn refused(host: &Host, disk: &str) -> String {
    let options = options(disk);
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    let words = [&["run", "--name", "refused"], &options[..]].concat();
    host.command(&words).unwrap_err().to_string()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn disk_that_is_none_is_refused_with_what_to_do() {
    if !has_kvm("no_disk") {
        return;
    }
    let host = Host::new().unwrap();
    let (place, odd) = image("odd", 1000);
    for (disk, words) in [
        (
            "/nonexistent/disk",
            &["/nonexistent/disk", "No such file", "truncate"][..],
        ),
        (text(place.path()), &["a directory"]),
        (text(&odd), &["1000 bytes", "512"]),
        ("a,rw", &["PATH[,ro]"]),
    ] {
        let said = refused(&host, disk);
        for word in words {
            assert!(said.contains(word), "{disk}: nothing of {word:?}: {said}");
        }
    }
}

#[test]
fn image_in_use_is_refused_until_it_is_free_wherever_its_vm_has_moved() {
    if !has_kvm("disk_in_use") {
        return;
    }
    let host = Host::new().unwrap();
    let (place, path) = image("disk", 1 << 20);
    let key = key(place.path(), "key", "sixteen bytes or more");
    let mut vm = boot(&host, "first", text(&path));
    let info = vm.info().unwrap();
    assert_eq!(info["disks"][0]["size_bytes"], 1 << 20, "{info}");
    for hop in 0..3 {
        let said = refused(&host, text(&path));
        assert!(
            said.contains("in use") && said.contains(text(&path)),
            "{said}"
        );
        assert!(refused(&host, &format!("{},ro", text(&path))).contains("in use"));
        let name = format!("hop{hop}");
        let (next, address) = host.receive_with(&name, &["--key", &key]).unwrap();
        let options = ["--mode", "post-copy", "--key", &key];
        vm.migrate(&address, &options).unwrap();
        vm = next;
        vm.wait_fresh_output("t_ms=").unwrap();
    }
    let said = refused(&host, text(&path));
    assert!(said.contains("in use"), "{said}");
    vm.tell("stop").unwrap();
    vm.skiff.succeed(Duration::from_secs(20)).unwrap();
    boot(&host, "next", text(&path));
}

#[test]
fn image_that_nobody_writes_is_shared() {
    if !has_kvm("disk_shared") {
        return;
    }
    let host = Host::new().unwrap();
    let (place, path) = image("disk", 1 << 20);
    let key = key(place.path(), "key", "sixteen bytes or more");
    let shared = format!("{},ro,serial=base", text(&path));
    let (first, _second) = (boot(&host, "one", &shared), boot(&host, "two", &shared));
    let (_moved, address) = host.receive_with("three", &["--key", &key]).unwrap();
    first.migrate(&address, &["--key", &key]).unwrap();
    assert!(refused(&host, text(&path)).contains("in use"));
}

#[test]
fn destination_without_the_same_image_refuses_and_the_guest_stays() {
    if !has_kvm("disk_elsewhere") {
        return;
    }
    let host = Host::new().unwrap();
    let (place, path) = image("disk", 1 << 20);
    let key = key(place.path(), "key", "sixteen bytes or more");
    let vm = boot(&host, "stays", text(&path));
    let (_target, address) = host.receive_with("target", &["--key", &key]).unwrap();
    let elsewhere = place.path().join("elsewhere");
    fs::rename(&path, &elsewhere).unwrap();
    let attempt = |words: &[&str]| {
        let said = vm
            .migrate(&address, &["--key", &key])
            .unwrap_err()
            .to_string();
        for word in words {
            assert!(said.contains(word), "nothing of {word:?}: {said}");
        }
        vm.wait_fresh_output("t_ms=").unwrap();
        assert_eq!(vm.info().unwrap()["state"], "running");
    };
    attempt(&[text(&path), "No such file"]);
    File::create(&path).unwrap().set_len(2 << 20).unwrap();
    attempt(&[text(&path), "2097152 bytes", "1048576"]);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    attempt(&[text(&path), "a directory"]);
    fs::remove_dir(&path).unwrap();
    fs::rename(&elsewhere, &path).unwrap();
    // Another one is to have it, and has not been told yet that nothing came of that.
    let heir = DiskImage::open(&path, Access::ReadWrite).unwrap();
    heir.inherit(Duration::ZERO).unwrap();
    attempt(&[text(&path), "in use"]);
    drop(heir);
    let report = vm.migrate(&address, &["--key", &key]).unwrap();
    assert_eq!(report["outcome"], "completed", "{report}");
}

#[test]
fn destination_without_a_key_opens_no_disks() {
    if !has_kvm("disk_insecure") {
        return;
    }
    let host = Host::new().unwrap();
    let (_place, path) = image("disk", 1 << 20);
    let vm = boot(&host, "wary", text(&path));
    for (name, at, options) in [
        ("near", "127.0.0.1:0", &[][..]),
        ("open", "0.0.0.0:0", &["--insecure"]),
    ] {
        let (_target, address) = host.receive_at(name, at, options).unwrap();
        let address = address.replace("0.0.0.0", "127.0.0.1");
        let said = vm.migrate(&address, &[]).unwrap_err().to_string();
        assert!(
            said.contains("has disks") && said.contains("--key"),
            "{said}"
        );
        vm.wait_fresh_output("t_ms=").unwrap();
    }
}

#[test]
fn snapshot_with_a_disk_is_resumed_by_one_at_a_time() {
    if !has_kvm("disk_snapshot") {
        return;
    }
    let host = Host::new().unwrap();
    let (place, path) = image("disk", 1 << 20);
    let mut vm = boot(&host, "original", text(&path));
    let directory = place.path().join("snap");
    vm.snapshot(&directory, &[]).unwrap();
    let restore = |options: &[&str]| {
        let words = [&["restore", text(&directory)], options].concat();
        host.command(&words).unwrap_err().to_string()
    };
    for mode in ["lazy", "eager", "mapped"] {
        let said = restore(&["--memory-mode", mode]);
        assert!(
            said.contains("in use") && said.contains(text(&path)),
            "{said}"
        );
    }
    vm.tell("stop").unwrap();
    vm.skiff.succeed(Duration::from_secs(20)).unwrap();
    let said = restore(&["--clones", "2"]);
    assert!(
        said.contains("cannot share") && said.contains(text(&path)),
        "{said}"
    );
    let copy = host.restore("copy", &directory, &[]).unwrap();
    copy.wait_fresh_output("t_ms=").unwrap();
    assert!(restore(&[]).contains("in use"));
}
