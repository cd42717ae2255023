//! The balloon behind its registers, with a driver that does what Linux does, or worse.

use std::io;
use std::sync::{Arc, Mutex};

use devices::GuestMemory;
use devices::virtio::QueueIndex;
use devices::virtio::fake_driver::{Access, Buffer, FREE_MEMORY, FakeDriver};
use vm_memory::{Bytes, GuestAddress};

use super::*;
use crate::{BalloonStatus, Pfn, PfnRange};

mod hints;
mod hostile;
mod interrupted;
mod moves;
mod pages;
mod statistics;

const INFLATE: QueueIndex = QueueIndex(0);
const DEFLATE: QueueIndex = QueueIndex(1);
const STATISTICS: QueueIndex = QueueIndex(2);
const REPORTING: QueueIndex = QueueIndex(3);

/// Every feature that is offered unless something else is asked for.
const ALL: u64 = 0x37;
const REPORTING_ONLY: u64 = 0x20;

/// The four registers of the configuration space.
const NUM_PAGES: u64 = 0x100;
const ACTUAL: u64 = 0x104;
const HINT_COMMAND: u64 = 0x108;
const POISON: u64 = 0x10c;

/// Keeps a list of what it discards, and zeroes it.
#[derive(Clone, Debug)]
struct Recorder {
    memory: GuestMemory,
    discarded: Arc<Mutex<Vec<PfnRange>>>,
    prepared: Arc<Mutex<Vec<PfnRange>>>,
}

impl PageReclaim for Recorder {
    fn discard(&self, range: PfnRange) -> io::Result<()> {
        self.discarded.lock().unwrap().push(range);
        let zeroes = vec![0; usize::try_from(range.len_bytes()).unwrap()];
        self.memory
            .write_slice(&zeroes, range.address())
            .map_err(io::Error::other)
    }

    fn prepare(&self, range: PfnRange) {
        self.prepared.lock().unwrap().push(range);
    }
}

/// A host that does not want anything back.
#[derive(Debug)]
struct Unwilling;

impl PageReclaim for Unwilling {
    fn discard(&self, _range: PfnRange) -> io::Result<()> {
        Err(io::ErrorKind::OutOfMemory.into())
    }

    fn prepare(&self, _range: PfnRange) {}
}

/// A balloon, its driver, and what was discarded.
struct Rig {
    driver: FakeDriver<Balloon>,
    handle: BalloonHandle,
    recorder: Recorder,
    kind: Kind,
}

/// What makes a plain balloon one of the kind that is wanted.
type Kind = fn(Balloon) -> Balloon;

fn range(start: u64, pages: u64) -> PfnRange {
    PfnRange {
        start: Pfn(start),
        pages,
    }
}

impl Rig {
    /// 4 MiB of memory: pages 0 to 1023.
    fn new() -> Self {
        Self::of(|balloon| balloon)
    }

    fn of(kind: Kind) -> Self {
        let memory = FakeDriver::<Balloon>::small_memory();
        let recorder = Recorder {
            memory: memory.clone(),
            discarded: Arc::default(),
            prepared: Arc::default(),
        };
        let balloon = kind(Balloon::new(memory.clone(), Box::new(recorder.clone())));
        let handle = balloon.handle();
        Self {
            driver: FakeDriver::new(balloon, memory),
            handle,
            recorder,
            kind,
        }
    }

    fn started() -> Self {
        let mut rig = Self::new();
        rig.driver.start(ALL, 128);
        rig
    }

    /// A fresh balloon for the same guest, and its handle.
    fn fresh(&self) -> (Balloon, BalloonHandle) {
        let memory = self.recorder.memory.clone();
        let balloon = (self.kind)(Balloon::new(memory, Box::new(self.recorder.clone())));
        let handle = balloon.handle();
        (balloon, handle)
    }

    /// Moves to a fresh balloon, which goes on.
    fn moved(self) -> Self {
        let (balloon, handle) = self.fresh();
        let (driver, _) = self.driver.move_to(balloon);
        Self {
            driver,
            handle,
            recorder: self.recorder,
            kind: self.kind,
        }
    }

    /// Puts a list of pages into memory and offers it.
    fn list(&mut self, queue: QueueIndex, pages: &[u32]) {
        let bytes: Vec<u8> = pages.iter().flat_map(|page| page.to_le_bytes()).collect();
        self.driver
            .memory
            .write_slice(&bytes, GuestAddress(FREE_MEMORY))
            .unwrap();
        let len_bytes = u32::try_from(bytes.len()).unwrap();
        self.driver
            .offer(queue, &[Buffer(FREE_MEMORY, len_bytes, Access::Readable)]);
        self.driver.kick(queue);
    }

    fn discarded(&self) -> Vec<PfnRange> {
        std::mem::take(&mut self.recorder.discarded.lock().unwrap())
    }

    fn prepared(&self) -> Vec<PfnRange> {
        std::mem::take(&mut self.recorder.prepared.lock().unwrap())
    }

    /// All but the rates, which begin anew where a balloon goes on.
    fn status(&self) -> BalloonStatus {
        BalloonStatus {
            reported_bytes_per_s: 0,
            discarded_bytes_per_s: 0,
            ..self.handle.status()
        }
    }

    fn needs_reset(&mut self) -> bool {
        self.driver.read(0x070) & 0x40 != 0
    }
}
