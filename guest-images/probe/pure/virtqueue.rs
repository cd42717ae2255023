//! A split virtqueue as a driver uses it that polls (virtio 1.2, section 2.7). Descriptors are not
//! allocated: each request begins at one of the driver's choice and has those behind it.

#[cfg(test)]
mod tests;

use core::sync::atomic::{AtomicU16, AtomicU64, Ordering, fence};

/// The device wants no notice of new requests (VIRTQ_USED_F_NO_NOTIFY).
const NO_NOTIFY: u16 = 1;

/// Another descriptor follows.
const NEXT: u64 = 1;
/// The device writes to the buffer.
const WRITE: u64 = 2;

/// A piece of memory that a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Guest-physical address.
    pub gpa: u64,
    /// Length in bytes.
    pub bytes: u32,
    /// Who writes to it.
    pub writer: Writer,
}

/// Who writes to a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// The driver has written to it, and the device reads.
    Driver,
    /// The device may write to it.
    Device,
}

/// Descriptors, available ring and used ring in the memory that both ends share.
///
/// A descriptor is two words: the address; length, flags and next, from the low bits up.
#[repr(C, align(16))]
#[derive(Debug)]
pub struct Queue<const SIZE: usize> {
    descriptors: [[AtomicU64; 2]; SIZE],
    available_flags: AtomicU16,
    available_index: AtomicU16,
    available: [AtomicU16; SIZE],
    used_flags: AtomicU16,
    used_index: AtomicU16,
    used: [AtomicU64; SIZE],
}

impl<const SIZE: usize> Queue<SIZE> {
    /// An empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            descriptors: [const { [AtomicU64::new(0), AtomicU64::new(0)] }; SIZE],
            available_flags: AtomicU16::new(0),
            available_index: AtomicU16::new(0),
            available: [const { AtomicU16::new(0) }; SIZE],
            used_flags: AtomicU16::new(0),
            used_index: AtomicU16::new(0),
            used: [const { AtomicU64::new(0) }; SIZE],
        }
    }

    /// Tells the device not to interrupt (VIRTQ_AVAIL_F_NO_INTERRUPT): the used ring is polled.
    pub fn silence(&self) {
        self.available_flags.store(1, Ordering::Relaxed);
    }

    /// Addresses of its parts, in the order of the device's registers.
    pub fn parts(&self) -> [*const (); 3] {
        [
            core::ptr::from_ref(&self.descriptors).cast(),
            core::ptr::from_ref(&self.available_flags).cast(),
            core::ptr::from_ref(&self.used_flags).cast(),
        ]
    }

    /// Offers a request with these buffers, at least one, in the descriptors from `first` on, which no
    /// request may have that is not back. Then the device is to be notified.
    pub fn offer(&self, first: u16, buffers: impl ExactSizeIterator<Item = Buffer>) {
        let own = usize::from(first)..;
        let last = own.start + buffers.len().saturating_sub(1);
        let descriptors = &self.descriptors[own.clone()];
        for (place, (buffer, [gpa, rest])) in own.zip(buffers.zip(descriptors)) {
            let write = if buffer.writer == Writer::Device {
                WRITE
            } else {
                0
            };
            let next = if place < last {
                NEXT << 32 | (place as u64 + 1) << 48
            } else {
                0
            };
            gpa.store(buffer.gpa, Ordering::Relaxed);
            rest.store(
                u64::from(buffer.bytes) | write << 32 | next,
                Ordering::Relaxed,
            );
        }
        let index = self.available_index.load(Ordering::Relaxed);
        self.available[usize::from(index) % SIZE].store(first, Ordering::Relaxed);
        self.available_index
            .store(index.wrapping_add(1), Ordering::SeqCst);
    }

    /// Whether the device wants to be notified of what was offered.
    pub fn wants_notice(&self) -> bool {
        // It looks for requests once more after it has said that it wants notice of the next.
        fence(Ordering::SeqCst);
        self.used_flags.load(Ordering::Relaxed) & NO_NOTIFY == 0
    }

    /// The first descriptor of the next request that is back, where `seen` have been taken already.
    pub fn take_used(&self, seen: &mut u16) -> Option<u16> {
        if self.used_index.load(Ordering::Acquire) == *seen {
            return None;
        }
        let element = self.used[usize::from(*seen) % SIZE].load(Ordering::Relaxed);
        *seen = seen.wrapping_add(1);
        Some(u16::try_from(element & u64::from(u16::MAX)).expect("16 bits"))
    }

    /// Whether the device is done with all requests.
    pub fn is_back(&self) -> bool {
        self.used_index.load(Ordering::Acquire) == self.available_index.load(Ordering::Relaxed)
    }
}
