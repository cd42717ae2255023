//! A driver that does anything with a network card, and a network that does.

use std::os::unix::net::UnixDatagram;

use devices::net::{MacAddress, Net, Tap};
use migration::fuzzing::Seed;

use super::driver::{Driver, NEXT, Step, WRITE, descriptor, offer, step, steps};

const QUEUES: u8 = 3;

/// How often a queue that has more to do is served for one kick.
const TURNS: u32 = 4;

/// VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_MRG_RXBUF and what it takes for the
/// driver to announce itself.
const FEATURES: [u32; 4] = [1 << 1, 1 << 7, 1 << 15, 1 << 16 | 1 << 17 | 1 << 21];

/// Plays a driver: the low bits of byte 0 say which features it accepts, then come steps, of which the
/// first byte counts modulo 8.
pub fn drive_net(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else {
        return;
    };
    let (card, mut far) = net();
    let mut driver = Driver::new(QUEUES, |_| card);
    driver.start(features(choice));
    for Step {
        what,
        address,
        choice,
        data,
    } in steps(rest)
    {
        match what % 8 {
            0 | 1 => driver.poke(address, data),
            2 | 3 => driver.kick(choice, TURNS),
            // What does not fit into the socket is lost, as on a wire.
            4 => drop(far.send(&vec![choice; data.len() << (choice % 10)])),
            5 => while far.recv(&mut [0; 64]).is_ok() {},
            6 => {
                let (card, next) = net();
                driver.move_on(|_| card);
                far = next;
            }
            _ => driver.start(features(choice)),
        }
    }
}

fn features(choice: u8) -> u32 {
    let chosen = (0..).zip(FEATURES);
    let chosen = chosen.filter(|(bit, _)| choice >> bit & 1 != 0);
    chosen.map(|(_, feature)| feature).sum()
}

/// A card that is served in the thread that kicks it, and the other end of its cable.
pub(super) fn net() -> (Net, UnixDatagram) {
    let (near, far) = UnixDatagram::pair().expect("a fuzz target may open sockets");
    for end in [&near, &far] {
        end.set_nonblocking(true).expect("a socket need not wait");
    }
    let card = Net::new(Tap::of_socket(near.into()), MacAddress::local([1; 6]));
    (card.on_the_event_loop(), far)
}

/// What proper drivers do, and some that are not.
pub(super) fn seeds() -> Vec<Seed> {
    const ALL: u8 = 0b1111;
    const MERGED: u8 = 0b0100;
    let frame = [step(4, 3, &[0; 100]), step(2, 0, &[])].concat();
    let room = |len_bytes| offer(0, &[descriptor(0x8_0000, len_bytes, WRITE, 0)], 1);
    let receive = [room(2000), frame.clone()].concat();
    let pieces = [
        descriptor(0x8_0000, 700, WRITE | NEXT, 1),
        descriptor(0x9_0000, 900, WRITE, 0),
    ];
    let merged = [offer(0, &pieces, 2), frame.clone()].concat();
    let long = [room(70_000), step(4, 9, &[0; 100]), step(2, 0, &[])].concat();
    let little = [room(20), frame].concat();
    let sent = [
        descriptor(0x8_0000, 12, NEXT, 1),
        descriptor(0x8_0100, 60, 0, 0),
    ];
    let send = [offer(1, &sent, 1), step(2, 1, &[]), step(5, 0, &[])].concat();
    let none = [offer(1, &sent[..1], 1), step(2, 1, &[])].concat();
    let command = [
        step(0, 0x8_0000, &[3, 0]),
        offer(
            2,
            &[
                descriptor(0x8_0000, 2, NEXT, 1),
                descriptor(0x8_0100, 1, WRITE, 0),
            ],
            1,
        ),
        step(2, 2, &[]),
    ]
    .concat();
    let moved = step(6, 0, &[]);
    let again = step(7, ALL.into(), &[]);
    let whole = [
        &receive[..],
        &send,
        &room(2000),
        &moved,
        &command,
        &again,
        &merged,
    ];
    [
        ("receive", 0, receive.clone()),
        ("receive-merged", MERGED, merged.clone()),
        ("receive-long", ALL, long),
        ("receive-no-room", 0, little),
        ("send", ALL, send.clone()),
        ("send-nothing", ALL, none),
        ("command", ALL, command.clone()),
        ("move", ALL, whole.concat()),
    ]
    .into_iter()
    .map(|(name, choice, steps)| super::seeds::seed("net", name, [&[choice][..], &steps].concat()))
    .collect()
}
