//! A driver that does anything with the balloon.

use balloon::{Balloon, BalloonHandle, PageReclaim, PfnRange, SelfBallooningSettings};
use devices::GuestMemory;
use migration::fuzzing::Seed;

use super::MEMORY_BYTES;
use super::driver::{Driver, NEXT, Step, WRITE, descriptor, offer, step, steps};

const QUEUES: u8 = 5;

/// How often a queue that has more to do is served for one kick.
const TURNS: u32 = 4;

/// Checks that nothing is discarded or made ready that is no memory.
#[derive(Debug)]
pub(super) struct Checked;

impl PageReclaim for Checked {
    fn discard(&self, range: PfnRange) -> std::io::Result<()> {
        self.prepare(range);
        Ok(())
    }

    fn prepare(&self, range: PfnRange) {
        assert!(range.pages > 0, "an empty range is wanted");
        let end = range.end().0 * balloon::PAGE_BYTES;
        assert!(end <= MEMORY_BYTES as u64, "{range:?} is wanted");
    }
}

fn make(memory: &GuestMemory) -> Balloon {
    Balloon::new(memory.clone(), Box::new(Checked)).with_hinting()
}

/// Plays a driver: byte 0 are the features it accepts, then come steps, of which the first byte counts
/// modulo 9.
pub fn drive_balloon(data: &[u8]) {
    let Some((&features, rest)) = data.split_first() else {
        return;
    };
    let mut handle = None;
    let mut driver = Driver::new(QUEUES, |memory| {
        let balloon = make(memory);
        handle = Some(balloon.handle());
        balloon
    });
    let mut handle = handle.expect("it was made");
    driver.start(features.into());
    for Step {
        what,
        address,
        choice,
        data,
    } in steps(rest)
    {
        match what % 9 {
            0 | 1 => driver.poke(address, data),
            2 | 3 => driver.kick(choice, TURNS),
            4 => driver.configure(choice, data),
            5 => {
                handle.set_target(address);
                handle.set_self_ballooning(Some(SelfBallooningSettings::default()));
                handle.request_statistics();
                handle.poll();
            }
            6 => driver.move_on(|memory| {
                let balloon = make(memory);
                handle = balloon.handle();
                balloon
            }),
            7 => driver.start(choice.into()),
            _ => hint_to(&handle, choice),
        }
        let given_up_pages = handle.status().given_up_pages;
        assert!(given_up_pages <= MEMORY_BYTES as u64 / balloon::PAGE_BYTES);
    }
}

/// Does what a migration does about hints, in any order.
fn hint_to(handle: &BalloonHandle, what: u8) {
    match what % 4 {
        0 => handle.ask_for_hints(),
        1 => {
            for range in handle.take_hints().pages {
                // A hint names what could be discarded, too.
                Checked.discard(range).expect("it was checked");
            }
        }
        2 => handle.stop_hints(),
        _ => handle.release_hints(),
    }
}

/// What proper drivers do, and some that are not.
pub(super) fn seeds() -> Vec<Seed> {
    const ALL: u8 = 0x3f;
    let lists = |pages: &[u32]| -> Vec<u8> { pages.iter().flat_map(|p| p.to_le_bytes()).collect() };
    let inflate = [list(0, 0x8000, &lists(&[200, 201, 203]), 0), kick(0)].concat();
    let deflate = [list(1, 0x8000, &lists(&[201]), 0), kick(1)].concat();
    let statistics = [6, 0, 0, 0, 1, 0, 0, 0, 0, 0, 4, 0, 0, 0, 2, 0, 0, 0, 0, 0];
    let statistics = [list(2, 0x9000, &statistics, 0), kick(2), step(5, 64, &[])].concat();
    // The first id is 2.
    let naming = [hint(0), list(3, 0x9000, &[2, 0, 0, 0], 0), kick(3)].concat();
    let named = [range(3, 2), kick(3), hint(1)].concat();
    let hints = [naming, named, hint(2), hint(3)].concat();
    let report = [range(4, 1), kick(4)].concat();
    let moved = step(6, 0, &[]);
    let outside = [list(0, 0x8000, &lists(&[u32::MAX, 300]), 0), kick(0)].concat();
    let endless = [list(0, 0x8000, &lists(&[9]), NEXT), kick(0)].concat();
    let whole = [
        &inflate[..],
        &deflate,
        &statistics,
        &hints,
        &report,
        &moved,
        &inflate,
    ];
    [
        ("inflate", inflate.clone()),
        ("deflate", [&inflate[..], &deflate].concat()),
        ("statistics", statistics.clone()),
        ("hints", hints.clone()),
        ("report", report.clone()),
        ("move", whole.concat()),
        ("outside", outside),
        ("endless", endless),
        (
            "again",
            [&inflate[..], &step(7, ALL.into(), &[]), &inflate].concat(),
        ),
    ]
    .into_iter()
    .map(|(name, steps)| super::seeds::seed("balloon", name, [&[ALL][..], &steps].concat()))
    .collect()
}

fn hint(what: u8) -> Vec<u8> {
    step(8, what.into(), &[])
}

fn kick(queue: u8) -> Vec<u8> {
    step(2, queue.into(), &[])
}

/// One readable buffer with this content, whose descriptor leads on to itself if `flags` say so.
fn list(queue: u32, at: u32, content: &[u8], flags: u16) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("a seed is short");
    let buffer = descriptor(at, length, flags, 0);
    [step(0, at, content), offer(queue, &[buffer], 1)].concat()
}

/// One writable buffer, on a queue that has it for so many times.
fn range(queue: u32, times: u8) -> Vec<u8> {
    offer(queue, &[descriptor(0x4_0000, 0x2_0000, WRITE, 0)], times)
}
