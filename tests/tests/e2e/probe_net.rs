//! Frames under way while their guest moves: the probe sends and receives numbered datagrams as fast as it
//! goes. Some may be lost in a move, as in any network, but none may come torn, twice or late.

use std::cell::{Cell, RefCell};
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tests::harness::{DATAGRAM_PORT, Host, Network, Numberer, VmProcess, field, number_of};

use crate::ground::{has_kvm, has_network, key, move_in_every_mode};

/// Longest that anything may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Frames before and after each move.
const FRAMES: u64 = 500;

/// Moves a guest with that workload in every mode, from interface to interface and back; `go_on` comes back
/// when so many frames have come through.
fn move_on(words: &str, go_on: impl Fn(&VmProcess)) {
    let (host, network) = (Host::new().unwrap(), Network::new(2).unwrap());
    let place = tempfile::tempdir().unwrap();
    let key = key(place.path(), "key", "sixteen bytes or more");
    let tap = |number: usize| format!("tap={}", network.tap(number % 2));
    let (kernel, first) = (["--kernel", "probe", "--cmdline", words], tap(0));
    let options = [&kernel[..], &["--memory", "64M", "--net", &first]].concat();
    let vm = host.boot("net0", &options).unwrap();
    let receive = |number| {
        let options = ["--key", &key, "--net", &tap(number)];
        let received = host.receive_with(&format!("net{number}"), &options);
        received.unwrap()
    };
    move_in_every_mode(vm, &key, receive, go_on);
}

#[test]
fn frames_of_a_guest_that_moves_in_every_mode_come_whole_and_in_order() {
    if !has_kvm("probe_net") || !has_network("probe_net") {
        return;
    }
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, DATAGRAM_PORT)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let last = Cell::new(None);
    move_on("workload=net-send ws=8M frame=1000", |_| {
        let mut datagram = [0; 2048];
        for _ in 0..FRAMES {
            let bytes = socket.recv(&mut datagram).unwrap();
            let number = number_of(&datagram[..bytes]);
            assert!(number > last.get(), "{number:?} after {last:?}");
            last.set(number);
        }
    });
}

#[test]
fn guest_that_moves_in_every_mode_receives_frames_whole_and_in_order() {
    if !has_kvm("probe_net") || !has_network("probe_net") {
        return;
    }
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _at_the_end = Raise(&is_over);
        let sender = RefCell::new(None);
        move_on("workload=net-receive ws=8M", |vm| {
            // There is nothing to send from before there is a network.
            sender.borrow_mut().get_or_insert_with(|| {
                let mut numberer = Numberer::new(Network::HOST, 1000).unwrap();
                let is_over = &is_over;
                scope.spawn(move || {
                    while !is_over.load(Ordering::Relaxed) {
                        numberer.send();
                        thread::sleep(Duration::from_micros(200));
                    }
                })
            });
            receive(vm);
        });
    });
}

/// Raises a flag when dropped, by a failure as well.
struct Raise<'a>(&'a AtomicBool);

impl Drop for Raise<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits until the guest has received further frames, all of them right.
fn receive(vm: &VmProcess) {
    let count = || {
        let lines = vm.skiff.output().all();
        let bad = |line: &&String| line.contains("corrupt") || line.contains("error");
        assert_eq!(lines.iter().find(bad), None);
        lines
            .iter()
            .rev()
            .find_map(|line| field(line, "pages").ok())
    };
    let (began, before) = (Instant::now(), count().unwrap_or(0));
    while count().unwrap_or(0) < before + FRAMES {
        assert!(began.elapsed() < PATIENCE, "{:?} frames", count());
        thread::sleep(Duration::from_millis(50));
    }
}
