//! When each byte of one direction may be read and when it is forwarded. No I/O in here.

use std::num::NonZeroU64;
use std::time::Duration;

use super::parcels::{Parcel, Parcels};
use super::script::{Script, Strike};

/// What a direction without a rate holds beyond what is under way.
///
/// Our choice: large enough that system calls cost little beside the copying.
const SLACK_BYTES: u64 = 256 << 10;
/// The same for a direction with a rate: what waits for the link, and as much again.
const SLACK_AT_LINK_BYTES: u64 = 2 * QUEUE_BYTES;
/// How many bytes of one connection may wait for a link.
///
/// Our choice: 0.26 ms at 1 Gb/s, during which other connections wait as well. Linux lets a TCP
/// socket put about 1 ms into the queue of a device.
const QUEUE_BYTES: u64 = 32 << 10;
/// For how long a link makes up for a thread that the system woke late.
///
/// Our choice: on a machine with more work than processors a wake-up is late by some time slices.
const LATENESS: Duration = Duration::from_millis(50);
/// What a direction without a rate is taken to have when its window is computed. Our choice: more
/// than the relay can forward.
const UNLIMITED_BITS_PER_S: NonZeroU64 = NonZeroU64::new(10_000_000_000).expect("not zero");
/// What one direction holds at most.
///
/// Our choice: 1 Gb/s times 0.5 s. A link that is faster and longer is as fast as this allows.
const MAX_WINDOW_BYTES: u64 = 64 << 20;

/// How a source ended its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamEnd {
    /// With a FIN.
    Fin,
    /// With a RST.
    Reset,
}

/// Whether bytes may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// So many, not zero.
    Bytes(u64),
    /// None before that time.
    From(Duration),
    /// None before some are forwarded.
    None,
}

/// What is to be done at the sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Forward so many bytes, not zero.
    Forward(u64),
    /// End the stream as the source ended it.
    End(StreamEnd),
    /// Let a rule strike.
    Strike(Strike),
    /// Nothing before that time.
    Wait(Duration),
    /// Nothing before something is read.
    Idle,
}

/// The bytes of one direction that are read and not yet forwarded.
///
/// ```text
/// source --admit--> waits for the link --departs--> under way --due--> forwarded to the sink
/// ```
#[derive(Debug)]
pub(super) struct Schedule {
    script: Script,
    window_bytes: u64,
    admitted: u64,
    forwarded: u64,
    parcels: Parcels,
    /// Whether bytes have been waiting at the source since there was no room for them at the link.
    is_backlogged: bool,
    last_due: Duration,
    end: Option<End>,
}

/// The end of the stream, behind all parcels.
#[derive(Debug, Clone, Copy)]
struct End {
    how: StreamEnd,
    arrives: Duration,
    due: Duration,
}

impl Schedule {
    /// The beginning of a stream.
    pub(super) fn new(script: Script) -> Self {
        Self {
            window_bytes: window_bytes(&script),
            script,
            admitted: 0,
            forwarded: 0,
            parcels: Parcels::default(),
            is_backlogged: false,
            last_due: Duration::ZERO,
            end: None,
        }
    }

    /// Follows another script from here on. What is read already arrives when it would have, but
    /// for stalls: those of the old script are over, and those of the new one that strike at a time
    /// hold it. Rules that strike at a byte already read come too late and are forgotten.
    pub(super) fn follow(&mut self, mut script: Script) {
        script.forget_strikes_before(self.admitted);
        self.window_bytes = window_bytes(&script);
        self.script = script;
        self.last_due = self
            .parcels
            .reschedule(|arrives| self.script.stalled(arrives));
        if let Some(end) = &mut self.end {
            end.due = self.script.stalled(end.arrives).max(self.last_due);
        }
    }

    /// How many bytes are held at most.
    pub(super) fn window_bytes(&self) -> u64 {
        self.window_bytes
    }

    /// Whether bytes may be read.
    pub(super) fn room(&mut self, now: Duration) -> Room {
        self.parcels.depart(now);
        let held_bytes = self.admitted - self.forwarded;
        let in_window = self.window_bytes.saturating_sub(held_bytes);
        let bytes = in_window.min(self.script.until_strike(self.admitted));
        if in_window == 0 {
            // The sink is slow: a link would not have been used either.
            self.is_backlogged = false;
        }
        if bytes == 0 || self.parcels.is_full() {
            return Room::None;
        }
        if self.script.slowest_bits_per_s().is_none() {
            return Room::Bytes(bytes);
        }
        let free_bytes = QUEUE_BYTES.saturating_sub(self.parcels.waiting_bytes());
        match self.parcels.next_departure() {
            Some(time) if free_bytes == 0 => Room::From(time),
            _ => Room::Bytes(bytes.min(free_bytes)),
        }
    }

    /// Whether bytes may be read that have perhaps been waiting for that.
    ///
    /// Then they are to be read at once, or the source is to be declared [drained](Self::drained).
    pub(super) fn is_backlogged(&mut self, now: Duration) -> bool {
        self.is_backlogged && matches!(self.room(now), Room::Bytes(_))
    }

    /// The source had less than there was room for.
    pub(super) fn drained(&mut self) {
        self.is_backlogged = false;
    }

    /// Takes over bytes just read, at most as many as there was room for, inverts the bits that are
    /// to be inverted, and returns their number.
    ///
    /// If the bytes had to wait for room, they leave as if they had been read when there was room: a
    /// thread that is late does not make the link slow.
    pub(super) fn admit(&mut self, bytes: &mut [u8], now: Duration) -> u64 {
        let flipped_bits = self.script.corrupt(self.admitted, bytes);
        let ready = if self.is_backlogged {
            now.saturating_sub(LATENESS)
        } else {
            now
        };
        let mut left_bytes = u64::try_from(bytes.len()).expect("a slice is no longer than 2^63");
        while left_bytes > 0 {
            let bytes = self.script.run(self.admitted, left_bytes);
            let departs = self.script.send(bytes, ready).max(now);
            let (arrives, due) = self.arrival(departs);
            self.last_due = due;
            self.parcels.push(Parcel {
                bytes,
                departs,
                arrives,
                due,
            });
            self.admitted += bytes;
            left_bytes -= bytes;
        }
        self.parcels.depart(now);
        self.is_backlogged |= self.parcels.waiting_bytes() >= QUEUE_BYTES;
        flipped_bits
    }

    /// The source ended its stream; a reset also ends one that had ended otherwise.
    pub(super) fn end(&mut self, how: StreamEnd, now: Duration) {
        if self.end.is_none_or(|end| end.how == StreamEnd::Fin) {
            let (arrives, due) = self.arrival(now);
            self.end = Some(End { how, arrives, due });
        }
    }

    /// What is to be done now. A strike is returned once; so is the end.
    pub(super) fn next(&mut self, now: Duration) -> Step {
        self.parcels.depart(now);
        if let Some(strike) = self.script.strike(self.forwarded, now) {
            return Step::Strike(strike);
        }
        let due_bytes = self.parcels.due_bytes(now);
        if due_bytes > 0 {
            return Step::Forward(due_bytes);
        }
        let end = self.end.filter(|_| self.parcels.is_empty());
        if let Some(end) = end.filter(|end| end.due <= now) {
            self.end = None;
            return Step::End(end.how);
        }
        let dues = [
            self.parcels.next_due(),
            end.map(|end| end.due),
            self.script.next_strike(),
        ];
        dues.into_iter()
            .flatten()
            .min()
            .map_or(Step::Idle, Step::Wait)
    }

    /// Bytes were forwarded, no more than [`next`](Self::next) asked for.
    pub(super) fn forward(&mut self, bytes: u64) {
        self.forwarded += bytes;
        self.parcels.remove(bytes);
    }

    /// When a rule strikes next whatever the bytes do.
    pub(super) fn next_strike(&self) -> Option<Duration> {
        self.script.next_strike()
    }

    /// Forgets what is not yet forwarded, the end and strikes at bytes included; returns how many
    /// bytes these were.
    pub(super) fn abandon(&mut self) -> u64 {
        self.parcels = Parcels::default();
        self.end = None;
        self.script.forget_strikes_before(u64::MAX);
        let lost_bytes = self.admitted - self.forwarded;
        self.forwarded = self.admitted;
        lost_bytes
    }

    /// When something that leaves the link at `departs` arrives, and when it is due behind all that
    /// is admitted.
    fn arrival(&self, departs: Duration) -> (Duration, Duration) {
        let arrives = departs.saturating_add(self.script.lag(self.admitted));
        let held = arrives.saturating_add(self.script.stall_at(self.admitted));
        (arrives, self.script.stalled(held).max(self.last_due))
    }
}

/// Rate times delay and a constant, but no more than [`MAX_WINDOW_BYTES`].
fn window_bytes(script: &Script) -> u64 {
    let (bits_per_s, slack_bytes) = match script.slowest_bits_per_s() {
        Some(bits_per_s) => (bits_per_s, SLACK_AT_LINK_BYTES),
        None => (UNLIMITED_BITS_PER_S, SLACK_BYTES),
    };
    let bit_ns = script
        .longest_lag()
        .as_nanos()
        .saturating_mul(bits_per_s.get().into());
    let under_way_bytes = u64::try_from(bit_ns / 8_000_000_000).unwrap_or(u64::MAX);
    under_way_bytes
        .saturating_add(slack_bytes)
        .min(MAX_WINDOW_BYTES)
}

#[cfg(test)]
mod tests;
