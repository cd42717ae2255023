//! The registers of a virtio device (virtio 1.2, section 4.2.2, table 4.1), and those of a balloon
//! (section 5.5.4) and a disk (section 5.2.4).

use core::ptr::with_exposed_provenance_mut;
use core::sync::atomic::{Ordering, fence};

use super::paging;
use crate::pure::virtio::{self, Kind};
use crate::pure::virtqueue::Queue;

/// Registers, as offsets from the base.
mod register {
    pub const MAGIC: usize = 0x00;
    pub const VERSION: usize = 0x04;
    pub const DEVICE_ID: usize = 0x08;
    pub const DEVICE_FEATURES: usize = 0x10;
    pub const DEVICE_FEATURES_SELECT: usize = 0x14;
    pub const DRIVER_FEATURES: usize = 0x20;
    pub const DRIVER_FEATURES_SELECT: usize = 0x24;
    pub const QUEUE_SELECT: usize = 0x30;
    pub const QUEUE_SIZE_MAX: usize = 0x34;
    pub const QUEUE_SIZE: usize = 0x38;
    pub const QUEUE_READY: usize = 0x44;
    pub const QUEUE_NOTIFY: usize = 0x50;
    pub const STATUS: usize = 0x70;
    /// Addresses of descriptors, available and used ring: low halves, with the high ones behind them.
    pub const QUEUE_PARTS: [usize; 3] = [0x80, 0x90, 0xa0];
    /// Of a disk, the low half, with the high one behind it.
    pub const CAPACITY_SECTORS: usize = 0x100;
    pub const TARGET_PAGES: usize = 0x100;
    pub const ACTUAL_PAGES: usize = 0x104;
}

/// What the first register reads as.
const MAGIC: u32 = u32::from_le_bytes(*b"virt");

/// A device without the legacy interface.
const VERSION: u32 = 2;

/// Values of the status register (section 2.1): each step has the bits of those before it.
mod status {
    pub const DRIVER: u32 = 0x03;
    pub const FEATURES_OK: u32 = DRIVER | 0x08;
    pub const DRIVER_OK: u32 = FEATURES_OK | 0x04;
    pub const NEEDS_RESET: u32 = 0x40;
}

/// The window of one device.
#[derive(Debug)]
pub struct Window {
    base: usize,
}

impl Window {
    /// The first device of this kind among those that the command line names. Only for the boot
    /// processor.
    pub fn find(kind: Kind, command_line: &[u8]) -> Option<Self> {
        let identity = [
            (register::MAGIC, MAGIC),
            (register::VERSION, VERSION),
            (register::DEVICE_ID, kind.device_type()),
        ];
        let is_it = |window: &Self| {
            let mut registers = identity.iter();
            registers.all(|&(register, value)| window.read(register) == value)
        };
        virtio::windows(command_line)
            .filter(|base| base.is_multiple_of(4) && paging::map(*base))
            .filter_map(|base| usize::try_from(base).ok())
            .map(|base| Self { base })
            .find(is_it)
    }

    /// Resets the device, which is of this kind, and agrees with it on features; nothing if it is too old.
    pub fn negotiate(&self, kind: Kind) -> Option<u64> {
        self.write(register::STATUS, 0);
        self.write(register::STATUS, status::DRIVER);
        let half = |select| {
            self.write(register::DEVICE_FEATURES_SELECT, select);
            u64::from(self.read(register::DEVICE_FEATURES))
        };
        let features = kind.agreed_features(half(0) | half(1) << 32)?;
        for (value, select) in halves(features).into_iter().zip(0..) {
            self.write(register::DRIVER_FEATURES_SELECT, select);
            self.write(register::DRIVER_FEATURES, value);
        }
        self.write(register::STATUS, status::FEATURES_OK);
        (self.read(register::STATUS) == status::FEATURES_OK).then_some(features)
    }

    /// Sets queue `number` up; returns whether the device can have it so large.
    #[inline(never)]
    pub fn set_queue<const SIZE: usize>(&self, number: u32, queue: &'static Queue<SIZE>) -> bool {
        self.write(register::QUEUE_SELECT, number);
        let size = u32::try_from(SIZE).expect("a small queue");
        if self.read(register::QUEUE_SIZE_MAX) < size {
            return false;
        }
        queue.silence();
        self.write(register::QUEUE_SIZE, size);
        for (part, place) in queue.parts().iter().zip(register::QUEUE_PARTS) {
            let [low, high] = halves(part.expose_provenance() as u64);
            self.write(place, low);
            self.write(place + 4, high);
        }
        self.write(register::QUEUE_READY, 1);
        true
    }

    /// The queues are set up: lets the device begin.
    pub fn start(&self) {
        self.write(register::STATUS, status::DRIVER_OK);
    }

    /// Tells the device that there is something new in queue `number`.
    pub fn notify(&self, number: u32) {
        self.write(register::QUEUE_NOTIFY, number);
    }

    /// Whether the device has given up.
    pub fn needs_reset(&self) -> bool {
        self.read(register::STATUS) & status::NEEDS_RESET != 0
    }

    /// How large a disk is.
    pub fn capacity_sectors(&self) -> u64 {
        let [low, high] = [0, 4].map(|half| self.read(register::CAPACITY_SECTORS + half));
        u64::from(low) | u64::from(high) << 32
    }

    /// How many pages the device wants in the balloon.
    pub fn target_pages(&self) -> u32 {
        self.read(register::TARGET_PAGES)
    }

    /// Says how many pages are in the balloon.
    pub fn set_actual_pages(&self, pages: u32) {
        self.write(register::ACTUAL_PAGES, pages);
    }

    #[inline(never)]
    fn read(&self, register: usize) -> u32 {
        // SAFETY: the window is mapped, and no register we know has an effect when read.
        unsafe { with_exposed_provenance_mut::<u32>(self.base + register).read_volatile() }
    }

    #[inline(never)]
    fn write(&self, register: usize, value: u32) {
        // What the device is to find in memory comes first.
        fence(Ordering::SeqCst);
        // SAFETY: the window is mapped; the device reaches only into the queues it is given, which are
        // shared with it as atomics, and into pages that are nobody's.
        unsafe { with_exposed_provenance_mut::<u32>(self.base + register).write_volatile(value) }
    }
}

/// The low half and the high one.
fn halves(word: u64) -> [u32; 2] {
    let half = |word: u64| u32::try_from(word & u64::from(u32::MAX)).expect("half of 64 bits");
    [half(word), half(word >> 32)]
}
