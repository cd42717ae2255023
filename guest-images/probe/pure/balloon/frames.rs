//! Who has each page: the work, nobody, or the balloon. All processors share this table; a page
//! changes hands by one exchange, so none is ever given to two.

#[cfg(test)]
mod tests;

use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// Pages in a request to inflate or deflate: as many as Linux names (`VIRTIO_BALLOON_ARRAY_PFNS_MAX`).
pub const LIST_PAGES: usize = 256;

/// The most pages in a report: our choice, because 32 blocks of 2 MiB are what Linux reports at least
/// when it has that much, and who needs one of them waits for all.
const REPORT_PAGES: u64 = 32 * 512;

/// What a page is there for.
///
/// ```text
///          claim               ask (inflate)           settle
///  Used <--------> Clean/Dirty -------------> InFlight -------> Ballooned
///         release     ^ Dirty: ask (report)    |    ^  (deflate) |
///         (to Dirty)  +--- Clean: settle ------+    +--- ask ----+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Frame {
    /// Free, and not written since the host gave it.
    Clean = 0,
    /// Free, with old content.
    Dirty = 1,
    /// In use.
    Used = 2,
    /// In a request that is not back.
    InFlight = 3,
    /// In the balloon.
    Ballooned = 4,
}

/// What is asked of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// To take pages into the balloon.
    Inflate,
    /// To let them out.
    Deflate,
    /// To discard the content of free pages.
    Report,
}

impl Request {
    /// How many pages fit into one.
    #[must_use]
    pub fn most_pages(self) -> u64 {
        match self {
            Self::Inflate | Self::Deflate => LIST_PAGES as u64,
            Self::Report => REPORT_PAGES,
        }
    }
}

/// The pages, by number.
#[derive(Clone, Copy, Debug)]
pub struct Frames<'a> {
    table: &'a [AtomicU8],
    /// Some page became dirty.
    dirtied: &'a AtomicBool,
}

impl<'a> Frames<'a> {
    /// Takes the table and the mark for dirty pages over; the first `used` pages are in use, all others
    /// are clean.
    #[must_use]
    pub fn new(table: &'a [AtomicU8], dirtied: &'a AtomicBool, used: u64) -> Self {
        for (place, number) in table.iter().zip(0..) {
            let frame = if number < used {
                Frame::Used
            } else {
                Frame::Clean
            };
            place.store(frame as u8, Ordering::Release);
        }
        dirtied.store(false, Ordering::Release);
        Self { table, dirtied }
    }

    /// How many pages there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.table.len() as u64
    }

    /// How many of them are free.
    #[must_use]
    pub fn free(&self) -> u64 {
        let is_free = |place: &&AtomicU8| place.load(Ordering::Relaxed) <= Frame::Dirty as u8;
        self.table.iter().filter(is_free).count() as u64
    }

    /// Takes a free page into use, and tells what it was; nothing if it is not free.
    #[must_use]
    pub fn claim(&self, index: u64) -> Option<Frame> {
        [Frame::Clean, Frame::Dirty]
            .into_iter()
            .find(|&free| self.exchange(index, free, Frame::Used))
    }

    /// Lets a page go that was claimed.
    pub fn release(&self, index: u64, to: Frame) {
        self.exchange(index, Frame::Used, to);
        if to == Frame::Dirty && !self.dirtied.load(Ordering::Relaxed) {
            self.dirtied.store(true, Ordering::Release);
        }
    }

    /// Whether some page became dirty since the last call.
    #[must_use]
    pub fn were_dirtied(&self) -> bool {
        self.dirtied.swap(false, Ordering::AcqRel)
    }

    /// Puts a page into a request, if it is one for it.
    #[must_use]
    pub fn ask(&self, index: u64, request: Request) -> bool {
        let from: &[Frame] = match request {
            Request::Inflate => &[Frame::Clean, Frame::Dirty],
            Request::Deflate => &[Frame::Ballooned],
            Request::Report => &[Frame::Dirty],
        };
        from.iter()
            .any(|&from| self.exchange(index, from, Frame::InFlight))
    }

    /// The request that a page was in is back.
    pub fn settle(&self, index: u64, request: Request) {
        let to = match request {
            Request::Inflate => Frame::Ballooned,
            Request::Deflate | Request::Report => Frame::Clean,
        };
        self.exchange(index, Frame::InFlight, to);
    }

    fn exchange(&self, index: u64, from: Frame, to: Frame) -> bool {
        let place = usize::try_from(index)
            .ok()
            .and_then(|at| self.table.get(at));
        place.is_some_and(|place| {
            let orders = (Ordering::AcqRel, Ordering::Relaxed);
            // Most are not what is looked for, and an exchange that fails costs as much as one that does
            // not.
            place.load(Ordering::Relaxed) == from as u8
                && place
                    .compare_exchange(from as u8, to as u8, orders.0, orders.1)
                    .is_ok()
        })
    }
}
