//! A split virtqueue as a driver uses it (virtio 1.2, section 2.7), one request at a time: it always
//! begins at descriptor 0, and it is back when the device has used as many as were offered.

#[cfg(test)]
mod tests;

use core::sync::atomic::{AtomicU16, AtomicU64, Ordering};

/// Our choice: because no request has more buffers (Linux reports up to 32 ranges in one).
pub const SIZE: usize = 32;

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
pub struct Queue {
    descriptors: [[AtomicU64; 2]; SIZE],
    available_flags: AtomicU16,
    available_index: AtomicU16,
    available: [AtomicU16; SIZE],
    used_flags: AtomicU16,
    used_index: AtomicU16,
    used: [AtomicU64; SIZE],
}

impl Queue {
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

    /// Offers a request with these buffers, 1 to [`SIZE`] of them; the one before has to be back. Then
    /// the device is to be notified.
    pub fn offer(&self, buffers: impl ExactSizeIterator<Item = Buffer>) {
        let last = buffers.len().saturating_sub(1);
        for (place, (buffer, [gpa, rest])) in buffers.zip(&self.descriptors).enumerate() {
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
        self.available[usize::from(index) % SIZE].store(0, Ordering::Relaxed);
        self.available_index
            .store(index.wrapping_add(1), Ordering::SeqCst);
    }

    /// Whether the device is done with all requests.
    pub fn is_back(&self) -> bool {
        self.used_index.load(Ordering::Acquire) == self.available_index.load(Ordering::Relaxed)
    }
}
