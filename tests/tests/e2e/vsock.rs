//! Socket devices from the outside: what a user is told of them, and where programs find the guest. Their
//! guest has no driver; what goes through them is the matter of `rootfs_linux`.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tests::harness::{Host, Process, VmProcess};

use crate::ground::{has_kvm, key};

const PATIENCE: Duration = Duration::from_secs(60);

fn device(vm: &VmProcess) -> Value {
    vm.info().unwrap()["vsock"].clone()
}

fn boot(host: &Host, name: &str, vsock: &str) -> VmProcess {
    let words = ["--kernel", "probe", "--memory", "16M", "--vsock", vsock];
    let guest = ["--cmdline", "workload=idle ws=1M"];
    let vm = host.boot(name, &[&words[..], &guest].concat()).unwrap();
    vm.wait_output("probe: ready").unwrap();
    vm
}

fn is_open(path: &Path) -> bool {
    UnixStream::connect(path).is_ok()
}

#[test]
fn socket_that_cannot_be_had_is_refused_with_what_to_do() {
    if !has_kvm("vsock") {
        return;
    }
    let (host, place) = (Host::new().unwrap(), tempfile::tempdir().unwrap());
    let path = place.path().join("v");
    let named = format!("socket={}", path.display());
    let run = |vsock: &str| {
        let words = ["run", "--kernel", "probe", "--vsock", vsock];
        host.command(&words).unwrap_err().to_string()
    };
    let mut vm = boot(&host, "a", &format!("{named},cid=52"));
    assert_eq!(device(&vm)["cid"], 52);
    let error = run(&named);
    assert!(
        error.contains("is in use") && error.contains("name another"),
        "{error}"
    );
    vm.tell("stop").unwrap();
    vm.skiff.succeed(PATIENCE).unwrap();
    assert!(!path.exists(), "it goes with its VM");
    std::fs::write(&path, "precious").unwrap();
    assert!(run(&named).contains("is no socket"));
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    assert!(run("socket=v,cid=2").contains("3 to 4294967294"));
}

#[test]
fn guest_is_found_at_its_path_wherever_it_is() {
    if !has_kvm("vsock") {
        return;
    }
    let (host, place) = (Host::new().unwrap(), tempfile::tempdir().unwrap());
    let paths = ["v", "w", "c-1", "c-2"].map(|name| place.path().join(name));
    let [here, there, ..] = paths
        .each_ref()
        .map(|path| format!("socket={}", path.display()));
    let mut source = boot(&host, "a", &format!("{here},cid=7"));
    assert!(is_open(&paths[0]));

    // Another path for one that comes, without a key: that is this host's choice.
    let (mut target, address) = host.receive_with("b", &["--vsock", &there]).unwrap();
    let report = source.migrate(&address, &[]).unwrap();
    assert_eq!(report["outcome"], "completed", "{report}");
    source.skiff.succeed(PATIENCE).unwrap();
    assert_eq!(device(&target)["socket"], paths[1].to_str().unwrap());
    assert_eq!(device(&target)["cid"], 7);
    assert!(!paths[0].exists());

    // A copy is another VM: what the first has, it cannot have.
    let snapshot = place.path().join("snap");
    target.snapshot(&snapshot, &[]).unwrap();
    let path = snapshot.to_str().unwrap();
    let error = host.command(&["restore", path, "--name", "c"]).unwrap_err();
    assert!(error.to_string().contains("is in use"), "{error}");
    let mut again = host.restore("c", &snapshot, &["--vsock", &here]).unwrap();
    assert_eq!(device(&again)["cid"], 7);
    assert!(is_open(&paths[0]));
    for vm in [&mut target, &mut again] {
        vm.tell("stop").unwrap();
        vm.skiff.succeed(PATIENCE).unwrap();
    }

    // Each of several copies has a socket of its own.
    let copies = ["restore", path, "--name", "d", "--clones", "2"];
    let error = host.command(&copies).unwrap_err().to_string();
    assert!(error.contains("--vsock socket=PATH"), "{error}");
    let stem = format!("socket={}", place.path().join("c").display());
    let words = [&copies[..], &["--vsock", &stem]].concat();
    let mut clones = Process::skiff(host.runtime(), &words).unwrap();
    let ready = clones.output().wait(" copies are ready after", PATIENCE);
    ready.unwrap();
    for (number, path) in [(1, &paths[2]), (2, &paths[3])] {
        assert!(is_open(path));
        host.command(&["stop", &format!("d-{number}")]).unwrap();
    }
    clones.succeed(PATIENCE).unwrap();
}

#[test]
fn sender_that_may_be_anybody_names_no_socket_here() {
    if !has_kvm("vsock") {
        return;
    }
    let (host, place) = (Host::new().unwrap(), tempfile::tempdir().unwrap());
    let path = place.path().join("v");
    let mut source = boot(&host, "a", &format!("socket={}", path.display()));
    let (_target, address) = host.receive_with("b", &[]).unwrap();
    let error = source.migrate(&address, &[]).unwrap_err().to_string();
    assert!(error.contains("give --key or --tls"), "{error}");
    assert_eq!(source.info().unwrap()["state"], "running");
    assert!(is_open(&path));
    // With a key both monitors have the path, one after the other.
    let key = key(place.path(), "key", "sixteen bytes or more");
    let (mut target, address) = host.receive_with("c", &["--key", &key]).unwrap();
    // A paused guest is found as well.
    source.tell("pause").unwrap();
    let report = source.migrate(&address, &["--key", &key]).unwrap();
    assert_eq!(report["outcome"], "completed", "{report}");
    source.skiff.succeed(PATIENCE).unwrap();
    assert_eq!(target.info().unwrap()["state"], "paused");
    assert_eq!(device(&target)["socket"], path.to_str().unwrap());
    assert!(
        is_open(&path),
        "it is the target's, and stays when the source goes"
    );
    target.tell("stop").unwrap();
    target.skiff.succeed(PATIENCE).unwrap();
    assert!(!path.exists());
}
