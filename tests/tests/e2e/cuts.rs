//! Connections that are lost again and again while a guest moves by post-copy.
//!
//! A chain of moves through the relay. In most of them its rules cut, at bytes of a page connection
//! that the seed chooses, one connection of a lap or all of them; in the others all are cut at some
//! time. A page connection carries next to nothing before the hand-over, so what is cut behind its
//! first bytes is cut after that.

use std::fs;
use std::num::NonZeroU64;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tests::harness::{Host, VmProcess};
use tests::relay::{Chance, Cut, Direction, Effect, Plan, Relay, Rule, When};

use crate::ground::{has_kvm, scaled};
use crate::migrate::{check_sums, no_corruption};

/// Decides where and how connections are cut.
const SEED: u64 = 0x5ca1_ab1e;
const PATIENCE: Duration = Duration::from_secs(120);
/// Moves of the chain, and how often each loses its connections: 200 times in all.
const MOVES: u64 = 40;
const CUTS_PER_MOVE: u64 = 5;
/// What the guest works on.
const HOT_MIB: u64 = 64;
/// Bytes of a page connection that are sent before the hand-over: fewer than these.
const FIRST_BYTES: u64 = 1 << 10;
/// Where a destination that tells what is missing is cut: in the middle of that.
const CALL_BYTES: (u64, u64) = (200, 1_800);
/// Longest stall and longest wait for a cut at some time: a fraction of what a move takes.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);
/// Most bytes of one frame of a page connection: one that is cut in its middle is lost whole.
const FRAME_BYTES: u64 = 1 << 20;
const PAGE_BYTES: u64 = 4096;
/// What the source's kernel holds of a page connection before it can be sent.
const UNSENT_BYTES: u64 = 128 << 10;
/// What the relay has of one direction: twice 128 KiB in the kernel's buffer on either side, and 64
/// KiB in between.
const RELAYED_BYTES: u64 = (2 * 256 + 64) << 10;

/// How a lap ends.
#[derive(Debug, Clone, Copy)]
enum Blow {
    /// The page connection that is counted on is cut.
    Pages(Cut),
    /// The one for pages that somebody waits for is.
    Urgent(Cut),
    /// The one for control is.
    Control(Cut),
    /// All of them are at once.
    All(Cut),
    /// The destination gets no more of the pages, and the source is not told.
    HalfClose,
}

const BLOWS: [Blow; 9] = [
    Blow::Pages(Cut::Reset),
    Blow::Pages(Cut::Fin),
    Blow::Urgent(Cut::Reset),
    Blow::Urgent(Cut::Fin),
    Blow::Control(Cut::Reset),
    Blow::Control(Cut::Fin),
    Blow::All(Cut::Reset),
    Blow::All(Cut::Fin),
    Blow::HalfClose,
];

/// What befalls one move, and what is to be expected of it.
#[derive(Debug)]
struct Course {
    chance: Chance,
    plan: Plan,
    streams: u64,
    /// Number of the connection for control of the next lap; that for urgent pages and those for
    /// the others follow it.
    next: u64,
    cuts: u64,
    /// Calls of the source for another lap that are cut; they cost another call each.
    calls: u64,
    flips: u64,
}

impl Course {
    fn new(seed: u64, number: u64) -> Self {
        // Slow enough for a move to take a few hundred milliseconds, and for whoever receives to
        // keep up: what is in flight is in the relay and before it.
        let bits_per_s = NonZeroU64::new(scaled(2_000_000_000, 200_000_000)).unwrap();
        Self {
            chance: Chance::new(seed).with(number),
            plan: Plan::new(seed).rule(Effect::Rate { bits_per_s }),
            streams: 1 + number % 3,
            next: 0,
            cuts: 0,
            calls: 0,
            flips: 0,
        }
    }

    /// All laps of a move whose connections are cut at bytes.
    fn with_cuts(mut self) -> Self {
        for lap in 0..CUTS_PER_MOVE {
            let chance = self.chance.with(lap);
            let blow = usize::try_from(chance.with(0).below(9)).unwrap();
            self.add_lap(chance, BLOWS[blow]);
            if chance.with(1).once_in(5) {
                self.add_lost_call(chance);
            }
        }
        if self.chance.with(99).once_in(2) {
            self.add_flips();
        }
        self
    }

    /// One lap that ends with `blow`, after a stall perhaps.
    fn add_lap(&mut self, chance: Chance, blow: Blow) {
        // Of the connections for pages the first carries some on any link; the others may rest.
        let (control, urgent, pages) = (self.next, self.next + 1, self.next + 2);
        let at = When::Byte(FIRST_BYTES + chance.with(3).below(lap_bytes() / self.streams));
        let these = |how, connections| Effect::CutThese {
            at: at.clone(),
            how,
            connections,
        };
        let effect = match blow {
            Blow::Pages(how) => these(how, pages..=pages),
            Blow::Urgent(how) => these(how, urgent..=urgent),
            Blow::Control(how) => these(how, control..=control),
            Blow::All(how) => these(how, 0..=u64::MAX),
            Blow::HalfClose => Effect::HalfClose { at: at.clone() },
        };
        self.add(pages, effect);
        if chance.with(4).once_in(4) {
            let at = When::SomeByte(FIRST_BYTES..=lap_bytes() / self.streams);
            let lasting = LONGEST_PAUSE;
            self.add(pages, Effect::Stall { at, lasting });
        }
        self.next += 2 + self.streams;
        self.cuts += 1;
    }

    /// A call for the next lap whose answer is cut.
    fn add_lost_call(&mut self, chance: Chance) {
        let (first, last) = CALL_BYTES;
        let at = When::Byte(first + chance.with(5).below(last - first));
        let how = Cut::Reset;
        let rule = Rule::from(Effect::Cut { at, how }).connection(self.next);
        let plan = std::mem::take(&mut self.plan);
        self.plan = plan.rule(rule.direction(Direction::ToClient));
        self.next += 1;
        self.calls += 1;
    }

    /// Bits that flip in the last lap, in which most of the memory goes. Hardly ever they are those
    /// of a header, which costs the connections.
    fn add_flips(&mut self) {
        for flip in 0..2 {
            let chance = self.chance.with(100 + flip);
            let position = FIRST_BYTES + chance.below(lap_bytes() / self.streams);
            self.add(self.next + 2, Effect::Flip { position });
            self.flips += 1;
        }
    }

    fn add(&mut self, connection: u64, effect: Effect) {
        let rule = Rule::from(effect).connection(connection);
        let plan = std::mem::take(&mut self.plan);
        self.plan = plan.rule(rule.direction(Direction::ToServer));
    }

    /// Cuts all connections, as often as it is still sure to matter, some time after each lap has
    /// begun.
    fn cut_at_times(&mut self, relay: &Relay) {
        for cut in 0..CUTS_PER_MOVE {
            let first_of_pages = self.next + 2;
            let under_way = relay.wait_until(PATIENCE / 12, |stats| {
                stats.connections.iter().any(|connection| {
                    connection.index >= first_of_pages
                        && connection.to_server.forwarded_bytes > FIRST_BYTES
                })
            });
            if under_way.is_err() {
                // Whoever moves the guest tells why.
                break;
            }
            let longest_us = u64::try_from(LONGEST_PAUSE.as_micros()).unwrap();
            let chance = self.chance.with(cut);
            // Not to wait for anything: this is what makes the moment a random one.
            thread::sleep(Duration::from_micros(chance.below(longest_us)));
            let how = if chance.with(0).once_in(2) {
                Cut::Reset
            } else {
                Cut::Fin
            };
            let stats = relay.stats();
            if stats.to_server.received_bytes > (scaled(HOT_MIB, 16) << 20) / 2 {
                break;
            }
            // Before they are cut, for the source comes back at once.
            self.next = stats.accepted;
            relay.cut_all(how);
            self.cuts += 1;
        }
    }

    /// Most pages that may have been on their way at the cuts of this move, and most that flips
    /// cost. The guest has one vCPU, which waits for one page at a time.
    fn most_duplicates(&self, half_closed_bytes: u64) -> u64 {
        let each_cut = self.streams * in_flight_bytes() + PAGE_BYTES;
        let bytes = self.cuts * each_cut + self.flips * FRAME_BYTES + half_closed_bytes;
        bytes / PAGE_BYTES
    }
}

/// Most bytes of pages in a lap that is cut, such that one after the last cut has more than half of
/// the memory left to send.
fn lap_bytes() -> u64 {
    (scaled(HOT_MIB, 16) << 20) / 12
}

/// Most bytes that one page connection has under way. The destination keeps up with the relay's
/// rate, so its kernel has no reason to enlarge the receive buffer beyond its default (tcp(7)).
fn in_flight_bytes() -> u64 {
    let sizes = fs::read_to_string("/proc/sys/net/ipv4/tcp_rmem").unwrap();
    let default = sizes.split_whitespace().nth(1).unwrap();
    UNSENT_BYTES + RELAYED_BYTES + default.parse::<u64>().unwrap() + FRAME_BYTES
}

/// Moves the guest through a relay that does what `course` says, and checks the report; gives the
/// numbers of reconnects and of pages that went twice.
fn move_through(course: &mut Course, here: &VmProcess, there: (&VmProcess, &str)) -> (u64, u64) {
    let (there, address) = there;
    let relay = Relay::start(address.parse().unwrap(), course.plan.clone()).unwrap();
    let through = relay.address().to_string();
    let streams = course.streams.to_string();
    let options = ["--mode", "post-copy", "--streams", &streams];
    let report = thread::scope(|scope| {
        let mover = scope.spawn(|| here.migrate(&through, &options));
        if course.cuts == 0 {
            course.cut_at_times(&relay);
        }
        mover.join().unwrap().unwrap()
    });
    // The source's last word passes the relay, too; a destination that does not get it waits for the
    // source to come back, and its guest may not be moved again meanwhile.
    let messages = there.skiff.messages();
    messages.wait("all memory of the VM", PATIENCE).unwrap();
    assert_eq!(report["outcome"], "completed", "{course:?}: {report}");
    assert!(report["digest"]["source"].is_string(), "{report}");
    check_sums(&report);
    let count = |path: &str| report.pointer(path).and_then(Value::as_u64).unwrap();
    let (reconnects, duplicates) = (count("/reconnects"), count("/pages/duplicate"));
    assert!(
        (course.cuts..=course.cuts + course.flips).contains(&reconnects),
        "{course:?}: {report}"
    );
    let most = course.most_duplicates(relay.stats().to_server.discarded_bytes);
    assert!(
        duplicates <= most,
        "{duplicates} pages went twice, at most {most} were under way: {course:?}: {report}"
    );
    (reconnects, duplicates)
}

#[test]
fn guest_whose_connections_are_cut_two_hundred_times_arrives_whole_each_time() {
    if !has_kvm("cuts") {
        return;
    }
    println!("cuts: seed {SEED:#x}");
    let host = Host::new().unwrap();
    let memory = scaled("256M", "64M");
    let words = scaled("workload=random ws=64M", "workload=random ws=16M");
    let mut here = host.boot_probe("cut0", memory, words).unwrap();
    here.wait_output("passes=1").unwrap();
    let (mut cuts, mut calls, mut flips, mut reconnects, mut duplicates) = (0, 0, 0, 0, 0);
    for number in 1..=scaled(MOVES, 3) {
        let mut course = Course::new(SEED, number);
        // In one move of five the cuts come at some time instead.
        if number % 5 != 0 {
            course = course.with_cuts();
        }
        let (there, address) = host.receive(&format!("cut{number}")).unwrap();
        let (reconnected, duplicate) = move_through(&mut course, &here, (&there, &address));
        cuts += course.cuts;
        calls += course.calls;
        flips += course.flips;
        reconnects += reconnected;
        duplicates += duplicate;
        here.skiff.succeed(PATIENCE).unwrap();
        no_corruption(&here);
        there.wait_output("t_ms=").unwrap();
        here = there;
    }
    here.skiff.type_text("q").unwrap();
    here.wait_output("probe: done").unwrap();
    here.skiff.succeed(PATIENCE).unwrap();
    no_corruption(&here);
    println!(
        "cuts: {cuts} cuts and {calls} more in calls, {reconnects} reconnects; {flips} bits flipped; \
         {duplicates} pages went twice"
    );
    // A machine that stands still for a while lets a move get too far to be cut at some time.
    assert!(cuts >= scaled(MOVES, 3) * CUTS_PER_MOVE * 9 / 10, "{cuts}");
}
