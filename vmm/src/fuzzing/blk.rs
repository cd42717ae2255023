//! A driver that does anything with a disk.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::OnceLock;

use devices::blk::{Access, Blk, DiskImage, DiskSerial};
use migration::fuzzing::Seed;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::io::pwrite;

use super::driver::{Driver, NEXT, Step, WRITE, descriptor, offer, step, steps};

/// VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_DISCARD and VIRTIO_BLK_F_WRITE_ZEROES.
const FEATURES: [u32; 3] = [1 << 9, 1 << 13, 1 << 14];

/// Length of the disk.
const DISK_BYTES: usize = 16 * 512;

/// How often a queue that has more to do is served for one kick.
const TURNS: u32 = 8;

/// Plays a driver: bit 0 of byte 0 says whether the disk is read-only, and bits 1 to 3 which features
/// it accepts; then come steps, of which the first byte counts modulo 6.
pub fn drive_blk(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else {
        return;
    };
    fill_disk();
    let access = match choice & 1 {
        0 => Access::ReadWrite,
        _ => Access::ReadOnly,
    };
    let mut driver = Driver::new(1, |_| blk(access));
    driver.start(features(choice >> 1));
    for Step {
        what,
        address,
        choice,
        data,
    } in steps(rest)
    {
        match what % 6 {
            0 | 1 => driver.poke(address, data),
            2 | 3 => driver.kick(0, TURNS),
            4 => driver.move_on(|_| blk(access)),
            _ => driver.start(features(choice)),
        }
    }
    // It opens if it is as long as before.
    let shape = *image(access).shape();
    assert_eq!(shape.size_bytes, DISK_BYTES as u64);
}

fn features(choice: u8) -> u32 {
    let chosen = (0..).zip(FEATURES);
    let chosen = chosen.filter(|(bit, _)| choice >> bit & 1 != 0);
    chosen.map(|(_, feature)| feature).sum()
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
    let descriptors = [
        descriptor(HEADER, 16, NEXT, 1),
        descriptor(PAYLOAD, payload_bytes, NEXT, 2),
        descriptor(ANSWER, answer_bytes + 1, WRITE, 0),
    ];
    [
        step(0, HEADER, &header),
        step(0, PAYLOAD, payload),
        offer(0, &descriptors, 1),
        step(2, 0, &[]),
    ]
    .concat()
}
