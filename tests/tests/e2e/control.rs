//! The control socket: several clients, pause and resume, sockets of the dead.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use tests::harness::{Host, VmProcess, field};

use crate::ground::has_kvm;

const PATIENCE: Duration = Duration::from_secs(60);
/// Long enough for several of the probe's lines, which come every 100 ms.
const SILENCE: Duration = Duration::from_millis(400);

fn idle(host: &Host, name: &str) -> VmProcess {
    let vm = host.boot_probe(name, "64M", "workload=idle").unwrap();
    vm.wait_output("t_ms=").unwrap();
    vm
}

#[test]
fn pause_stops_the_guest_and_resume_lets_it_go_on() {
    if !has_kvm("pause") {
        return;
    }
    let host = Host::new().unwrap();
    let vm = idle(&host, "paused");
    vm.tell("pause").unwrap();
    assert_eq!(vm.info().unwrap()["state"], "paused");
    let before = vm.skiff.output().count();
    let silent = vm.skiff.output().wait_from(before + 1, "t_ms=", SILENCE);
    assert!(silent.is_err(), "a paused guest printed {silent:?}");
    vm.tell("resume").unwrap();
    assert_eq!(vm.info().unwrap()["state"], "running");
    field(&vm.wait_fresh_output("t_ms=").unwrap(), "t_ms").unwrap();
}

#[test]
fn stop_ends_the_vm_with_exit_0_and_leaves_no_socket() {
    if !has_kvm("stop") {
        return;
    }
    let host = Host::new().unwrap();
    let mut vm = idle(&host, "stopped");
    assert!(host.command(&["ls"]).unwrap().contains("stopped"));
    vm.tell("stop").unwrap();
    vm.skiff.succeed(PATIENCE).unwrap();
    assert!(!host.command(&["ls"]).unwrap().contains("stopped"));
    let left = fs::read_dir(host.runtime().join("skiff")).unwrap().count();
    assert_eq!(left, 0, "sockets left behind");
}

#[test]
fn ls_shows_vms_and_forgets_the_killed() {
    if !has_kvm("ls") {
        return;
    }
    let host = Host::new().unwrap();
    let alive = idle(&host, "alive");
    let mut killed = idle(&host, "killed");
    let both = host.command(&["ls"]).unwrap();
    assert!(both.contains("alive") && both.contains("killed"), "{both}");
    killed.skiff.kill();
    host.command(&["ls"]).unwrap();
    // The name is free again.
    let reborn = idle(&host, "killed");
    assert_eq!(reborn.info().unwrap()["state"], "running");
    assert_eq!(alive.info().unwrap()["name"], "alive");
}

#[test]
fn clients_at_once_are_all_answered_beside_a_silent_one_and_garbage() {
    if !has_kvm("clients") {
        return;
    }
    let host = Host::new().unwrap();
    let vm = idle(&host, "busy");
    let socket = host.runtime().join("skiff/busy.sock");
    let _silent = UnixStream::connect(&socket).unwrap();
    let mut garbage = UnixStream::connect(&socket).unwrap();
    garbage.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = String::new();
    BufReader::new(garbage).read_line(&mut answer).unwrap();
    assert!(answer.starts_with(r#"{"error""#), "{answer}");
    thread::scope(|scope| {
        let clients: Vec<_> = (0..8).map(|_| scope.spawn(|| vm.info().unwrap())).collect();
        for client in clients {
            assert_eq!(client.join().unwrap()["name"], "busy");
        }
    });
}

#[test]
fn vm_is_found_by_the_path_of_its_socket() {
    if !has_kvm("path") {
        return;
    }
    let host = Host::new().unwrap();
    let path = host.runtime().join("own.sock");
    let path = path.to_str().unwrap();
    let options = ["--kernel", "probe", "--memory", "64M", "--api", path];
    let vm = host.boot("by-path", &options).unwrap();
    vm.wait_output("probe: ready").unwrap();
    let info = host.command(&["info", path, "--json"]).unwrap();
    assert!(info.contains("by-path"), "{info}");
}
