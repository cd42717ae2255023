//! What the balloon's driver decides: which pages go in and out, when, and what it tells of memory.

#[cfg(test)]
mod tests;

pub mod batch;
pub mod frames;
pub mod order;
pub mod trial;

use frames::Request;

/// How full the balloon is, and is to be.
///
/// A driver that had to take pages out because they were needed does not put others in before the
/// device asks for another number: else the two would go on forever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    target: u64,
    actual: u64,
    has_yielded: bool,
}

impl Level {
    /// Follows a target that the device gives.
    pub fn set_target(&mut self, pages: u64) {
        if pages != self.target {
            self.target = pages;
            self.has_yielded = false;
        }
    }

    /// Pages came out because they were needed.
    pub fn yielded(&mut self) {
        self.has_yielded = true;
    }

    /// A request for `pages` has been served.
    pub fn served(&mut self, request: Request, pages: u64) {
        match request {
            Request::Inflate => self.actual += pages,
            Request::Deflate => self.actual -= pages,
            Request::Report => {}
        }
    }

    /// How many pages are in the balloon.
    #[must_use]
    pub fn actual(&self) -> u64 {
        self.actual
    }

    /// What brings the balloon to its target, and how many pages that takes.
    #[must_use]
    pub fn next(&self) -> Option<(Request, u64)> {
        match self.target.checked_sub(self.actual) {
            None => Some((Request::Deflate, self.actual - self.target)),
            Some(0) => None,
            Some(missing) => (!self.has_yielded).then_some((Request::Inflate, missing)),
        }
    }
}

/// What the guest says of its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// Visits that had to wait until a page was out of the balloon.
    pub major_faults: u64,
    /// Memory that is used for nothing.
    pub free_bytes: u64,
    /// All memory there is.
    pub total_bytes: u64,
}

impl Statistics {
    /// Bytes of a buffer with them.
    pub const BYTES: usize = 4 * 10;

    /// The entries (virtio 1.2, section 5.5.6.3): tags of 16 bits and values of 64, little endian. What
    /// is free is available, too.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::BYTES] {
        const MAJOR_FAULTS: u8 = 2;
        const FREE: u8 = 4;
        const TOTAL: u8 = 5;
        const AVAILABLE: u8 = 6;
        let mut bytes = [0; Self::BYTES];
        let entries = [
            (MAJOR_FAULTS, self.major_faults),
            (FREE, self.free_bytes),
            (TOTAL, self.total_bytes),
            (AVAILABLE, self.free_bytes),
        ];
        for (place, (tag, value)) in bytes.chunks_exact_mut(10).zip(entries) {
            place[0] = tag;
            place[2..].copy_from_slice(&value.to_le_bytes());
        }
        bytes
    }
}
