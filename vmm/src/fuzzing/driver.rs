//! A driver that does anything: what the targets of all virtio devices have in common.

use devices::virtio::{MmioTransport, QueueIndex, VirtioDevice, VirtioTransport};
use devices::{BusDevice, GuestMemory};
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

/// VRING_DESC_F_NEXT and VRING_DESC_F_WRITE.
pub(super) const NEXT: u16 = 1;
pub(super) const WRITE: u16 = 2;

/// One thing that a driver does.
///
/// | bytes | what |
/// |---|---|
/// | 0 | what to do: each target's own |
/// | 1..4 | an address, modulo the memory's size; its first byte is also a choice |
/// | 4 | how many bytes of data follow |
/// | 5.. | the data |
pub(super) struct Step<'a> {
    pub(super) what: u8,
    pub(super) address: u32,
    pub(super) choice: u8,
    pub(super) data: &'a [u8],
}

/// The steps of an input, as far as they are whole; the data of the last may be cut.
pub(super) fn steps(mut rest: &[u8]) -> impl Iterator<Item = Step<'_>> {
    std::iter::from_fn(move || {
        let ([what, a0, a1, a2, length], after) = rest.split_first_chunk()?;
        let (data, next) = after.split_at(after.len().min(usize::from(*length)));
        rest = next;
        Some(Step {
            what: *what,
            address: u32::from_le_bytes([*a0, *a1, *a2, 0]),
            choice: *a0,
            data,
        })
    })
}

/// A device, and the memory of whoever drives it.
pub(super) struct Driver<D: VirtioDevice> {
    memory: GuestMemory,
    transport: MmioTransport<D>,
    queues: u8,
}

impl<D: VirtioDevice> Driver<D> {
    /// Puts a device of so many queues, made for that memory, behind its registers.
    pub(super) fn new(queues: u8, make: impl FnOnce(&GuestMemory) -> D) -> Self {
        let region = [(GuestAddress(0), MEMORY_BYTES)];
        let memory = GuestMemory::from_ranges(&region).expect("a mebibyte can be mapped");
        let transport = MmioTransport::new(make(&memory), memory.clone(), interrupt());
        Self {
            memory,
            transport: transport.expect("a device can be made"),
            queues,
        }
    }

    /// Accepts features and sets every queue up, as a driver should.
    pub(super) fn start(&mut self, features: u32) {
        for status in [0, 1, 3] {
            self.write(STATUS, status);
        }
        // VIRTIO_F_VERSION_1 is bit 32.
        for (half, bits) in [(1, 1), (0, features)] {
            self.write(DRIVER_FEATURES_SEL, half);
            self.write(DRIVER_FEATURES, bits);
        }
        self.write(STATUS, 0xb);
        for queue in 0..u32::from(self.queues) {
            let base = RINGS_BASE + queue * RINGS_BYTES;
            for (register, value) in [
                (QUEUE_SEL, queue),
                (QUEUE_SIZE, QUEUE_SIZE_USED),
                (QUEUE_DESC, base),
                (QUEUE_DRIVER, base + AVAILABLE_OFFSET),
                (QUEUE_DEVICE, base + USED_OFFSET),
                (QUEUE_READY, 1),
            ] {
                self.write(register, value);
            }
        }
        self.write(STATUS, 0xf);
    }

    /// Writes guest memory: rings, requests, anything.
    pub(super) fn poke(&self, address: u32, data: &[u8]) {
        let at = GuestAddress(u64::from(address) % MEMORY_BYTES as u64);
        // What lies beyond the end is cut off.
        let _ = self.memory.write(data, at);
    }

    /// Has a queue served, more than once as it may have more to do.
    pub(super) fn kick(&mut self, queue: u8, turns: u32) {
        let queue = QueueIndex(u16::from(queue % self.queues));
        (0..turns).for_each(|_| self.transport.queue_event(queue));
    }

    /// Writes the configuration space.
    pub(super) fn configure(&mut self, offset: u8, data: &[u8]) {
        self.transport.write(CONFIG + u64::from(offset), data);
    }

    /// Saves the device and goes on with a fresh one in its state.
    pub(super) fn move_on(&mut self, make: impl FnOnce(&GuestMemory) -> D) {
        self.transport.pause();
        if let Ok(state) = self.transport.save() {
            let memory = self.memory.clone();
            let restored = MmioTransport::restore(make(&memory), memory, interrupt(), state);
            self.transport = restored.expect("what was saved can be restored");
        }
        self.transport.resume();
    }

    fn write(&mut self, register: u64, value: u32) {
        self.transport.write(register, &value.to_le_bytes());
    }
}

/// The bytes of a step.
pub(super) fn step(what: u8, address: u32, data: &[u8]) -> Vec<u8> {
    let [a0, a1, a2, _] = address.to_le_bytes();
    let length = u8::try_from(data.len()).expect("a seed is short");
    [&[what, a0, a1, a2, length][..], data].concat()
}

/// The bytes of a descriptor.
pub(super) fn descriptor(at: u32, len_bytes: u32, flags: u16, next: u16) -> Vec<u8> {
    let mut bytes = u64::from(at).to_le_bytes().to_vec();
    bytes.extend(len_bytes.to_le_bytes());
    bytes.extend(flags.to_le_bytes());
    bytes.extend(next.to_le_bytes());
    bytes
}

/// Steps 0 that write the first descriptors of a queue and offer the chain that begins with them, for
/// the first or the second time.
pub(super) fn offer(queue: u32, descriptors: &[Vec<u8>], times: u8) -> Vec<u8> {
    let base = RINGS_BASE + queue * RINGS_BYTES;
    let heads = vec![0; 2 * usize::from(times)];
    let ring = [&[0, 0, times, 0][..], &heads].concat();
    [
        step(0, base, &descriptors.concat()),
        step(0, base + AVAILABLE_OFFSET, &ring),
    ]
    .concat()
}
