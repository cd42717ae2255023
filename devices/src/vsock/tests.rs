//! The socket device behind its registers, with a driver that waits for its interrupts, and programs that
//! connect as those of a host do.

mod hostile;
mod moves;
mod streams;

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::*;
use crate::virtio::fake_driver::{Access as Use, Buffer, FREE_MEMORY, FakeDriver};
use crate::virtio::{GuestRange, QueueIndex, VirtioTransport as _};

const RECEIVE: QueueIndex = QueueIndex(0);
const TRANSMIT: QueueIndex = QueueIndex(1);
const EVENT: QueueIndex = QueueIndex(2);

/// Operations, by their numbers.
const REQUEST: u16 = 1;
const RESPONSE: u16 = 2;
const RESET: u16 = 3;
const SHUTDOWN: u16 = 4;
const DATA: u16 = 5;
const CREDIT_UPDATE: u16 = 6;
const CREDIT_REQUEST: u16 = 7;

const HEADER_BYTES: usize = 44;

/// Buffers for what the guest receives, and their length.
const BUFFERS: u64 = 8;
const BUFFER_BYTES: u32 = 0x2000;

/// Where a packet is while it is sent.
const SENT: u64 = FREE_MEMORY + BUFFERS * BUFFER_BYTES as u64;

/// Where an event comes.
const EVENTS: u64 = SENT + 0x2_0000;

/// The room that a guest of a test has, if nothing else is said.
const ROOM_BYTES: u32 = 1 << 16;

/// Longest that anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A guest, and the directory in which the programs of its host find it.
struct Guest {
    driver: FakeDriver<Vsock>,
    directory: TempDir,
    /// Buffers that came back, in order.
    used: std::collections::VecDeque<(u32, u32)>,
}

/// A packet as the guest sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Packet {
    host_port: u32,
    guest_port: u32,
    operation: u16,
    flags: u32,
    room_bytes: u32,
    taken_bytes: u32,
    data: Vec<u8>,
}

impl Packet {
    fn new(host_port: u32, guest_port: u32, operation: u16) -> Self {
        Self {
            host_port,
            guest_port,
            operation,
            flags: 0,
            room_bytes: ROOM_BYTES,
            taken_bytes: 0,
            data: Vec::new(),
        }
    }

    fn with_data(self, data: &[u8]) -> Self {
        let data = data.to_vec();
        Self { data, ..self }
    }

    /// As it lies in a buffer of the guest, from the guest 3.
    fn bytes(&self) -> Vec<u8> {
        let len_bytes = u32::try_from(self.data.len()).unwrap();
        [
            &3_u64.to_le_bytes()[..],
            &2_u64.to_le_bytes(),
            &self.guest_port.to_le_bytes(),
            &self.host_port.to_le_bytes(),
            &len_bytes.to_le_bytes(),
            &1_u16.to_le_bytes(),
            &self.operation.to_le_bytes(),
            &self.flags.to_le_bytes(),
            &self.room_bytes.to_le_bytes(),
            &self.taken_bytes.to_le_bytes(),
            &self.data,
        ]
        .concat()
    }

    /// What came for the guest 3.
    fn parse(bytes: &[u8]) -> Self {
        let (header, data) = bytes.split_at(HEADER_BYTES);
        let word = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap());
        let ids = [word(0), word(4), word(8), word(12)];
        assert_eq!(ids, [2, 0, 3, 0], "from the host to the guest");
        assert_eq!(word(24) as usize, data.len());
        assert_eq!(word(28) & 0xffff, 1, "a byte stream");
        Self {
            host_port: word(16),
            guest_port: word(20),
            operation: u16::try_from(word(28) >> 16).unwrap(),
            flags: word(32),
            room_bytes: word(36),
            taken_bytes: word(40),
            data: data.to_vec(),
        }
    }
}

/// A device of a guest that is found at `v` once it has settled in.
fn device(directory: &TempDir) -> Vsock {
    let listener = VsockListener::beside(&directory.path().join("v")).unwrap();
    Vsock::new(GuestCid::FIRST, listener).unwrap()
}

impl Guest {
    fn boot() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let device = device(&directory);
        device.handle().settle_in();
        let mut driver = FakeDriver::new(device, FakeDriver::<Vsock>::small_memory());
        driver.start(0, 16);
        let mut guest = Self {
            driver,
            directory,
            used: std::collections::VecDeque::new(),
        };
        for number in 0..BUFFERS {
            guest.offer(number);
        }
        guest.driver.kick(RECEIVE);
        guest
    }

    fn offer(&mut self, number: u64) {
        let address = FREE_MEMORY + number * u64::from(BUFFER_BYTES);
        let buffer = Buffer(address, BUFFER_BYTES, Use::Writable);
        self.driver.offer(RECEIVE, &[buffer]);
    }

    fn path(&self, suffix: &str) -> PathBuf {
        self.directory.path().join(format!("v{suffix}"))
    }

    /// Sends bytes, and waits until the device has taken them.
    fn send(&mut self, bytes: &[u8]) {
        use vm_memory::Bytes;
        let at = vm_memory::GuestAddress(SENT);
        self.driver.memory.write_slice(bytes, at).unwrap();
        let len_bytes = u32::try_from(bytes.len()).unwrap();
        let buffer = Buffer(SENT, len_bytes, Use::Readable);
        self.driver.offer(TRANSMIT, &[buffer]);
        self.driver.kick(TRANSMIT);
        let began = Instant::now();
        while self.driver.take_used(TRANSMIT).is_empty() {
            assert!(began.elapsed() < PATIENCE, "nobody takes the packet");
            std::thread::yield_now();
        }
    }

    fn say(&mut self, packet: &Packet) {
        self.send(&packet.bytes());
    }

    /// The next packet for it.
    fn hear(&mut self) -> Packet {
        let began = Instant::now();
        while self.used.is_empty() {
            assert!(began.elapsed() < PATIENCE, "nothing comes");
            self.used.extend(self.driver.take_used(RECEIVE));
            std::thread::yield_now();
        }
        let (head, len_bytes) = self.used.pop_front().unwrap();
        // One descriptor each, so that the number of the first is that of the buffer, modulo the ring.
        let number = u64::from(head) % BUFFERS;
        let address = FREE_MEMORY + number * u64::from(BUFFER_BYTES);
        let address = vm_memory::GuestAddress(address);
        let packet = Packet::parse(&self.driver.bytes(GuestRange { address, len_bytes }));
        self.offer(number);
        self.driver.kick(RECEIVE);
        packet
    }

    fn expect(&mut self, operation: u16) -> Packet {
        let heard = self.hear();
        assert_eq!(heard.operation, operation, "{heard:?}");
        heard
    }

    /// A program that has connected to a port of the guest, which took it; the port of the program.
    fn connected(&mut self, guest_port: u32) -> (UnixStream, u32) {
        let mut program = self.program();
        program
            .write_all(format!("CONNECT {guest_port}\n").as_bytes())
            .unwrap();
        let asked = self.expect(REQUEST);
        assert_eq!(asked.guest_port, guest_port);
        self.say(&Packet::new(asked.host_port, guest_port, RESPONSE));
        let expected = format!("OK {}\n", asked.host_port);
        let mut answer = vec![0; expected.len()];
        program.read_exact(&mut answer).unwrap();
        assert_eq!(answer, expected.as_bytes());
        (program, asked.host_port)
    }

    fn program(&self) -> UnixStream {
        let program = UnixStream::connect(self.path("")).unwrap();
        program.set_read_timeout(Some(PATIENCE)).unwrap();
        program
    }

    /// Waits until so many were sent away; they are counted when they are gone.
    fn wait_refused(&self, count: u64) {
        let began = Instant::now();
        while self.counters().refused < count {
            assert!(began.elapsed() < PATIENCE, "{:?}", self.counters());
            std::thread::yield_now();
        }
        assert_eq!(self.counters().refused, count);
    }

    fn counters(&self) -> VsockCounters {
        self.driver.transport.device().handle().counters()
    }
}

fn read(program: &mut UnixStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    program.read_exact(&mut bytes).unwrap();
    bytes
}

/// Whether its connection is closed; with what it said unread, it is reset.
fn has_ended(program: &mut UnixStream) -> bool {
    match program.read(&mut [0]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}
