//! Network cards from the outside: what a user is told of them, and where they may go. Their guest leaves
//! them alone; frames are the matter of `nets_linux` and `probe_net`.

use std::time::{Duration, Instant};

use serde_json::Value;
use tests::harness::{Host, Network, Process, VmProcess};

use crate::ground::{has_kvm, has_network, key, scaled};

const PATIENCE: Duration = Duration::from_secs(60);
const MAC: &str = "52:54:00:12:34:56";

fn card(vm: &VmProcess) -> Value {
    vm.info().unwrap()["nets"][0].clone()
}

fn boot(host: &Host, name: &str, net: &str) -> VmProcess {
    let words = ["--kernel", "probe", "--memory", "16M", "--net", net];
    let guest = ["--cmdline", "workload=idle ws=1M"];
    let vm = host.boot(name, &[&words[..], &guest].concat()).unwrap();
    vm.wait_output("probe: ready").unwrap();
    vm
}

#[test]
fn card_without_an_interface_is_refused_with_what_to_do() {
    if !has_kvm("nets") {
        return;
    }
    let host = Host::new().unwrap();
    let words = ["run", "--kernel", "probe", "--net", "tap=skiff-none"];
    let error = host.command(&words).unwrap_err().to_string();
    for word in ["`skiff-none`", "ip tuntap add dev skiff-none"] {
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn card_moves_with_its_address_to_the_interface_that_is_named_there() {
    if !has_kvm("nets") || !has_network("nets") {
        return;
    }
    let (host, network) = (Host::new().unwrap(), Network::new(2).unwrap());
    let [here, there] = [0, 1].map(|tap| format!("tap={}", network.tap(tap)));
    let mut source = boot(&host, "a", &format!("{here},mac={MAC}"));
    assert_eq!(card(&source)["mac"], MAC);
    let taken = host.command(&["run", "--kernel", "probe", "--net", &here]);
    let error = taken.unwrap_err().to_string();
    assert!(
        error.contains("in use") && error.contains(network.tap(0)),
        "{error}"
    );

    let (mut target, address) = host.receive_with("b", &["--net", &there]).unwrap();
    let report = source.migrate(&address, &[]).unwrap();
    assert_eq!(report["outcome"], "completed", "{report}");
    source.skiff.succeed(PATIENCE).unwrap();
    assert_eq!(card(&target)["mac"], MAC);
    assert_eq!(card(&target)["tap"], network.tap(1));

    // The first interface is free again, and the VM returns to it by way of a snapshot.
    let place = tempfile::tempdir().unwrap();
    let snapshot = place.path().join("snap");
    target.snapshot(&snapshot, &[]).unwrap();
    let mut again = host.restore("c", &snapshot, &["--net", &here]).unwrap();
    assert_eq!(card(&again)["mac"], MAC);
    assert_eq!(card(&again)["tap"], network.tap(0));
    let path = snapshot.to_str().unwrap();
    let copies = ["restore", path, "--name", "d", "--clones", "2"];
    let error = host.command(&copies).unwrap_err().to_string();
    assert!(error.contains(network.tap(1)), "{error}");

    // Each of several copies has an interface of its own.
    for vm in [&mut target, &mut again] {
        vm.tell("stop").unwrap();
        vm.skiff.succeed(PATIENCE).unwrap();
    }
    let net = format!("tap={}", network.stem());
    let words = [&copies[..], &["--net", &net]].concat();
    let mut clones = Process::skiff(host.runtime(), &words).unwrap();
    let ready = clones.output().wait(" copies are ready after", PATIENCE);
    ready.unwrap();
    for number in 0..2 {
        let name = format!("d-{}", number + 1);
        let said = host.command(&["info", &name]).unwrap();
        assert!(
            said.contains(&format!("{}, {MAC}", network.tap(number))),
            "{said}"
        );
        host.command(&["stop", &name]).unwrap();
    }
    clones.succeed(PATIENCE).unwrap();
}

/// Waits until the card's link is shown as that.
fn wait_link(vm: &VmProcess, link: &str) {
    let patience = scaled(Duration::from_secs(1), Duration::from_secs(20));
    let began = Instant::now();
    while card(vm)["link"] != link {
        assert!(began.elapsed() < patience, "not {link}: {}", card(vm));
    }
}

#[test]
fn link_of_a_card_is_shown_as_its_interface_is_taken_down_and_brought_up() {
    if !has_kvm("nets") || !has_network("nets") {
        return;
    }
    let (host, network) = (Host::new().unwrap(), Network::new(2).unwrap());
    let mut vm = boot(&host, "a", &format!("tap={}", network.tap(0)));
    for word in ["up", "down", "up", "down"] {
        network.set(0, word).unwrap();
        wait_link(&vm, word);
        let said = host.command(&["info", "a"]).unwrap();
        assert!(said.contains(&format!(", link {word}: ")), "{said}");
    }
    // It moves with its link down, and finds the one that is there.
    let there = format!("tap={}", network.tap(1));
    let (mut target, address) = host.receive_with("b", &["--net", &there]).unwrap();
    let report = vm.migrate(&address, &[]).unwrap();
    assert_eq!(report["outcome"], "completed", "{report}");
    vm.skiff.succeed(PATIENCE).unwrap();
    wait_link(&target, "up");
    network.set(1, "down").unwrap();
    wait_link(&target, "down");
    assert_eq!(target.info().unwrap()["state"], "running");
    target.tell("stop").unwrap();
    target.skiff.succeed(PATIENCE).unwrap();
}

#[test]
fn destination_without_the_interface_refuses_and_the_guest_stays() {
    if !has_kvm("nets") || !has_network("nets") {
        return;
    }
    let (host, network) = (Host::new().unwrap(), Network::new(1).unwrap());
    let place = tempfile::tempdir().unwrap();
    let source = boot(&host, "a", &format!("tap={}", network.tap(0)));
    let key = key(place.path(), "key", "sixteen bytes or more");
    let names = [
        // The source has it, on this host.
        (&["--key", &key][..], "in use"),
        (&["--key", &key, "--net", "tap=skiff-none"], "`skiff-none`"),
        // Whoever may be anybody names no interface here.
        (&[], "give --key or --tls"),
    ];
    for (options, word) in names {
        let (_target, address) = host.receive_with("b", options).unwrap();
        let ours = if options.is_empty() {
            &[][..]
        } else {
            &["--key", &key]
        };
        let error = source.migrate(&address, ours).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
        assert_eq!(source.info().unwrap()["state"], "running");
    }
}
