//! A driver that does anything: a disk behind its registers and queue.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::OnceLock;

use devices::blk::{Access, Blk, DiskImage, DiskSerial};
use devices::virtio::{MmioTransport, QueueIndex, VirtioTransport};
use devices::{BusDevice, GuestMemory};
use migration::fuzzing::Seed;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::io::pwrite;
use vm_memory::{Bytes, GuestAddress};

use super::{MEMORY_BYTES, interrupt};

/// Registers of virtio over MMIO (virtio 1.2, section 4.2.2).
const DRIVER_FEATURES: u64 = 0x20;
const DRIVER_FEATURES_SEL: u64 = 0x24;
const QUEUE_SIZE: u64 = 0x38;
const QUEUE_READY: u64 = 0x44;
const STATUS: u64 = 0x70;
const QUEUE_DESC: u64 = 0x80;
const QUEUE_DRIVER: u64 = 0x90;
const QUEUE_DEVICE: u64 = 0xa0;

const QUEUE: QueueIndex = QueueIndex(0);
const QUEUE_SIZE_USED: u32 = 16;
const DESCRIPTORS: u32 = 0x1000;
const AVAILABLE: u32 = 0x1200;
const USED: u32 = 0x1300;

/// VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_DISCARD and VIRTIO_BLK_F_WRITE_ZEROES.
const FEATURES: [u32; 3] = [1 << 9, 1 << 13, 1 << 14];

/// Length of the disk.
const DISK_BYTES: usize = 16 * 512;

/// How often a queue that has more to do is served for one kick.
const TURNS: u32 = 8;

/// Plays a driver: bit 0 of byte 0 says whether the disk is read-only, and bits 1 to 3 which features
/// it accepts; then come steps of
///
/// | bytes | what |
/// |---|---|
/// | 0 | what to do, modulo 6: see `step` |
/// | 1..4 | an address, modulo the memory's size; its first byte is also a choice of features |
/// | 4 | how many bytes of data follow |
/// | 5.. | the data |
pub fn drive_blk(data: &[u8]) {
    let Some((&choice, mut rest)) = data.split_first() else {
        return;
    };
    fill_disk();
    let region = [(GuestAddress(0), MEMORY_BYTES)];
    let memory = GuestMemory::from_ranges(&region).expect("a mebibyte can be mapped");
    let access = match choice & 1 {
        0 => Access::ReadWrite,
        _ => Access::ReadOnly,
    };
    let mut driver = Driver::new(memory, access);
    driver.start(choice >> 1);
    while let Some(([what, a0, a1, a2, length], after)) = rest.split_first_chunk() {
        let (data, next) = after.split_at(after.len().min(usize::from(*length)));
        rest = next;
        driver.step(*what, u32::from_le_bytes([*a0, *a1, *a2, 0]), data);
    }
    // It opens if it is as long as before.
    let shape = *image(access).shape();
    assert_eq!(shape.size_bytes, DISK_BYTES as u64);
}

/// The file of the disk, in memory.
fn file() -> &'static OwnedFd {
    static FILE: OnceLock<OwnedFd> = OnceLock::new();
    FILE.get_or_init(|| {
        let file = memfd_create("disk", MemfdFlags::CLOEXEC).expect("a fuzz target has memory");
        ftruncate(&file, DISK_BYTES as u64).expect("a file in memory can be made longer");
        file
    })
}

fn fill_disk() {
    pwrite(file(), &[0xd1; DISK_BYTES], 0).expect("a file in memory can be written");
}

fn image(access: Access) -> DiskImage {
    let path = PathBuf::from(format!("/proc/self/fd/{}", file().as_raw_fd()));
    DiskImage::open(&path, access).expect("the file is a disk")
}

/// A disk that is served in the thread that kicks it.
pub(super) fn blk(access: Access) -> Blk {
    Blk::new(image(access), DiskSerial::default()).on_the_event_loop()
}

struct Driver {
    memory: GuestMemory,
    transport: MmioTransport<Blk>,
    access: Access,
}

impl Driver {
    fn new(memory: GuestMemory, access: Access) -> Self {
        let transport = MmioTransport::new(blk(access), memory.clone(), interrupt());
        Self {
            memory,
            transport: transport.expect("a device can be made"),
            access,
        }
    }

    fn write(&mut self, register: u64, value: u32) {
        self.transport.write(register, &value.to_le_bytes());
    }

    /// Accepts features and sets the queue up, as a driver should.
    fn start(&mut self, choice: u8) {
        for status in [0, 1, 3] {
            self.write(STATUS, status);
        }
        let chosen = (0..)
            .zip(FEATURES)
            .filter(|(bit, _)| choice >> bit & 1 != 0);
        let features = chosen.map(|(_, feature)| feature).sum();
        // VIRTIO_F_VERSION_1 is bit 32.
        for (half, bits) in [(1, 1), (0, features)] {
            self.write(DRIVER_FEATURES_SEL, half);
            self.write(DRIVER_FEATURES, bits);
        }
        for (register, value) in [
            (STATUS, 0xb),
            (QUEUE_SIZE, QUEUE_SIZE_USED),
            (QUEUE_DESC, DESCRIPTORS),
            (QUEUE_DRIVER, AVAILABLE),
            (QUEUE_DEVICE, USED),
            (QUEUE_READY, 1),
            (STATUS, 0xf),
        ] {
            self.write(register, value);
        }
    }

    fn step(&mut self, what: u8, address: u32, data: &[u8]) {
        let [first, ..] = address.to_le_bytes();
        match what % 6 {
            // Guest memory: the ring and requests.
            0 | 1 => {
                let at = GuestAddress(u64::from(address) % MEMORY_BYTES as u64);
                // What lies beyond the end is cut off.
                let _ = self.memory.write(data, at);
            }
            2 | 3 => (0..TURNS).for_each(|_| self.transport.queue_event(QUEUE)),
            4 => self.move_on(),
            _ => self.start(first),
        }
    }

    /// Saves the disk and goes on with another made of its state.
    fn move_on(&mut self) {
        self.transport.pause();
        let Ok(state) = self.transport.save() else {
            return self.transport.resume();
        };
        let (memory, disk) = (self.memory.clone(), blk(self.access));
        let restored = MmioTransport::restore(disk, memory, interrupt(), state);
        self.transport = restored.expect("what was saved can be restored");
        self.transport.resume();
    }
}

/// What proper drivers do, and some that are not.
pub(super) fn seeds() -> Vec<Seed> {
    const ALL: u8 = 0b1110;
    let read = request(0, 3, &[], 512);
    let write = request(1, 2, &[0xab; 128], 0);
    let flush = request(4, 0, &[], 0);
    let identify = request(8, 0, &[], 20);
    let range = [[1, 0, 0, 0, 0, 0, 0, 0], [2, 0, 0, 0, 0, 0, 0, 0]].concat();
    let discard = request(11, 0, &range, 0);
    let zeroes = request(13, 0, &range, 0);
    let outside = request(0, u64::MAX, &[], 512);
    let unknown = request(99, 0, &[], 1);
    let moved = step(4, 0, &[]);
    let again = step(5, 7, &[]);
    let whole = [&read[..], &moved, &again, &flush, &again, &discard].concat();
    [
        ("read", ALL, read),
        ("write", ALL, write.clone()),
        ("write-read-only", 1, write),
        ("flush", ALL, flush),
        ("identify", ALL, identify),
        ("discard", ALL, discard),
        ("discard-not-agreed", 0, request(11, 0, &range, 0)),
        ("zeroes", ALL, zeroes),
        ("outside", ALL, outside),
        ("unknown", ALL, unknown),
        ("move", ALL, whole),
    ]
    .into_iter()
    .map(|(name, choice, steps)| super::seeds::seed("blk", name, [&[choice][..], &steps].concat()))
    .collect()
}

fn step(what: u8, address: u32, data: &[u8]) -> Vec<u8> {
    let [a0, a1, a2, _] = address.to_le_bytes();
    let length = u8::try_from(data.len()).expect("a seed is short");
    [&[what, a0, a1, a2, length][..], data].concat()
}

/// One request, offered and kicked: its header, `payload` and room for an answer are a descriptor each.
fn request(kind: u32, sector: u64, payload: &[u8], answer_bytes: u32) -> Vec<u8> {
    const HEADER: u32 = 0x4000;
    const PAYLOAD: u32 = 0x5000;
    const ANSWER: u32 = 0x6000;
    let header = [&kind.to_le_bytes()[..], &[0; 4], &sector.to_le_bytes()].concat();
    // A write is as long as a sector, whatever of it is written here.
    let payload_bytes = match kind {
        1 => 512,
        _ => u32::try_from(payload.len()).expect("a seed is short"),
    };
    // Each leads on to the next but for the last, in which the device writes.
    let descriptors = [
        descriptor(HEADER, 16, 1, 1),
        descriptor(PAYLOAD, payload_bytes, 1, 2),
        descriptor(ANSWER, answer_bytes + 1, 2, 0),
    ];
    [
        step(0, HEADER, &header),
        step(0, PAYLOAD, payload),
        step(0, DESCRIPTORS, &descriptors.concat()),
        step(0, AVAILABLE, &[0, 0, 1, 0, 0, 0]),
        step(2, 0, &[]),
    ]
    .concat()
}

fn descriptor(at: u32, len_bytes: u32, flags: u16, next: u16) -> Vec<u8> {
    let mut bytes = u64::from(at).to_le_bytes().to_vec();
    bytes.extend(len_bytes.to_le_bytes());
    bytes.extend(flags.to_le_bytes());
    bytes.extend(next.to_le_bytes());
    bytes
}
