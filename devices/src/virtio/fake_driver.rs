//! A small driver for tests of devices: it sees nothing but registers and guest memory.

use std::fmt::Debug;

use virtio_bindings::virtio_config::VIRTIO_F_VERSION_1;
use virtio_bindings::virtio_ring::{VRING_DESC_F_NEXT, VRING_DESC_F_WRITE};
use virtio_queue::desc::RawDescriptor;
use vm_memory::{Bytes, GuestAddress};

pub use virtio_queue::desc::split::Descriptor;

use super::{
    GuestRange, MmioTransport, QueueIndex, TransportState, VirtioDevice, VirtioTransport as _,
    registers as reg,
};
use crate::{BusDevice, GuestMemory, Interrupt};

/// Where the rings of queue 0 are; those of the others follow.
const RINGS_BASE: u64 = 0x1000;
/// What the rings of a queue of 256 descriptors take, and where its parts are in it.
const RINGS_BYTES: usize = 0x3000;
const AVAILABLE_OFFSET: u64 = 0x1000;
const USED_OFFSET: u64 = 0x2000;

/// The first address that no ring of the first eight queues uses.
pub const FREE_MEMORY: u64 = RINGS_BASE + 8 * RINGS_BYTES as u64;

/// What a device may do with a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read it.
    Readable,
    /// Write it.
    Writable,
}

/// A buffer of a request.
#[derive(Clone, Copy, Debug)]
pub struct Buffer(pub u64, pub u32, pub Access);

/// A driver, the device it drives, and the memory they share.
#[derive(Debug)]
pub struct FakeDriver<D: VirtioDevice> {
    /// The device, behind its registers.
    pub transport: MmioTransport<D>,
    /// The guest's RAM.
    pub memory: GuestMemory,
    interrupt: Interrupt,
    queues: Vec<DriverQueue>,
}

/// What the driver remembers of a queue.
#[derive(Clone, Copy, Debug, Default)]
struct DriverQueue {
    size: u16,
    next_descriptor: u16,
    available: u16,
    used_seen: u16,
}

impl DriverQueue {
    fn base(index: QueueIndex) -> u64 {
        RINGS_BASE + u64::from(index.0) * RINGS_BYTES as u64
    }
}

const IN_MEMORY: &str = "the memory of a test holds its rings";

impl<D: VirtioDevice + Debug> FakeDriver<D> {
    /// Puts `device` behind registers, next to `memory`.
    pub fn new(device: D, memory: GuestMemory) -> Self {
        let interrupt = Interrupt::new().expect("a test gets event descriptors");
        let line = interrupt
            .try_clone()
            .expect("a test gets event descriptors");
        let queues = vec![DriverQueue::default(); device.queue_max_sizes().len()];
        let transport = MmioTransport::new(device, memory.clone(), line);
        let transport = transport.expect("a test gets event descriptors");
        Self {
            transport,
            memory,
            interrupt,
            queues,
        }
    }

    /// 4 MiB of guest RAM at 0.
    pub fn small_memory() -> GuestMemory {
        GuestMemory::from_ranges(&[(GuestAddress(0), 4 << 20)]).expect("a test gets memory")
    }

    /// Reads a register.
    pub fn read(&mut self, register: u64) -> u32 {
        let mut data = [0xaa; 4];
        self.transport.read(register, &mut data);
        u32::from_le_bytes(data)
    }

    /// Writes a register.
    pub fn write(&mut self, register: u64, value: u32) {
        self.transport.write(register, &value.to_le_bytes());
    }

    /// Resets the device and agrees with it on `features`, as Linux does; the status afterwards.
    pub fn negotiate(&mut self, features: u64) -> u32 {
        self.write(reg::STATUS, 0);
        self.queues.fill(DriverQueue::default());
        self.write(reg::STATUS, 0x1);
        self.write(reg::STATUS, 0x3);
        let features = features | 1 << VIRTIO_F_VERSION_1;
        for selector in [1, 0] {
            self.write(reg::DRIVER_FEATURES_SEL, selector);
            self.write(reg::DRIVER_FEATURES, reg::selected_half(features, selector));
        }
        self.write(reg::STATUS, 0xb);
        self.read(reg::STATUS)
    }

    /// Sets a queue up and says whether the device accepted it.
    pub fn set_up_queue(&mut self, index: QueueIndex, size: u16) -> bool {
        let base = DriverQueue::base(index);
        self.memory
            .write_slice(&[0; RINGS_BYTES], GuestAddress(base))
            .expect(IN_MEMORY);
        self.write(reg::QUEUE_SEL, u32::from(index.0));
        self.write(reg::QUEUE_SIZE, u32::from(size));
        for (low, high, address) in [
            (reg::QUEUE_DESC_LOW, reg::QUEUE_DESC_HIGH, base),
            (
                reg::QUEUE_DRIVER_LOW,
                reg::QUEUE_DRIVER_HIGH,
                base + AVAILABLE_OFFSET,
            ),
            (
                reg::QUEUE_DEVICE_LOW,
                reg::QUEUE_DEVICE_HIGH,
                base + USED_OFFSET,
            ),
        ] {
            self.write(low, reg::selected_half(address, 0));
            self.write(high, reg::selected_half(address, 1));
        }
        self.write(reg::QUEUE_READY, 1);
        self.queues[usize::from(index.0)] = DriverQueue {
            size,
            ..DriverQueue::default()
        };
        self.read(reg::QUEUE_READY) == 1
    }

    /// Sets everything up with queues of `size` and starts the device.
    ///
    /// # Panics
    /// The device does not agree.
    pub fn start(&mut self, features: u64, size: u16) {
        assert_eq!(self.negotiate(features), 0xb);
        for index in 0..u16::try_from(self.queues.len()).expect("queues are few") {
            assert!(self.set_up_queue(QueueIndex(index), size));
        }
        self.write(reg::STATUS, 0xf);
        assert_eq!(self.read(reg::STATUS), 0xf);
    }

    /// Makes a request of `buffers` available, without a kick.
    pub fn offer(&mut self, index: QueueIndex, buffers: &[Buffer]) -> u16 {
        let queue = self.queues[usize::from(index.0)];
        let head = queue.next_descriptor;
        let mut at = head;
        for (number, &Buffer(address, len_bytes, access)) in buffers.iter().enumerate() {
            let next = (at + 1) % queue.size;
            let mut flags = 0;
            if access == Access::Writable {
                flags |= VRING_DESC_F_WRITE;
            }
            if number + 1 < buffers.len() {
                flags |= VRING_DESC_F_NEXT;
            }
            let flags = u16::try_from(flags).expect("descriptor flags have 16 bits");
            self.write_descriptor(index, at, Descriptor::new(address, len_bytes, flags, next));
            at = next;
        }
        self.queues[usize::from(index.0)].next_descriptor = at;
        self.offer_head(index, head);
        head
    }

    /// Makes the chain that begins at descriptor `head` available, whatever that is.
    pub fn offer_head(&mut self, index: QueueIndex, head: u16) {
        let ring = DriverQueue::base(index) + AVAILABLE_OFFSET;
        let queue = &mut self.queues[usize::from(index.0)];
        let slot = ring + 4 + 2 * u64::from(queue.available % queue.size);
        queue.available = queue.available.wrapping_add(1);
        self.memory
            .write_obj(head, GuestAddress(slot))
            .expect(IN_MEMORY);
        self.memory
            .write_obj(queue.available, GuestAddress(ring + 2))
            .expect(IN_MEMORY);
    }

    /// Writes a descriptor, right or wrong.
    pub fn write_descriptor(&mut self, index: QueueIndex, at: u16, descriptor: Descriptor) {
        self.write_raw_descriptor(DriverQueue::base(index) + 16 * u64::from(at), descriptor);
    }

    /// Writes a descriptor into an indirect table, or wherever it pleases.
    pub fn write_raw_descriptor(&mut self, address: u64, descriptor: Descriptor) {
        self.memory
            .write_obj(RawDescriptor::from(descriptor), GuestAddress(address))
            .expect(IN_MEMORY);
    }

    /// Asks for an interrupt when the used ring passes `entry`, if the event index is agreed on.
    pub fn write_used_event(&mut self, index: QueueIndex, entry: u16) {
        let size = u64::from(self.queues[usize::from(index.0)].size);
        let address = DriverQueue::base(index) + AVAILABLE_OFFSET + 4 + 2 * size;
        self.memory
            .write_obj(entry, GuestAddress(address))
            .expect(IN_MEMORY);
    }

    /// Writes the index of the available ring, right or wrong.
    pub fn write_available_index(&mut self, index: QueueIndex, value: u16) {
        let address = GuestAddress(DriverQueue::base(index) + AVAILABLE_OFFSET + 2);
        self.memory.write_obj(value, address).expect(IN_MEMORY);
    }

    /// Kicks a queue through its register and lets the event loop run until it is idle.
    pub fn kick(&mut self, index: QueueIndex) {
        self.write(reg::QUEUE_NOTIFY, u32::from(index.0));
        self.run_events();
    }

    /// Does what an event loop does; how many events it took.
    pub fn run_events(&mut self) -> usize {
        let mut events = 0;
        loop {
            let kicked = self
                .transport
                .watched_kicks()
                .iter()
                .position(|kick| kick.read().is_ok());
            let Some(index) = kicked else { return events };
            self.transport
                .queue_event(QueueIndex(u16::try_from(index).expect("queues are few")));
            events += 1;
        }
    }

    /// The requests that came back since the last look: first descriptor and bytes written.
    pub fn take_used(&mut self, index: QueueIndex) -> Vec<(u32, u32)> {
        let ring = DriverQueue::base(index) + USED_OFFSET;
        let end: u16 = self
            .memory
            .read_obj(GuestAddress(ring + 2))
            .expect(IN_MEMORY);
        let queue = &mut self.queues[usize::from(index.0)];
        let mut used = Vec::new();
        while queue.used_seen != end {
            let slot = ring + 4 + 8 * u64::from(queue.used_seen % queue.size);
            let [head, len]: [u32; 2] = self.memory.read_obj(GuestAddress(slot)).expect(IN_MEMORY);
            used.push((head, len));
            queue.used_seen = queue.used_seen.wrapping_add(1);
        }
        used
    }

    /// Takes an interrupt as a handler does: the status bits if there was an edge, acknowledged.
    pub fn take_interrupt(&mut self) -> Option<u32> {
        self.interrupt.event().read().ok()?;
        let status = self.read(reg::INTERRUPT_STATUS);
        self.write(reg::INTERRUPT_ACK, status);
        Some(status)
    }

    /// The line its interrupts come on.
    pub fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// The bytes of `range`.
    pub fn bytes(&self, range: GuestRange) -> Vec<u8> {
        let mut bytes = vec![0; range.len_bytes as usize];
        self.memory
            .read_slice(&mut bytes, range.address)
            .expect("a test reads its own memory");
        bytes
    }

    /// Moves the driver to `fresh`, a device of the same configuration, by a saved state, and
    /// checks that nothing was lost: what is saved again is the same. Both are paused.
    ///
    /// # Panics
    /// It is not, or the state is refused.
    pub fn move_to(mut self, fresh: D) -> (Self, TransportState) {
        self.transport.pause();
        let state = self.transport.save().expect("a paused device can be saved");
        let bytes = postcard::to_stdvec(&state).expect("a state is plain data");
        let decoded = postcard::from_bytes(&bytes).expect("what was encoded can be decoded");
        let Self {
            transport,
            memory,
            interrupt,
            queues,
        } = self;
        drop(transport);
        let line = interrupt
            .try_clone()
            .expect("a test gets event descriptors");
        let transport = MmioTransport::restore(fresh, memory.clone(), line, decoded)
            .expect("what was saved can be restored");
        assert_eq!(
            transport.save().expect("a restored device is paused"),
            state
        );
        (
            Self {
                transport,
                memory,
                interrupt,
                queues,
            },
            state,
        )
    }
}
