//! The card behind its registers, with a driver that waits for its interrupts, and a socket in place of
//! the interface.

mod hostile;
mod interface;
mod limits;
mod link;
mod moves;
mod receiving;
mod sending;

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use super::config::{CONTROL, HEADER_BYTES, RECEIVE, TRANSMIT};
use super::*;
use crate::virtio::fake_driver::{Access as Use, Buffer, FREE_MEMORY, FakeDriver};
use crate::virtio::{GuestRange, QueueIndex, VirtioTransport as _};

const GUEST_CSUM: u64 = 1 << 1;
const GUEST_TSO4: u64 = 1 << 7;
const MRG_RXBUF: u64 = 1 << 15;
const STATUS: u64 = 1 << 16;
const ANNOUNCE: u64 = STATUS | 1 << 17 | 1 << 21;

/// Where registers are.
const CONFIG_GENERATION: u64 = 0xfc;
const CONFIG: u64 = 0x100;

/// Bits of the status that the driver reads.
const LINK_UP: u32 = 1;
const ANNOUNCED: u32 = 2;

/// What an interrupt is about when they changed.
const CONFIG_CHANGED: u32 = 1 << 1;

/// Longest that a frame may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Long enough for a frame that must not come.
const A_WHILE: Duration = Duration::from_millis(50);

fn mac() -> MacAddress {
    "52:54:00:12:34:56".parse().unwrap()
}

/// A card, and the other end of its cable.
fn card() -> (Net, UnixDatagram) {
    let (near, far) = UnixDatagram::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    (Net::new(Tap::of_socket(near.into()), mac()), far)
}

fn started(features: u64) -> (FakeDriver<Net>, UnixDatagram) {
    let (card, far) = card();
    let mut driver = FakeDriver::new(card, FakeDriver::<Net>::small_memory());
    driver.start(features, 16);
    (driver, far)
}

fn writable(address: u64, len: u32) -> Buffer {
    Buffer(address, len, Use::Writable)
}

fn readable(address: u64, len: u32) -> Buffer {
    Buffer(address, len, Use::Readable)
}

/// A frame without a header: bytes that are all different for a while.
fn frame(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

/// The same as it goes through the cable.
fn with_header(frame: &[u8]) -> Vec<u8> {
    [&[0; HEADER_BYTES], frame].concat()
}

fn receive(far: &UnixDatagram) -> Vec<u8> {
    let mut bytes = vec![0; 1 << 17];
    let len = far.recv(&mut bytes).unwrap();
    bytes.truncate(len);
    bytes
}

impl FakeDriver<Net> {
    fn put(&self, address: u64, bytes: &[u8]) {
        use vm_memory::Bytes;
        let at = vm_memory::GuestAddress(address);
        self.memory.write_slice(bytes, at).unwrap();
    }

    fn get(&self, address: u64, len_bytes: u32) -> Vec<u8> {
        let address = vm_memory::GuestAddress(address);
        self.bytes(GuestRange { address, len_bytes })
    }

    fn link_status(&mut self) -> u32 {
        self.read(CONFIG + 4) >> 16
    }

    /// Waits for news of the status, and reads it.
    fn wait_status(&mut self) -> u32 {
        let began = Instant::now();
        while self.take_interrupt().unwrap_or(0) & CONFIG_CHANGED == 0 {
            assert!(began.elapsed() < PATIENCE, "the status does not change");
            std::thread::yield_now();
        }
        self.link_status()
    }

    fn counters(&self) -> NetCounters {
        self.transport.device().handle().counters()
    }

    /// Waits until that many buffers are back; their numbers of bytes.
    fn wait_used(&mut self, queue: QueueIndex, count: usize) -> Vec<u32> {
        let (began, mut used) = (Instant::now(), Vec::new());
        while used.len() < count {
            assert!(began.elapsed() < PATIENCE, "{used:?} of {count}");
            let came = self.take_used(queue);
            used.extend(came.into_iter().map(|(_, written)| written));
            std::thread::yield_now();
        }
        used
    }

    /// Waits until `is_so`.
    fn wait_until(&self, is_so: impl Fn(&NetCounters) -> bool) {
        let began = Instant::now();
        while !is_so(&self.counters()) {
            assert!(began.elapsed() < PATIENCE, "{:?}", self.counters());
            std::thread::yield_now();
        }
    }
}
