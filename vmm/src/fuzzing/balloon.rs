//! A driver that does anything: the balloon behind its registers and queues.

use balloon::{Balloon, PageReclaim, PfnRange, SelfBallooningSettings};
use devices::virtio::{MmioTransport, QueueIndex, VirtioTransport};
use devices::{BusDevice, GuestMemory};
use migration::fuzzing::Seed;
use vm_memory::{Bytes, GuestAddress};

use super::{MEMORY_BYTES, interrupt};

/// Registers of virtio over MMIO (virtio 1.2, section 4.2.2).
const DRIVER_FEATURES: u64 = 0x20;
const DRIVER_FEATURES_SEL: u64 = 0x24;
const QUEUE_SEL: u64 = 0x30;
const QUEUE_SIZE: u64 = 0x38;
const QUEUE_READY: u64 = 0x44;
const STATUS: u64 = 0x70;
const QUEUE_DESC: u64 = 0x80;
const QUEUE_DRIVER: u64 = 0x90;
const QUEUE_DEVICE: u64 = 0xa0;
const CONFIG: u64 = 0x100;

/// The rings of queue 0; those of the others follow.
const RINGS_BASE: u32 = 0x1000;
const RINGS_BYTES: u32 = 0x400;
const AVAILABLE_OFFSET: u32 = 0x200;
const USED_OFFSET: u32 = 0x300;
const QUEUE_SIZE_USED: u32 = 16;
const QUEUES: u8 = 5;

/// How often a queue that has more to do is served for one kick.
const TURNS: u32 = 4;

/// Checks that nothing is discarded that is no memory.
#[derive(Debug)]
pub(super) struct Checked;

impl PageReclaim for Checked {
    fn discard(&self, range: PfnRange) -> std::io::Result<()> {
        assert!(range.pages > 0, "an empty range is discarded");
        let end = range.end().0 * balloon::PAGE_BYTES;
        assert!(end <= MEMORY_BYTES as u64, "{range:?} is discarded");
        Ok(())
    }
}

/// Plays a driver: byte 0 are the features it accepts, then come steps of
///
/// | bytes | what |
/// |---|---|
/// | 0 | what to do, modulo 9: see `step` |
/// | 1..4 | an address, modulo the memory's size; its first byte is also a queue or an offset |
/// | 4 | how many bytes of data follow |
/// | 5.. | the data |
pub fn drive_balloon(data: &[u8]) {
    let Some((&features, mut rest)) = data.split_first() else {
        return;
    };
    let region = [(GuestAddress(0), MEMORY_BYTES)];
    let memory = GuestMemory::from_ranges(&region).expect("a mebibyte can be mapped");
    let mut driver = Driver::new(memory);
    driver.start(features);
    while let Some(([what, a0, a1, a2, length], after)) = rest.split_first_chunk() {
        let (data, next) = after.split_at(after.len().min(usize::from(*length)));
        rest = next;
        driver.step(*what, u32::from_le_bytes([*a0, *a1, *a2, 0]), data);
        let status = driver.handle.status();
        assert!(status.given_up_pages <= MEMORY_BYTES as u64 / balloon::PAGE_BYTES);
    }
}

struct Driver {
    memory: GuestMemory,
    transport: MmioTransport<Balloon>,
    handle: balloon::BalloonHandle,
}

impl Driver {
    fn new(memory: GuestMemory) -> Self {
        let balloon = Balloon::new(memory.clone(), Box::new(Checked)).with_hinting();
        let handle = balloon.handle();
        let transport = MmioTransport::new(balloon, memory.clone(), interrupt());
        Self {
            memory,
            transport: transport.expect("a device can be made"),
            handle,
        }
    }

    fn write(&mut self, register: u64, value: u32) {
        self.transport.write(register, &value.to_le_bytes());
    }

    /// Accepts features and sets every queue up, as a driver should.
    fn start(&mut self, features: u8) {
        for status in [0, 1, 3] {
            self.write(STATUS, status);
        }
        // VIRTIO_F_VERSION_1 is bit 32.
        for (half, bits) in [(1, 1), (0, u32::from(features))] {
            self.write(DRIVER_FEATURES_SEL, half);
            self.write(DRIVER_FEATURES, bits);
        }
        self.write(STATUS, 0xb);
        for queue in 0..u32::from(QUEUES) {
            let base = RINGS_BASE + queue * RINGS_BYTES;
            self.write(QUEUE_SEL, queue);
            self.write(QUEUE_SIZE, QUEUE_SIZE_USED);
            self.write(QUEUE_DESC, base);
            self.write(QUEUE_DRIVER, base + AVAILABLE_OFFSET);
            self.write(QUEUE_DEVICE, base + USED_OFFSET);
            self.write(QUEUE_READY, 1);
        }
        self.write(STATUS, 0xf);
    }

    fn step(&mut self, what: u8, address: u32, data: &[u8]) {
        let [first, ..] = address.to_le_bytes();
        match what % 9 {
            // Guest memory: rings and lists of pages.
            0 | 1 => {
                let at = GuestAddress(u64::from(address) % MEMORY_BYTES as u64);
                // What lies beyond the end is cut off.
                let _ = self.memory.write(data, at);
            }
            2 | 3 => {
                for _ in 0..TURNS {
                    self.transport
                        .queue_event(QueueIndex(u16::from(first % QUEUES)));
                }
            }
            4 => self.transport.write(CONFIG + u64::from(first), data),
            5 => {
                self.handle.set_target(address);
                self.handle
                    .set_self_ballooning(Some(SelfBallooningSettings::default()));
                self.handle.request_statistics();
                self.handle.poll();
            }
            6 => self.move_on(),
            7 => self.start(first),
            _ => self.hint(first),
        }
    }

    /// Does what a migration does about hints, in any order.
    fn hint(&mut self, what: u8) {
        match what % 4 {
            0 => self.handle.ask_for_hints(),
            1 => {
                for range in self.handle.take_hints().pages {
                    // A hint names what could be discarded, too.
                    Checked.discard(range).expect("it was checked");
                }
            }
            2 => self.handle.stop_hints(),
            _ => self.handle.release_hints(),
        }
    }

    /// Saves the balloon and goes on with another made of its state.
    fn move_on(&mut self) {
        self.transport.pause();
        let Ok(state) = self.transport.save() else {
            return self.transport.resume();
        };
        let balloon = Balloon::new(self.memory.clone(), Box::new(Checked)).with_hinting();
        self.handle = balloon.handle();
        let memory = self.memory.clone();
        let restored = MmioTransport::restore(balloon, memory, interrupt(), state);
        self.transport = restored.expect("what was saved can be restored");
        self.transport.resume();
    }
}

/// What proper drivers do, and some that are not.
pub(super) fn seeds() -> Vec<Seed> {
    const ALL: u8 = 0x3f;
    let lists = |pages: &[u32]| -> Vec<u8> { pages.iter().flat_map(|p| p.to_le_bytes()).collect() };
    let inflate = [offer(0, 0x8000, &lists(&[200, 201, 203]), 0), kick(0)].concat();
    let deflate = [offer(1, 0x8000, &lists(&[201]), 0), kick(1)].concat();
    let statistics = [6, 0, 0, 0, 1, 0, 0, 0, 0, 0, 4, 0, 0, 0, 2, 0, 0, 0, 0, 0];
    let statistics = [offer(2, 0x9000, &statistics, 0), kick(2), step(5, 64, &[])].concat();
    // The first id is 2.
    let naming = [hint(0), offer(3, 0x9000, &[2, 0, 0, 0], 0), kick(3)].concat();
    let named = [
        again(offer_range(3, 0x4_0000, 0x2_0000), 3),
        kick(3),
        hint(1),
    ]
    .concat();
    let hints = [naming, named, hint(2), hint(3)].concat();
    let report = [offer_range(4, 0x4_0000, 0x2_0000), kick(4)].concat();
    let moved = step(6, 0, &[]);
    let outside = [offer(0, 0x8000, &lists(&[u32::MAX, 300]), 0), kick(0)].concat();
    let endless = [offer(0, 0x8000, &lists(&[9]), 1), kick(0)].concat();
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

fn step(what: u8, address: u32, data: &[u8]) -> Vec<u8> {
    let [a0, a1, a2, _] = address.to_le_bytes();
    let length = u8::try_from(data.len()).expect("a seed is short");
    [&[what, a0, a1, a2, length][..], data].concat()
}

fn hint(what: u8) -> Vec<u8> {
    step(8, what.into(), &[])
}

fn kick(queue: u8) -> Vec<u8> {
    step(2, queue.into(), &[])
}

/// One readable buffer with this content, whose descriptor leads on to itself if `flags` say so.
fn offer(queue: u32, at: u32, content: &[u8], flags: u16) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("a seed is short");
    [step(0, at, content), descriptor(queue, at, length, flags)].concat()
}

/// Steps that offer something on a queue, made to offer it for the second time.
fn again(steps: Vec<u8>, queue: u32) -> Vec<u8> {
    let ring = [0, 0, 2, 0, 0, 0, 0, 0];
    let ring = step(
        0,
        RINGS_BASE + queue * RINGS_BYTES + AVAILABLE_OFFSET,
        &ring,
    );
    [steps, ring].concat()
}

/// One writable buffer.
fn offer_range(queue: u32, at: u32, length: u32) -> Vec<u8> {
    descriptor(queue, at, length, 2)
}

/// Descriptor 0 of a queue, and its ring with that alone.
fn descriptor(queue: u32, at: u32, length: u32, flags: u16) -> Vec<u8> {
    let base = RINGS_BASE + queue * RINGS_BYTES;
    let mut bytes = u64::from(at).to_le_bytes().to_vec();
    bytes.extend(length.to_le_bytes());
    bytes.extend(flags.to_le_bytes());
    bytes.extend([0, 0]);
    let ring = [0, 0, 1, 0, 0, 0];
    [
        step(0, base, &bytes),
        step(0, base + AVAILABLE_OFFSET, &ring),
    ]
    .concat()
}
