//! A driver that does anything with the entropy device.

use devices::Rng;
use migration::fuzzing::Seed;

use super::driver::{Driver, NEXT, Step, WRITE, descriptor, offer, step, steps};

/// How often a queue that has more to do is served for one kick.
const TURNS: u32 = 4;

/// Plays a driver: steps, of which the first byte counts modulo 5.
pub fn drive_rng(data: &[u8]) {
    let mut driver = Driver::new(1, |_| Rng::default());
    driver.start(0);
    for Step {
        what,
        address,
        choice,
        data,
    } in steps(data)
    {
        match what % 5 {
            0 | 1 => driver.poke(address, data),
            2 => driver.kick(0, TURNS),
            3 => driver.move_on(|_| Rng::default()),
            _ => driver.start(choice.into()),
        }
    }
}

/// What proper drivers do, and some that are not.
pub(super) fn seeds() -> Vec<Seed> {
    let room = |len_bytes, flags| [descriptor(0x8_0000, len_bytes, flags, 0)];
    let kick = step(2, 0, &[]);
    let request = [offer(0, &room(64, WRITE), 1), kick.clone()].concat();
    let pieces = [
        descriptor(0x8_0000, 5, WRITE | NEXT, 1),
        descriptor(0x9_0000, 70_000, WRITE, 0),
    ];
    let whole = [
        &request[..],
        &step(3, 0, &[]),
        &offer(0, &room(64, WRITE), 2),
        &kick,
        &step(4, 0, &[]),
        &request,
    ];
    [
        ("request", request.clone()),
        ("pieces", [offer(0, &pieces, 1), kick.clone()].concat()),
        (
            "readable",
            [offer(0, &room(64, 0), 1), kick.clone()].concat(),
        ),
        (
            "endless",
            [offer(0, &room(64, NEXT), 1), kick.clone()].concat(),
        ),
        ("move", whole.concat()),
    ]
    .into_iter()
    .map(|(name, steps)| super::seeds::seed("rng", name, steps))
    .collect()
}
