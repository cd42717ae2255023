//! Bytes on their way, in pieces with a time of their own.

use std::collections::VecDeque;
use std::time::Duration;

/// How many pieces one direction holds at most. Our choice: about a megabyte of them.
const MAX_PARCELS: usize = 1 << 15;
/// How many of them are forwarded at once.
///
/// Our choice: a megabyte if they are large, and a sink that takes a byte at a time does not make the
/// relay count all of them for each.
const FORWARDED_PARCELS: usize = 64;

/// Bytes with one fate.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) bytes: u64,
    /// When the last of them has left the link.
    pub(super) departs: Duration,
    /// When they would be forwarded if there were no stalls and nothing ahead of them.
    pub(super) arrives: Duration,
    /// When they are forwarded; not before they depart, and not before those ahead of them.
    pub(super) due: Duration,
}

/// A queue of parcels: those in front have departed, those behind wait for the link.
#[derive(Debug, Default)]
pub(super) struct Parcels {
    queue: VecDeque<Parcel>,
    departed: usize,
    waiting_bytes: u64,
}

impl Parcels {
    /// Whether there is nothing on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether there are as many as may be.
    pub(super) fn is_full(&self) -> bool {
        self.queue.len() >= MAX_PARCELS
    }

    /// How many bytes wait for the link, as of the last [`depart`](Self::depart).
    pub(super) fn waiting_bytes(&self) -> u64 {
        self.waiting_bytes
    }

    /// When the next of those that wait for the link departs.
    pub(super) fn next_departure(&self) -> Option<Duration> {
        self.queue.get(self.departed).map(|parcel| parcel.departs)
    }

    /// When the first of all is to be forwarded.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.queue.front().map(|parcel| parcel.due)
    }

    /// Adds one behind all others.
    pub(super) fn push(&mut self, parcel: Parcel) {
        self.waiting_bytes += parcel.bytes;
        self.queue.push_back(parcel);
    }

    /// Takes note of those that have departed by now.
    pub(super) fn depart(&mut self, now: Duration) {
        let waiting = self.queue.iter().skip(self.departed);
        for parcel in waiting.take_while(|parcel| parcel.departs <= now) {
            self.departed += 1;
            self.waiting_bytes -= parcel.bytes;
        }
    }

    /// How many bytes are to be forwarded by now; of very many parcels, those in the first ones.
    pub(super) fn due_bytes(&self, now: Duration) -> u64 {
        let first = self.queue.iter().take(FORWARDED_PARCELS);
        let due = first.take_while(|parcel| parcel.due <= now);
        due.map(|parcel| parcel.bytes).sum()
    }

    /// Takes out bytes of the first parcels, which have departed.
    pub(super) fn remove(&mut self, bytes: u64) {
        let mut left_bytes = bytes;
        while left_bytes > 0 {
            let parcel = self.queue.front_mut().expect("there are as many bytes");
            let of_parcel = parcel.bytes.min(left_bytes);
            parcel.bytes -= of_parcel;
            left_bytes -= of_parcel;
            if parcel.bytes == 0 {
                self.queue.pop_front();
                self.departed -= 1;
            }
        }
    }

    /// Makes each due when a function of its arrival says, and none before another one ahead of it;
    /// returns when the last one is due.
    pub(super) fn reschedule(&mut self, due: impl Fn(Duration) -> Duration) -> Duration {
        self.queue.iter_mut().fold(Duration::ZERO, |ahead, parcel| {
            parcel.due = due(parcel.arrives).max(ahead);
            parcel.due
        })
    }
}
