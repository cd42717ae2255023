//! The link of a card on an interface of this host, which takes root to make.

use std::ffi::OsStr;
use std::process::{Child, Command};

use super::*;

/// An interface that goes with the test, and a network namespace to move it to.
#[derive(Debug)]
struct Interface {
    names: [String; 2],
    elsewhere: Child,
}

impl Interface {
    /// Nothing, with the reason printed, where none can be made.
    fn new(number: u32) -> Option<Self> {
        let name = |end: char| format!("sk{:x}.{number}{end}", std::process::id());
        let names = ['a', 'b'].map(name);
        let make = ["tuntap", "add", "dev", &names[0], "mode", "tap"];
        let made = Command::new("ip").args(make).output();
        if !made.as_ref().is_ok_and(|made| made.status.success()) {
            println!("not run here, there can be no TAP interface: {made:?}");
            return None;
        }
        let elsewhere = Command::new("unshare").args(["-n", "sleep", "600"]).spawn();
        let elsewhere = elsewhere.unwrap();
        Some(Self { names, elsewhere })
    }

    fn card(&self) -> Net {
        Net::new(Tap::open(&self.names[0].parse().unwrap()).unwrap(), mac())
    }

    /// As `ip link` does here.
    fn set(&self, name: usize, words: &[&str]) {
        let set = ["link", "set", &self.names[name]];
        let mut ip = Command::new("ip");
        assert!(ip.args(set).args(words).status().unwrap().success());
    }

    /// Moves it to another namespace, and brings it up there.
    fn move_away(&self) {
        let pid = self.elsewhere.id().to_string();
        let here = std::fs::read_link("/proc/self/ns/net").unwrap();
        let there = format!("/proc/{pid}/ns/net");
        while std::fs::read_link(&there).unwrap() == here {
            std::thread::yield_now();
        }
        self.set(0, &["netns", &pid]);
        let up = ["-n", "ip", "link", "set", &self.names[0], "up"];
        let mut nsenter = Command::new("nsenter");
        let brought = nsenter.args(["-t", &pid]).args(up).status();
        assert!(brought.unwrap().success());
    }
}

impl Drop for Interface {
    fn drop(&mut self) {
        self.elsewhere.kill().unwrap();
        self.elsewhere.wait().unwrap();
        for name in &self.names {
            // It has one of these names, or is gone.
            drop(Command::new("ip").args(["link", "del", name]).output());
        }
    }
}

fn started_on(interface: &Interface, features: u64) -> FakeDriver<Net> {
    let mut driver = FakeDriver::new(interface.card(), FakeDriver::<Net>::small_memory());
    driver.start(features, 16);
    driver
}

#[test]
fn link_of_an_interface_follows_it_by_any_name() {
    let Some(interface) = Interface::new(1) else {
        return;
    };
    let mut driver = started_on(&interface, STATUS);
    assert_eq!(driver.link_status(), 0);
    assert_eq!(driver.take_interrupt(), None);
    interface.set(0, &["up"]);
    assert_eq!(driver.wait_status(), LINK_UP);
    interface.set(0, &["down"]);
    assert_eq!(driver.wait_status(), 0);
    interface.set(0, &["name", &interface.names[1]]);
    interface.set(1, &["up"]);
    assert_eq!(driver.wait_status(), LINK_UP);
    interface.set(1, &["down"]);
    assert_eq!(driver.wait_status(), 0);
}

#[test]
fn link_of_an_interface_that_is_moved_goes_down_and_comes_up_elsewhere() {
    let Some(interface) = Interface::new(2) else {
        return;
    };
    interface.set(0, &["up"]);
    let mut driver = started_on(&interface, STATUS);
    assert_eq!(driver.link_status(), LINK_UP);
    interface.move_away();
    let began = Instant::now();
    while driver.take_interrupt().is_none() || driver.link_status() != LINK_UP {
        assert!(began.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
}

#[test]
fn link_of_an_interface_that_is_taken_away_goes_down() {
    let Some(interface) = Interface::new(3) else {
        return;
    };
    interface.set(0, &["up"]);
    let mut driver = started_on(&interface, STATUS);
    let gone = ["link", "del", &interface.names[0]];
    assert!(Command::new("ip").args(gone).status().unwrap().success());
    assert_eq!(driver.wait_status(), 0);
}

#[test]
fn frames_into_an_interface_that_is_down_are_dropped_and_later_ones_sent() {
    let Some(interface) = Interface::new(4) else {
        return;
    };
    let mut driver = started_on(&interface, STATUS);
    let send = |driver: &mut FakeDriver<Net>| {
        driver.put(FREE_MEMORY, &with_header(&[0xff; 60]));
        driver.offer(TRANSMIT, &[readable(FREE_MEMORY, 72)]);
        driver.kick(TRANSMIT);
        assert_eq!(driver.wait_used(TRANSMIT, 1), [0]);
    };
    send(&mut driver);
    driver.wait_until(|counters| counters.send_drops == 1);
    interface.set(0, &["up"]);
    assert_eq!(driver.wait_status(), LINK_UP);
    send(&mut driver);
    driver.wait_until(|counters| counters.sent_frames == 1);
    assert_eq!(driver.counters().send_drops, 1);
}

#[test]
fn link_that_changes_more_often_than_the_kernel_keeps_count_is_seen_as_it_is_in_the_end() {
    let Some(interface) = Interface::new(5) else {
        return;
    };
    let mut driver = started_on(&interface, STATUS);
    // Nobody listens meanwhile.
    driver.transport.pause();
    let lines = ["up", "down"].repeat(300).into_iter().chain(["up"]);
    let name = &interface.names[0];
    let script: String = lines
        .map(|word| format!("link set {name} {word}\n"))
        .collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), script).unwrap();
    let batch = [OsStr::new("-batch"), file.path().as_os_str()];
    assert!(Command::new("ip").args(batch).status().unwrap().success());
    driver.transport.resume();
    assert_eq!(driver.wait_status(), LINK_UP);
    for (word, status) in [("down", 0), ("up", LINK_UP)] {
        interface.set(0, &[word]);
        assert_eq!(driver.wait_status(), status);
    }
}
