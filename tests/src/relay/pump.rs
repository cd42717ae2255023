//! One direction of one connection: reads from one socket and writes to the other, as scheduled.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::plan::Cut;
use super::ring::Ring;
use super::schedule::{Room, Schedule, Step, StreamEnd};
use super::script::{Script, Strike};
use super::stats::FlowStats;

/// How many bytes are read at once when they are thrown away; no window is smaller.
const DISCARD_BYTES: usize = 64 << 10;

/// What becomes of what the source sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// It is forwarded.
    Open,
    /// It is forwarded as well, but ends with a reset even if that looks like a FIN: a socket tells
    /// of a reset only once, and it did so when it was written to.
    Broken,
    /// It is thrown away.
    Discarded,
    /// It has ended.
    Ended,
}

/// Whether the sink takes bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sink {
    /// As far as is known.
    Ready,
    /// Not before the kernel says so.
    Full,
    /// Never again.
    Ended,
}

/// What [`Pump::deliver`] leaves to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    /// There is nothing to do before that time, if any, or before a socket has news.
    Waits(Option<Duration>),
    /// The sink is gone, so that what it sends ends with a reset as well.
    SinkLost,
    /// The source has reset the connection.
    SourceReset,
    /// A rule cuts the connection.
    Cut(Cut),
    /// A rule cuts connections of those numbers; there may be more to deliver.
    CutThese { how: Cut, first: u64, last: u64 },
}

/// When a pump wants to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Appetite {
    /// Now.
    Now,
    /// From that time on.
    From(Duration),
    /// Not before something else has happened.
    None,
}

/// One direction of one connection.
#[derive(Debug)]
pub(super) struct Pump {
    schedule: Schedule,
    ring: Ring,
    source: Source,
    sink: Sink,
    flow: FlowStats,
}

impl Pump {
    /// Nothing is read or forwarded yet.
    pub(super) fn new(script: Script) -> Self {
        let schedule = Schedule::new(script);
        Self {
            ring: Ring::with_capacity(to_usize(schedule.window_bytes())),
            schedule,
            source: Source::Open,
            sink: Sink::Ready,
            flow: FlowStats::default(),
        }
    }

    /// Follows another script from here on.
    pub(super) fn follow(&mut self, script: Script) {
        self.schedule.follow(script);
        self.ring.grow(to_usize(self.schedule.window_bytes()));
    }

    /// What has happened since this was asked last.
    pub(super) fn take_flow(&mut self) -> FlowStats {
        std::mem::take(&mut self.flow)
    }

    /// Whether source and sink have ended.
    pub(super) fn is_finished(&self) -> bool {
        self.source_has_ended() && self.sink_has_ended()
    }

    /// Whether the source sends nothing more.
    pub(super) fn source_has_ended(&self) -> bool {
        self.source == Source::Ended
    }

    /// Whether the sink gets nothing more.
    pub(super) fn sink_has_ended(&self) -> bool {
        self.sink == Sink::Ended
    }

    /// Whether there is news for the sink that it did not take yet.
    pub(super) fn waits_for_sink(&self) -> bool {
        self.sink == Sink::Full
    }

    /// The sink may take bytes again.
    pub(super) fn sink_is_ready(&mut self) {
        if self.sink == Sink::Full {
            self.sink = Sink::Ready;
        }
    }

    /// The source is known to have reset the connection, though it was not read to its end.
    pub(super) fn source_is_broken(&mut self, now: Duration) {
        match self.source {
            Source::Open => self.source = Source::Broken,
            Source::Broken => {}
            Source::Discarded | Source::Ended => self.end_source(StreamEnd::Reset, now),
        }
    }

    /// When to read next.
    pub(super) fn appetite(&mut self, now: Duration) -> Appetite {
        match self.source {
            Source::Open | Source::Broken => match self.schedule.room(now) {
                Room::Bytes(_) => Appetite::Now,
                Room::From(time) => Appetite::From(time),
                Room::None => Appetite::None,
            },
            Source::Discarded => Appetite::Now,
            Source::Ended => Appetite::None,
        }
    }

    /// Whether the source is to be read now, without waiting for it: see [`Schedule::is_backlogged`].
    pub(super) fn is_backlogged(&mut self, now: Duration) -> bool {
        matches!(self.source, Source::Open | Source::Broken) && self.schedule.is_backlogged(now)
    }

    /// Reads once from a source that does not block.
    pub(super) fn receive(&mut self, mut source: &TcpStream, now: Duration) {
        let limit = match (self.source, self.schedule.room(now)) {
            (Source::Discarded, _) => DISCARD_BYTES,
            (Source::Open | Source::Broken, Room::Bytes(bytes)) => to_usize(bytes),
            _ => return,
        };
        let mut pieces = self.ring.free(limit);
        match source.read_vectored(&mut pieces) {
            Ok(0) if self.source == Source::Open => self.end_source(StreamEnd::Fin, now),
            Ok(0) if self.source == Source::Discarded => self.source = Source::Ended,
            Ok(0) => self.end_source(StreamEnd::Reset, now),
            Ok(count) => {
                self.flow.received_bytes += to_u64(count);
                if self.source == Source::Discarded {
                    self.flow.discarded_bytes += to_u64(count);
                    return;
                }
                let [first, second] = &mut pieces;
                let in_first = count.min(first.len());
                self.flow.flipped_bits += self.schedule.admit(&mut first[..in_first], now)
                    + self.schedule.admit(&mut second[..count - in_first], now);
                self.ring.fill(count);
                if count < limit {
                    self.schedule.drained();
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.schedule.drained(),
            Err(_) => self.end_source(StreamEnd::Reset, now),
        }
    }

    /// Does all that is due at a sink that does not block.
    pub(super) fn deliver(&mut self, mut sink: &TcpStream, now: Duration) -> Delivery {
        loop {
            match self.schedule.next(now) {
                Step::Idle => return Delivery::Waits(None),
                Step::Wait(time) => return Delivery::Waits(Some(time)),
                Step::Forward(_) if self.sink == Sink::Full => {
                    return Delivery::Waits(self.schedule.next_strike());
                }
                Step::Forward(bytes) => {
                    let limit = to_usize(bytes);
                    match sink.write_vectored(&self.ring.filled(limit)) {
                        Ok(count) => {
                            self.forwarded(count);
                            if count < limit {
                                self.sink = Sink::Full;
                            }
                        }
                        Err(error) if error.kind() == ErrorKind::Interrupted => {}
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {
                            self.sink = Sink::Full;
                        }
                        Err(_) => {
                            self.end_sink();
                            return Delivery::SinkLost;
                        }
                    }
                }
                Step::End(StreamEnd::Reset) => return Delivery::SourceReset,
                Step::Strike(Strike::Cut(how)) => return Delivery::Cut(how),
                Step::Strike(Strike::CutThese { how, first, last }) => {
                    return Delivery::CutThese { how, first, last };
                }
                Step::End(StreamEnd::Fin) | Step::Strike(Strike::HalfClose) => {
                    self.end_sink();
                    if sink.shutdown(Shutdown::Write).is_err() {
                        return Delivery::SinkLost;
                    }
                }
            }
        }
    }

    /// Nothing goes to the sink any more; what was on its way is lost.
    pub(super) fn end_sink(&mut self) {
        self.flow.discarded_bytes += self.schedule.abandon();
        self.ring.clear();
        self.sink = Sink::Ended;
        if self.source != Source::Ended {
            self.source = Source::Discarded;
        }
    }

    fn end_source(&mut self, end: StreamEnd, now: Duration) {
        self.source = Source::Ended;
        self.schedule.end(end, now);
    }

    fn forwarded(&mut self, count: usize) {
        self.schedule.forward(to_u64(count));
        self.ring.consume(count);
        self.flow.forwarded_bytes += to_u64(count);
    }
}

/// A number of bytes of this process's memory.
fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn to_u64(bytes: usize) -> u64 {
    u64::try_from(bytes).expect("a size in memory fits in 64 bits")
}
