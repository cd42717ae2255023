//! A stream in virtual time, driven through its schedule as a pump would.

use std::time::Duration;

use crate::relay::schedule::{Room, Schedule, Step, StreamEnd};

/// Some bytes that were admitted or forwarded at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Batch {
    pub(super) at: Duration,
    pub(super) first: u64,
    pub(super) bytes: u64,
}

/// A stream in virtual time: what it has read and forwarded, and how it ended.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) schedule: Schedule,
    pub(super) now: Duration,
    /// How many bytes the source has.
    length: u64,
    pub(super) read: Vec<Batch>,
    pub(super) forwarded: Vec<Batch>,
    /// The most that was held.
    pub(super) held_bytes: u64,
    /// How late it wakes up when it waits, in turn.
    pub(super) lateness: Vec<Duration>,
    /// The first step that was not to forward bytes, and its time.
    pub(super) finish: Option<(Duration, Step)>,
}

impl Stream {
    pub(super) fn new(schedule: Schedule, length: u64) -> Self {
        Self {
            schedule,
            now: Duration::ZERO,
            length,
            read: Vec::new(),
            forwarded: Vec::new(),
            held_bytes: 0,
            lateness: vec![Duration::ZERO],
            finish: None,
        }
    }

    pub(super) fn read_bytes(&self) -> u64 {
        self.read
            .last()
            .map_or(0, |batch| batch.first + batch.bytes)
    }

    pub(super) fn forwarded_bytes(&self) -> u64 {
        self.forwarded
            .last()
            .map_or(0, |batch| batch.first + batch.bytes)
    }

    /// Reads at most that much, as the schedule allows and the source has.
    pub(super) fn read(&mut self, limit: u64) {
        let first = self.read_bytes();
        if first == self.length {
            return;
        }
        if let Room::Bytes(room) = self.schedule.room(self.now) {
            assert!(room > 0);
            let bytes = room.min(limit).min(self.length - first);
            let mut content = vec![0; usize::try_from(bytes).unwrap()];
            self.schedule.admit(&mut content, self.now);
            let at = self.now;
            self.read.push(Batch { at, first, bytes });
            if bytes < room {
                self.schedule.drained();
            }
            if first + bytes == self.length {
                self.schedule.end(StreamEnd::Fin, self.now);
            }
        }
        self.held_bytes = self
            .held_bytes
            .max(self.read_bytes() - self.forwarded_bytes());
    }

    /// Lets a sink that takes at most that much do what is due; returns when to come back.
    pub(super) fn forward(&mut self, limit: u64) -> Option<Duration> {
        loop {
            match self.schedule.next(self.now) {
                Step::Forward(due) => {
                    let bytes = due.min(limit);
                    let first = self.forwarded_bytes();
                    self.schedule.forward(bytes);
                    let at = self.now;
                    self.forwarded.push(Batch { at, first, bytes });
                }
                Step::Wait(time) => {
                    assert!(time > self.now);
                    return Some(time);
                }
                Step::Idle => return None,
                step @ (Step::End(_) | Step::Strike(_)) => {
                    self.finish = self.finish.or(Some((self.now, step)));
                    return None;
                }
            }
        }
    }

    /// Reads and forwards until the end, always as early as possible.
    pub(super) fn run(&mut self, limits: &[u64]) {
        for &limit in limits.iter().cycle() {
            self.read(limit);
            let due = self.forward(limit);
            if self.finish.is_some() {
                return;
            }
            let reads_on = self.read_bytes() < self.length;
            let room = match self.schedule.room(self.now) {
                Room::Bytes(_) if reads_on => continue,
                Room::From(time) if reads_on => Some(time),
                _ => None,
            };
            let next = [due, room].into_iter().flatten().min();
            self.lateness.rotate_left(1);
            self.now = next.expect("a stream that has not ended goes on") + self.lateness[0];
        }
    }

    /// When the byte at a position was read or forwarded.
    pub(super) fn time_in(batches: &[Batch], position: u64) -> Duration {
        let index = batches.partition_point(|batch| batch.first + batch.bytes <= position);
        batches[index].at
    }
}
