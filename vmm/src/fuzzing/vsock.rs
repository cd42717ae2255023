//! A driver that does anything with a socket device, and programs that do.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process;
use std::sync::OnceLock;

use devices::vsock::{GuestCid, Vsock, VsockListener};
use migration::fuzzing::Seed;

use super::driver::{Driver, NEXT, Step, WRITE, descriptor, offer, step, steps};

const QUEUES: u8 = 3;

/// How often a queue that has more to do is served for one kick.
const TURNS: u32 = 4;

/// The port of the host on which a program listens.
const LISTENING: u32 = 7;

/// Most programs at a time.
const PROGRAMS_MAX: usize = 4;

/// A socket that somebody listens at.
struct Place {
    path: PathBuf,
    listener: UnixListener,
}

impl Place {
    fn new(name: &str) -> Self {
        let path = directory().join(name);
        // What is in the way was left by a process that had the number of this one.
        drop(fs::remove_file(&path));
        let listener = UnixListener::bind(&path).expect("there is room for a socket");
        listener
            .set_nonblocking(true)
            .expect("a socket need not wait");
        Self { path, listener }
    }

    /// Lets nobody in of those who still wait.
    fn clear(&self) {
        while self.listener.accept().is_ok() {}
    }
}

/// The guest's place, and that of a program that listens. All inputs have the same, because to make them
/// takes ten times as long as an input.
fn places() -> &'static [Place; 2] {
    static PLACES: OnceLock<[Place; 2]> = OnceLock::new();
    PLACES.get_or_init(|| [Place::new("v"), Place::new(&format!("v_{LISTENING}"))])
}

/// A directory of this process. It stays.
fn directory() -> PathBuf {
    let name = format!("skiff-fuzz-{}", process::id());
    let path = std::env::temp_dir().join(name);
    fs::create_dir_all(&path).expect("a fuzz target may make directories");
    path
}

/// A device that is served in the thread that kicks it. Who has not been let in by another is let in.
pub(super) fn vsock() -> Vsock {
    let [Place { path, listener }, _] = places();
    let listener = listener.try_clone().expect("a socket can be had twice");
    let listener = VsockListener::of_socket(path, listener.into());
    let device = Vsock::new(GuestCid::FIRST, listener).expect("a device can be made");
    device.on_the_event_loop()
}

/// The programs of the host, which read and write without waiting.
struct Programs {
    connected: Vec<UnixStream>,
}

impl Programs {
    fn new() -> Self {
        places().iter().for_each(Place::clear);
        Self {
            connected: Vec::new(),
        }
    }

    /// One more connects, and one that the guest called is there.
    fn come(&mut self) {
        let [guest, program] = places();
        let accepted = program.listener.accept().map(|(program, _)| program);
        let came = UnixStream::connect(&guest.path);
        for program in [accepted, came].into_iter().flatten() {
            if self.connected.len() < PROGRAMS_MAX && program.set_nonblocking(true).is_ok() {
                self.connected.push(program);
            }
        }
    }

    /// One of them says something.
    fn say(&mut self, choice: u8, bytes: &[u8]) {
        if let Some(program) = self.chosen(choice) {
            // What there is no room for is not said.
            drop(program.write(bytes));
        }
    }

    /// One of them hears, or goes.
    fn hear(&mut self, choice: u8) {
        let Some(program) = self.chosen(choice) else {
            return;
        };
        if choice & 1 == 0 {
            while program.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {}
        } else {
            let count = self.connected.len();
            self.connected.swap_remove(usize::from(choice) % count);
        }
    }

    fn chosen(&mut self, choice: u8) -> Option<&mut UnixStream> {
        let count = self.connected.len().max(1);
        self.connected.get_mut(usize::from(choice) % count)
    }
}

/// Plays a driver and programs: steps, of which the first byte counts modulo 10.
pub fn drive_vsock(data: &[u8]) {
    let mut programs = Programs::new();
    let mut driver = Driver::new(QUEUES, |_| vsock());
    driver.start(0);
    for Step {
        what,
        address,
        choice,
        data,
    } in steps(data)
    {
        match what % 10 {
            0 | 1 => driver.poke(address, data),
            2 | 3 => driver.kick(choice, TURNS),
            4 => programs.come(),
            5 | 6 => programs.say(choice, data),
            7 => programs.hear(choice),
            8 => driver.move_on(|_| vsock()),
            _ => driver.start(0),
        }
    }
}

/// A packet of the guest to its host.
fn packet(host_port: u32, guest_port: u32, operation: u16, flags: u32, data: &[u8]) -> Vec<u8> {
    let len_bytes = u32::try_from(data.len()).expect("a seed is short");
    [
        &3_u64.to_le_bytes()[..],
        &2_u64.to_le_bytes(),
        &guest_port.to_le_bytes(),
        &host_port.to_le_bytes(),
        &len_bytes.to_le_bytes(),
        &1_u16.to_le_bytes(),
        &operation.to_le_bytes(),
        &flags.to_le_bytes(),
        &0x1_0000_u32.to_le_bytes(),
        &[0; 4],
        data,
    ]
    .concat()
}

/// What proper drivers and programs do, and some that are not.
pub(super) fn seeds() -> Vec<Seed> {
    const FIRST_PROGRAM: u32 = 1 << 30;
    let room = offer(0, &[descriptor(0x8_0000, 4096, WRITE, 0)], 15);
    let little = offer(0, &[descriptor(0x8_0000, 43, WRITE, 0)], 1);
    let events = offer(2, &[descriptor(0x9_0000, 8, WRITE, 0)], 1);
    // Each is offered as the one after the last.
    let sent = |times: u8, packet: &[u8]| {
        let (header, data) = packet.split_at(44);
        let len_bytes = u32::try_from(data.len()).expect("a seed is short");
        let pieces = [
            descriptor(0xa_0000, 44, if data.is_empty() { 0 } else { NEXT }, 1),
            descriptor(0xa_0100, len_bytes, 0, 0),
        ];
        [
            step(0, 0xa_0000, header),
            step(0, 0xa_0100, data),
            offer(1, &pieces, times),
            step(2, 1, &[]),
        ]
        .concat()
    };
    let call = [
        sent(1, &packet(LISTENING, 99, 1, 0, &[])),
        step(4, 0, &[]),
        sent(2, &packet(LISTENING, 99, 5, 0, b"hello")),
        step(7, 0, &[]),
        step(5, 0, b"an answer"),
        step(2, 0, &[]),
        sent(3, &packet(LISTENING, 99, 7, 0, &[])),
        sent(4, &packet(LISTENING, 99, 4, 3, &[])),
    ]
    .concat();
    let called = [
        step(4, 0, &[]),
        step(5, 0, b"CONNECT 5\nfirst"),
        step(2, 0, &[]),
        sent(1, &packet(FIRST_PROGRAM, 5, 2, 0, &[])),
        sent(2, &packet(FIRST_PROGRAM, 5, 6, 0, &[])),
        step(7, 1, &[]),
        step(2, 0, &[]),
        sent(3, &packet(FIRST_PROGRAM, 5, 3, 0, &[])),
    ]
    .concat();
    let refused = [
        sent(1, &packet(8, 99, 1, 0, &[])),
        sent(2, &packet(8, 99, 5, 0, b"?")),
        sent(3, &packet(8, 99, 9, 0, &[])),
        step(4, 0, &[]),
        step(5, 0, b"GET /\n"),
        step(2, 0, &[]),
    ]
    .concat();
    let moved = [step(8, 0, &[]), events, step(2, 2, &[])].concat();
    [
        ("call", [&room[..], &call].concat()),
        ("called", [&room[..], &called].concat()),
        ("refused", [&room[..], &refused].concat()),
        ("no-room", [&little[..], &refused].concat()),
        ("no-queue", call.clone()),
        ("move", [&room[..], &call, &moved, &called].concat()),
        (
            "again",
            [&room[..], &called, &step(9, 0, &[]), &room, &call].concat(),
        ),
    ]
    .into_iter()
    .map(|(name, steps)| super::seeds::seed("vsock", name, steps))
    .collect()
}
