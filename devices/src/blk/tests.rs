//! The disk behind its registers, with a driver that waits for its interrupts.

mod engines;
mod hostile;
mod images;
mod limits;
mod moves;
mod requests;
mod threads;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;

use self::engines::with_each_engine;
use super::*;
use crate::virtio::fake_driver::{Access as Use, Buffer, FREE_MEMORY, FakeDriver};
use crate::virtio::{GuestRange, QueueIndex};

const QUEUE: QueueIndex = QueueIndex(0);

/// Sectors of the disk of a test.
const SECTORS: u64 = 256;

const FLUSH: u64 = 1 << 9;
const DISCARD: u64 = 1 << 13;
const WRITE_ZEROES: u64 = 1 << 14;
const ALL: u64 = FLUSH | DISCARD | WRITE_ZEROES;

/// Where the parts of a request are in guest memory.
const HEADER: u64 = FREE_MEMORY;
const STATUS: u64 = FREE_MEMORY + 0x800;
const DATA: u64 = FREE_MEMORY + 0x1000;

/// Longest that a request may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A file of which each sector is full of its number, modulo 251.
fn file() -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    for sector in 0..SECTORS {
        write_sector(file.as_file(), sector, content(sector));
    }
    file
}

fn content(sector: u64) -> u8 {
    u8::try_from(sector % 251).unwrap()
}

fn write_sector(file: &File, sector: u64, byte: u8) {
    file.write_all_at(&[byte; 512], sector * 512).unwrap();
}

fn sector_of(file: &NamedTempFile, sector: u64) -> Vec<u8> {
    let mut bytes = vec![0; 512];
    file.as_file()
        .read_exact_at(&mut bytes, sector * 512)
        .unwrap();
    bytes
}

fn disk(file: &NamedTempFile, access: Access) -> Blk {
    let image = DiskImage::open(file.path(), access).unwrap();
    Blk::new(image, DiskSerial::new("test-1").unwrap())
}

fn driver_of(disk: Blk, features: u64) -> FakeDriver<Blk> {
    let mut driver = FakeDriver::new(disk, FakeDriver::<Blk>::small_memory());
    driver.start(features, 64);
    driver
}

fn started() -> (NamedTempFile, FakeDriver<Blk>) {
    let file = file();
    let driver = driver_of(disk(&file, Access::ReadWrite), ALL);
    (file, driver)
}

fn writable(address: u64, len: u32) -> Buffer {
    Buffer(address, len, Use::Writable)
}

fn readable(address: u64, len: u32) -> Buffer {
    Buffer(address, len, Use::Readable)
}

impl FakeDriver<Blk> {
    /// Puts bytes into guest memory.
    fn put(&self, address: u64, bytes: &[u8]) {
        use vm_memory::Bytes;
        let at = vm_memory::GuestAddress(address);
        self.memory.write_slice(bytes, at).unwrap();
    }

    fn get(&self, address: u64, len_bytes: u32) -> Vec<u8> {
        let address = vm_memory::GuestAddress(address);
        self.bytes(GuestRange { address, len_bytes })
    }

    /// Makes a request available: a header, `data`, and the place of the status.
    fn ask(&mut self, kind: u32, sector: u64, data: &[Buffer]) {
        self.ask_apart(0, kind, sector, data);
    }

    /// The same with header and status apart from those of the requests with other numbers, up to 63.
    fn ask_apart(&mut self, number: u64, kind: u32, sector: u64, data: &[Buffer]) {
        let (header, status) = (HEADER + number * 32, STATUS + number);
        let bytes = [&kind.to_le_bytes()[..], &[0; 4], &sector.to_le_bytes()].concat();
        self.put(header, &bytes);
        self.put(status, &[0xff]);
        let request = [&[readable(header, 16)], data, &[writable(status, 1)]].concat();
        self.offer(QUEUE, &request);
    }

    /// Kicks, and waits until that many requests are back; the bytes written into each.
    fn wait_used(&mut self, count: usize) -> Vec<u32> {
        self.kick(QUEUE);
        let (began, mut used) = (Instant::now(), Vec::new());
        loop {
            used.extend(
                self.take_used(QUEUE)
                    .into_iter()
                    .map(|(_, written)| written),
            );
            if used.len() >= count {
                return used;
            }
            assert!(began.elapsed() < PATIENCE, "{} of {count}", used.len());
            std::thread::yield_now();
        }
    }

    /// Waits for an interrupt, which follows what is used; its status bits.
    fn wait_interrupt(&mut self) -> u32 {
        let began = Instant::now();
        loop {
            if let Some(status) = self.take_interrupt() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE);
            std::thread::yield_now();
        }
    }

    /// Does one request; its status and the bytes written.
    fn do_one(&mut self, kind: u32, sector: u64, data: &[Buffer]) -> (u8, u32) {
        self.ask(kind, sector, data);
        let used = self.wait_used(1);
        assert_eq!(used.len(), 1);
        (self.get(STATUS, 1)[0], used[0])
    }
}
