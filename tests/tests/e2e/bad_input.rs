//! What a user, a file or a peer gets wrong: the error names the value and what to do, in time.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use tests::harness::{Host, skiff_binary};

use crate::ground::has_kvm;

/// Longest that a refusal may take: a silent peer is given 10 s.
const PATIENCE: Duration = Duration::from_secs(15);

fn skiff(host: &Host, arguments: &[&str]) -> Output {
    let began = Instant::now();
    let output = Command::new(skiff_binary().unwrap())
        .args(arguments)
        .env("XDG_RUNTIME_DIR", host.runtime())
        .output()
        .unwrap();
    assert!(
        began.elapsed() < PATIENCE,
        "{arguments:?} took {:?}",
        began.elapsed()
    );
    output
}

/// Runs skiff, which must fail with `code` and say each of `words`.
fn refused(host: &Host, arguments: &[&str], code: i32, words: &[&str]) {
    let output = skiff(host, arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    for word in words {
        assert!(
            said.contains(word),
            "{arguments:?} says nothing of {word:?}: {said}"
        );
    }
}

#[test]
fn values_no_vm_can_have_are_wrong_usage() {
    let host = Host::new().unwrap();
    let run = |option: &str, value: &str, words: &[&str]| {
        refused(
            &host,
            &["run", "--kernel", "probe", option, value],
            2,
            words,
        );
    };
    run("--memory", "0", &["0"]);
    run("--memory", "12Q", &["12Q"]);
    run("--memory", "1M", &["16"]);
    run("--cpus", "0", &["0"]);
    run("--cpus", "33", &["33", "32"]);
    run("--serial", "pty", &["pty", "stdio"]);
    run("--name", "../x", &["../x"]);
    let too_much = ["run", "--kernel", "probe", "--memory", "999999G"];
    refused(&host, &too_much, 1, &["999999G", "more than this host has"]);
    refused(&host, &["run"], 2, &["kernel"]);
    refused(&host, &["fly"], 2, &["fly"]);
    refused(
        &host,
        &["migrate", "x", "--to", "nowhere"],
        2,
        &["nowhere", "HOST:PORT"],
    );
    refused(
        &host,
        &["migrate", "x", "--to", "a:1", "--mode", "warp"],
        2,
        &["warp"],
    );
}

#[test]
fn help_and_version_are_told_with_exit_0() {
    let host = Host::new().unwrap();
    for arguments in [&["--help"][..], &["run", "--help"], &["migrate", "--help"]] {
        let output = skiff(&host, arguments);
        assert!(output.status.success(), "{arguments:?}");
        assert!(
            String::from_utf8_lossy(&output.stdout).contains("Usage"),
            "{arguments:?}"
        );
    }
    let version = skiff(&host, &["--version"]);
    assert!(String::from_utf8_lossy(&version.stdout).contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn files_that_are_no_kernel_are_named_for_what_they_are() {
    if !has_kvm("no_kernel") {
        return;
    }
    let host = Host::new().unwrap();
    let path = |name: &str| host.runtime().join(name).to_str().unwrap().to_owned();
    let missing = path("missing");
    refused(
        &host,
        &["run", "--kernel", &missing],
        1,
        &[&missing, "No such file"],
    );
    let text = path("text");
    fs::write(&text, "just some text, certainly no kernel").unwrap();
    refused(&host, &["run", "--kernel", &text], 1, &["not a kernel"]);
    let empty = path("empty");
    fs::write(&empty, "").unwrap();
    refused(
        &host,
        &["run", "--kernel", &empty],
        1,
        &["not a kernel", "empty"],
    );
    let cut = path("cut");
    fs::write(&cut, &guest_images::PROBE[..100]).unwrap();
    refused(
        &host,
        &["run", "--kernel", &cut],
        1,
        &["cut short", "100 bytes"],
    );
    let initrd = path("no-initrd");
    let arguments = ["run", "--kernel", "probe", "--initrd", &initrd];
    refused(&host, &arguments, 2, &[&initrd]);
}

#[test]
fn names_and_ports_in_use_are_refused() {
    if !has_kvm("in_use") {
        return;
    }
    let host = Host::new().unwrap();
    let vm = host.boot_probe("taken", "64M", "workload=idle").unwrap();
    vm.wait_output("probe: ready").unwrap();
    let arguments = [
        "run", "--kernel", "probe", "--memory", "64M", "--name", "taken",
    ];
    refused(&host, &arguments, 1, &["taken"]);
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = busy.local_addr().unwrap().to_string();
    let arguments = ["receive", "--listen", &address, "--name", "other"];
    refused(&host, &arguments, 1, &[&address, "port 0"]);
    refused(&host, &["info", "nobody"], 1, &["nobody", "taken"]);
}

#[test]
fn peers_that_are_none_leave_the_guest_running() {
    if !has_kvm("peers") {
        return;
    }
    let host = Host::new().unwrap();
    let vm = host
        .boot_probe("staying", "64M", "workload=seq-write ws=4M")
        .unwrap();
    vm.wait_output("passes=1").unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let web = TcpListener::bind("127.0.0.1:0").unwrap();
    let web_address = web.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in web.incoming() {
            let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
            let _ = stream.and_then(|mut stream| stream.write_all(answer));
        }
    });
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let silent_address = silent.local_addr().unwrap().to_string();
    for (address, words) in [
        (&closed, &["refused"][..]),
        (&silent_address, &["10"]),
        (&web_address, &[&web_address]),
    ] {
        refused(&host, &["migrate", "staying", "--to", address], 1, words);
        vm.wait_fresh_output("t_ms=").unwrap();
        assert_eq!(vm.info().unwrap()["state"], "running");
    }
}

#[test]
fn receiver_called_by_strangers_goes_on_waiting() {
    if !has_kvm("strangers") {
        return;
    }
    let host = Host::new().unwrap();
    let (receiver, address) = host.receive("patient").unwrap();
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 5000], b""] {
        let mut stranger = std::net::TcpStream::connect(&address).unwrap();
        stranger.write_all(bytes).unwrap();
    }
    let source = host.boot_probe("guest", "64M", "workload=idle").unwrap();
    source.wait_output("t_ms=").unwrap();
    source.migrate(&address, &[]).unwrap();
    receiver.wait_output("t_ms=").unwrap();
}
