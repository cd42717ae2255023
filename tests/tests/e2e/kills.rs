//! Destinations that are killed before the token, at any moment of a move.

use std::thread;
use std::time::{Duration, Instant};

use tests::harness::{Host, VmProcess};
use tests::relay::Chance;

use crate::ground::{has_kvm, scaled};
use crate::migrate::no_corruption;

/// Decides when destinations are killed.
const SEED: u64 = 0xdead_5eed;
const PATIENCE: Duration = Duration::from_secs(60);
/// Destinations killed before they own the guest.
const KILLS: u64 = 200;
/// How long a source calls a destination until it is clear that it had sent the token; one that had
/// not takes milliseconds to take the guest back.
const CALLING: Duration = Duration::from_secs(1);
/// How often a move is looked at meanwhile.
const POLL: Duration = Duration::from_millis(1);
/// Modes, and how long before the token they take at first sight. In the nested rig guests stall in
/// chains of pre-copy (README, "Limits").
const MODES: [(&str, Duration); 3] = [
    ("post-copy", Duration::from_millis(5)),
    ("stop-and-copy", Duration::from_millis(40)),
    ("pre-copy", Duration::from_millis(40)),
];

/// What a kill came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kill {
    /// The guest is the source's.
    InTime,
    /// The guest had been handed over: it is gone.
    TooLate,
    /// The source goes on calling, so it had sent the token, but the destination did not live to
    /// tell that it had come.
    Between,
}

/// The guest that is to survive.
struct Survivor<'a> {
    host: &'a Host,
    vm: VmProcess,
    name: String,
}

impl<'a> Survivor<'a> {
    fn boot(host: &'a Host, number: u64) -> Self {
        let name = format!("survivor{number}");
        let words = "workload=seq-write ws=16M";
        let vm = host.boot_probe(&name, "64M", words).unwrap();
        vm.wait_output("passes=1").unwrap();
        Self { host, vm, name }
    }

    /// Waits until nothing is going on with the guest any more: it runs a little before that.
    fn wait_settled(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.vm.info().unwrap()["state"] != "running" {
            assert!(Instant::now() < deadline, "{:?}", self.vm.info());
            thread::sleep(POLL);
        }
    }

    /// Kills a destination so long after the source has begun to move the guest there.
    fn lose_destination(&mut self, victim: &str, mode: &str, after: Duration) -> Kill {
        let (mut victim, address) = self.host.receive(victim).unwrap();
        let (host, name) = (self.host, self.name.clone());
        let said = self.vm.skiff.messages().count();
        let failure = thread::scope(|scope| {
            let words = ["migrate", &name, "--to", &address, "--mode", mode];
            let mover = scope.spawn(move || host.command(&words));
            let messages = self.vm.skiff.messages();
            messages.wait_from(said, "moving ", PATIENCE).unwrap();
            // Not to wait for anything: this is what makes the moment a random one.
            thread::sleep(after);
            victim.skiff.kill();
            let killed = Instant::now();
            let has_token = || {
                let lines = victim.skiff.messages().all();
                lines.iter().any(|line| line.contains("runs here now"))
            };
            while !mover.is_finished() {
                if has_token() || killed.elapsed() > scaled(CALLING, 10 * CALLING) {
                    self.vm.skiff.kill();
                }
                thread::sleep(POLL);
            }
            mover.join().unwrap().err()
        });
        match failure.map(|failure| failure.to_string()) {
            Some(failure) if failure.contains("resumed-at-source") => Kill::InTime,
            _ if victim
                .skiff
                .messages()
                .wait("runs here now", PATIENCE)
                .is_ok() =>
            {
                Kill::TooLate
            }
            _ => Kill::Between,
        }
    }
}

#[test]
fn destination_killed_before_the_token_leaves_the_guest_running_at_the_source() {
    if !has_kvm("kills") {
        return;
    }
    println!("kills: seed {SEED:#x}");
    let host = Host::new().unwrap();
    let mut survivor = Survivor::boot(&host, 0);
    let mut modes = MODES[..scaled(3, 2)].to_vec();
    let (mut in_time, mut too_late, mut between) = ([0_u64; 3], 0, 0);
    while in_time.iter().sum::<u64>() < scaled(KILLS, 5) {
        let number = in_time.iter().sum::<u64>() + too_late + between;
        let turn = usize::try_from(number).unwrap() % modes.len();
        let (mode, window) = &mut modes[turn];
        let window_us = u64::try_from(window.as_micros()).unwrap();
        let after = Duration::from_micros(Chance::new(SEED).with(number).below(window_us));
        match survivor.lose_destination(&format!("victim{number}"), mode, after) {
            Kill::InTime => {
                in_time[turn] += 1;
                // The token comes later than every moment tried: later ones are tried, too.
                *window += *window / 32;
                assert!(survivor.vm.skiff.is_running(), "{mode}, {after:?}");
                survivor.vm.wait_fresh_output("t_ms=").unwrap();
                survivor.wait_settled();
            }
            late @ (Kill::TooLate | Kill::Between) => {
                *(if late == Kill::TooLate {
                    &mut too_late
                } else {
                    &mut between
                }) += 1;
                *window -= *window / 8;
                no_corruption(&survivor.vm);
                survivor = Survivor::boot(&host, number + 1);
            }
        }
    }
    println!(
        "kills: {in_time:?} before the token, {between} right after it, {too_late} too late; \
         modes and times tried at last: {modes:?}"
    );
    // From the token until the destination says so: part of a millisecond of those that post-copy
    // takes, more where processors are busy. A source that failed to take its guest back would be
    // counted there, too.
    assert!(between <= scaled(KILLS, 5) / 8 + 1, "{between}");
    no_corruption(&survivor.vm);
    // After all that it can still move.
    let (mut target, address) = host.receive("at-last").unwrap();
    survivor.vm.migrate(&address, &[]).unwrap();
    target.wait_output("t_ms=").unwrap();
    target.skiff.type_text("q").unwrap();
    target.wait_output("probe: done").unwrap();
    no_corruption(&target);
}
