//! A stock Linux guest with a network card: its connections survive its moves.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tests::harness::{Host, Network, VmProcess};

use crate::disks_linux::say;
use crate::ground::{has_hardware, has_network, key, scaled};

const PATIENCE: Duration = Duration::from_secs(180);
const GUEST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// The port of a service in the guest that returns what it gets.
const ECHO: u16 = 7;

/// How often a client asks, whether it has been answered or not.
const REQUEST_EVERY: Duration = Duration::from_millis(20);

/// How it moves, in turn; in the rig, where a guest waits long for each page, seldom by post-copy alone.
fn mode(number: usize) -> &'static str {
    match number % scaled(4, 10) {
        0 => "post-copy",
        1 | 4 | 7 => "auto",
        2 | 5 | 8 => "hybrid",
        _ => "pre-copy",
    }
}

fn boot(host: &Host, tap: &str) -> VmProcess {
    let net = format!("tap={tap},mac=52:54:00:12:34:56");
    let options = ["--memory", "256M", "--net", &net];
    let mut vm = host.boot_linux_with("vm0", &options, "").unwrap();
    vm.skiff.output().wait("skiff: ready", PATIENCE).unwrap();
    let up = format!("ip addr add {GUEST}/24 dev eth0 && ip link set eth0 up");
    say(&mut vm, &up, "up");
    vm
}

/// Connects to the guest as soon as it listens.
fn connect(port: u16) -> TcpStream {
    let began = Instant::now();
    loop {
        match TcpStream::connect(SocketAddrV4::new(GUEST, port)) {
            Ok(stream) => return stream,
            Err(error) => assert!(began.elapsed() < PATIENCE, "{error}"),
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// What a client saw of its guest.
#[derive(Debug, Default)]
struct Seen {
    /// How long each answer took.
    latencies: Vec<Duration>,
}

/// The longest time between two answers since it was asked for last.
#[derive(Debug, Default)]
struct Gap(AtomicU64);

impl Gap {
    fn note(&self, gap: Duration) {
        let us = u64::try_from(gap.as_micros()).unwrap();
        self.0.fetch_max(us, Ordering::Relaxed);
    }

    fn take(&self) -> Duration {
        Duration::from_micros(self.0.swap(0, Ordering::Relaxed))
    }
}

impl Seen {
    /// Of latencies in order.
    fn percentile(&self, percent: usize) -> Duration {
        self.latencies[(self.latencies.len() - 1) * percent / 100]
    }
}

/// Asks over one connection at a fixed rate until it is told to end, and checks every answer.
fn ask(stream: &mut TcpStream, gap: &Gap, is_over: &AtomicBool) -> Seen {
    stream.set_nodelay(true).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_millis(1)))
        .unwrap();
    let began = Instant::now();
    let due = |number: usize| REQUEST_EVERY * u32::try_from(number).unwrap();
    let (mut seen, mut asked, mut last) = (Seen::default(), 0, began);
    let (mut buffer, mut filled) = ([0_u8; 8], 0);
    while !is_over.load(Ordering::Relaxed) || seen.latencies.len() < asked {
        if began.elapsed() >= due(asked) && !is_over.load(Ordering::Relaxed) {
            stream.write_all(&(asked as u64).to_le_bytes()).unwrap();
            asked += 1;
        }
        match stream.read(&mut buffer[filled..]) {
            Ok(0) => panic!("the guest closed the connection"),
            Ok(bytes) => filled += bytes,
            Err(error) => {
                let is_quiet = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                assert!(is_quiet, "the connection is lost: {error}");
                let silent = seen.latencies.len() < asked;
                assert!(!silent || last.elapsed() < PATIENCE, "no answer");
            }
        }
        if filled == buffer.len() {
            filled = 0;
            let number = seen.latencies.len();
            assert_eq!(u64::from_le_bytes(buffer), number as u64);
            let now = Instant::now();
            seen.latencies.push(now - began - due(number));
            gap.note(now - last);
            last = now;
        }
    }
    seen
}

#[test]
fn connection_survives_twenty_moves_between_two_namespaces_without_a_reset() {
    if !has_hardware("linux_net") || !has_network("linux_net") {
        return;
    }
    let network = Network::with_places(2).unwrap();
    let places = network.places();
    let hosts = [0, 1].map(|number: usize| Host::beside(places[number].process()).unwrap());
    let place = tempfile::tempdir().unwrap();
    let key = key(place.path(), "key", "sixteen bytes or more");
    let mut vm = boot(&hosts[0], Network::TAP);
    let serve = format!("(nc -ll -p {ECHO} -e cat &)");
    say(&mut vm, &serve, "serves");
    let mut stream = connect(ECHO);
    let is_over = AtomicBool::new(false);
    let gap = Gap::default();
    let mut seen = thread::scope(|scope| {
        let client = scope.spawn(|| ask(&mut stream, &gap, &is_over));
        for number in 1..=scaled(20, 20) {
            // Some traffic before each move, of which the gaps are not the move's.
            thread::sleep(scaled(Duration::from_millis(500), Duration::from_secs(1)));
            let quiet = gap.take();
            let (there, name) = (number % 2, format!("vm{number}"));
            let address = format!("{}:0", places[there].address);
            let (next, address) = hosts[there]
                .receive_at(&name, &address, &["--key", &key])
                .unwrap();
            let mode = mode(number);
            let report = vm
                .migrate(&address, &["--mode", mode, "--key", &key])
                .unwrap();
            assert_eq!(report["outcome"], "completed", "{report}");
            vm.skiff.succeed(PATIENCE).unwrap();
            vm = next;
            thread::sleep(Duration::from_secs(1));
            assert!(!client.is_finished(), "the client has ended after {mode}");
            println!(
                "{mode}: longest gap between two answers {:.0?}, quiet before {quiet:.0?}; downtime {:.1} ms of {:.0} ms",
                gap.take(),
                report["downtime_ms"].as_f64().unwrap(),
                report["total_ms"].as_f64().unwrap(),
            );
        }
        is_over.store(true, Ordering::Relaxed);
        client.join().unwrap()
    });
    seen.latencies.sort_unstable();
    println!(
        "{} answers: p50 {:.1?}, p99 {:.0?}, longest {:.0?}",
        seen.latencies.len(),
        seen.percentile(50),
        seen.percentile(99),
        seen.percentile(100),
    );
    let info = vm.info().unwrap();
    let count = |key: &str| info["nets"][0][key].as_u64().unwrap();
    assert!(
        count("received_frames") >= 20 && count("sent_frames") >= 20,
        "{info}"
    );
    vm.tell("stop").unwrap();
    vm.skiff.succeed(PATIENCE).unwrap();
}

/// Waits until the guest's own driver says that there is a carrier, 1, or none, 0; `number` tells the times apart.
fn wait_carrier(vm: &mut VmProcess, number: u32, carrier: u8) {
    let read = "cat /sys/class/net/eth0/carrier";
    let until = format!("until [ $({read}) = {carrier} ]; do sleep 0.1; done");
    let began = Instant::now();
    say(vm, &until, &format!("carrier{number}"));
    println!("carrier {carrier} seen {:.0?} later", began.elapsed());
}

#[test]
fn stock_driver_finds_its_link_down_and_up_as_the_interface_is_and_after_a_move() {
    if !has_hardware("linux_link") || !has_network("linux_link") {
        return;
    }
    let (host, network) = (Host::new().unwrap(), Network::new(2).unwrap());
    let mut vm = boot(&host, network.tap(0));
    wait_carrier(&mut vm, 0, 1);
    network.set(0, "down").unwrap();
    wait_carrier(&mut vm, 1, 0);
    network.set(0, "up").unwrap();
    wait_carrier(&mut vm, 2, 1);
    network.set(1, "down").unwrap();
    let tap = format!("tap={}", network.tap(1));
    let (next, address) = host.receive_with("vm1", &["--net", &tap]).unwrap();
    vm.migrate(&address, &[]).unwrap();
    vm.skiff.succeed(PATIENCE).unwrap();
    vm = next;
    wait_carrier(&mut vm, 3, 0);
    network.set(1, "up").unwrap();
    wait_carrier(&mut vm, 4, 1);
    // Frames go through as before.
    say(&mut vm, "(echo through | nc -ll -p 80 &)", "serves");
    let mut said = [0; 7];
    connect(80).read_exact(&mut said).unwrap();
    assert_eq!(&said, b"through");
    vm.tell("stop").unwrap();
    vm.skiff.succeed(PATIENCE).unwrap();
}

#[test]
fn large_file_arrives_at_a_guest_that_moves_meanwhile() {
    const MIB: usize = 24;
    if !has_hardware("linux_wget") || !has_network("linux_wget") {
        return;
    }
    let (host, network) = (Host::new().unwrap(), Network::new(2).unwrap());
    let mut vm = boot(&host, network.tap(0));
    // The guest serves a file of random bytes, and the host fetches it twice: as it is, and while it moves.
    let file = format!("dd if=/dev/urandom of=/run/file bs=1M count={MIB} 2>/dev/null");
    say(
        &mut vm,
        &format!("{file} && (nc -ll -p 80 -e cat /run/file &)"),
        "serves",
    );
    let fetch = |slowly: Duration| {
        let (mut stream, mut all) = (connect(80), Vec::new());
        let mut piece = vec![0; 64 << 10];
        loop {
            match stream.read(&mut piece).unwrap() {
                0 => return all,
                bytes => all.extend_from_slice(&piece[..bytes]),
            }
            thread::sleep(slowly);
        }
    };
    let before = fetch(Duration::ZERO);
    assert_eq!(before.len(), MIB << 20);
    let after = thread::scope(|scope| {
        let client = scope.spawn(|| fetch(Duration::from_millis(scaled(10, 40))));
        thread::sleep(Duration::from_millis(500));
        let tap = format!("tap={}", network.tap(1));
        let (next, address) = host.receive_with("vm1", &["--net", &tap]).unwrap();
        vm.migrate(&address, &["--mode", "post-copy"]).unwrap();
        vm.skiff.succeed(PATIENCE).unwrap();
        vm = next;
        assert!(!client.is_finished(), "the file was there before the move");
        client.join().unwrap()
    });
    assert!(before == after, "the file is another after the move");
    vm.tell("stop").unwrap();
    vm.skiff.succeed(PATIENCE).unwrap();
}
