//! The control side of an accepted arrival: does what the source says when it is due.

mod recovery;

use std::sync::Arc;
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use crate::bitmap::PageBitmap;
use crate::destination::attempt::Attempt;
use crate::destination::door::Door;
use crate::destination::threads::serve_faults;
use crate::destination::{ArrivalReport, ArrivingMemory, DestinationVm, Notice};
use crate::error::{Error, Result};
use crate::link::{FrameReader, FrameWriter, Patience};
use crate::offer::PeerText;
use crate::options::Mode;
use crate::page::bytes_of;
use crate::phase::{DestinationEvent, DestinationPhase};
use crate::progress::INTERVAL;
use crate::report::{FaultCounts, PageCounts, ms};
use crate::stop::{Stop, Woken};
use crate::wire::{
    self, Accept, Complete, Done, Drained, Failed, Flush, Flushed, Frame, FrameKind,
    MAX_FRAME_RANGES, Ready, Run, Running, SessionId, State,
};

/// How long to try to tell a source why its VM failed to arrive. Our choice: it is a short frame.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// What a source may ask for.
enum Command {
    Flush(Flush),
    Discard(PageBitmap),
    Restore(State),
    Run,
    Settle(Drained),
    Part,
}

/// The control connection of an arrival, and how far the arrival is.
pub(super) struct Host<'a> {
    door: &'a Door<'a>,
    attempt: Arc<Attempt>,
    reader: FrameReader,
    writer: FrameWriter,
    mode: Mode,
    phase: DestinationPhase,
    /// When the control connection last did something.
    last_heard: Instant,
    /// Whether the source knows that everything is here, or that is not waited for any more.
    is_parted: bool,
    /// When the connections were lost for the first time since this many pages had come.
    lost: Option<(Instant, u64)>,
    restore: Duration,
    resume: Duration,
}

impl<'a> Host<'a> {
    pub(super) fn new(
        door: &'a Door<'a>,
        attempt: Arc<Attempt>,
        mut reader: FrameReader,
        writer: FrameWriter,
        mode: Mode,
    ) -> Self {
        let link = reader.link().with_stop(attempt.lap_stop());
        reader.rebind(link);
        Self {
            door,
            attempt,
            reader,
            writer,
            mode,
            phase: DestinationPhase::Accepted,
            last_heard: Instant::now(),
            is_parted: false,
            lost: None,
            restore: Duration::ZERO,
            resume: Duration::ZERO,
        }
    }

    /// Does everything from the acceptance to the last page, over as many connections as it takes.
    pub(super) fn take_in<'scope>(
        &mut self,
        scope: &'scope Scope<'scope, '_>,
        session: SessionId,
        vm: &mut dyn DestinationVm,
    ) -> Result<()> {
        let mut result = self
            .send(&Accept { session })
            .and_then(|()| self.serve(scope, vm));
        while let Err(error) = result {
            result = match self.recover(error)? {
                Some((lap, returned)) => self
                    .welcome(lap, returned)
                    .and_then(|()| self.serve(scope, vm)),
                None => Ok(()),
            };
        }
        Ok(())
    }

    /// Does what the source says until it has parted.
    fn serve<'scope>(
        &mut self,
        scope: &'scope Scope<'scope, '_>,
        vm: &mut dyn DestinationVm,
    ) -> Result<()> {
        while !self.is_parted {
            match self.next_command()? {
                Command::Flush(flush) => self.flush(&flush)?,
                Command::Discard(pages) => {
                    self.advance(DestinationEvent::DiscardReceived, FrameKind::Discard)?;
                    self.attempt.discard(&pages)?;
                }
                Command::Restore(state) => self.restore(scope, &state.0, vm)?,
                Command::Run => self.run(vm)?,
                Command::Settle(drained) => self.settle(&drained)?,
                Command::Part if self.phase == DestinationPhase::Completed => self.is_parted = true,
                Command::Part => {
                    return Err(Error::Unexpected {
                        kind: FrameKind::Done,
                    });
                }
            }
            self.last_heard = Instant::now();
        }
        Ok(())
    }

    /// Whether the guest was handed over.
    pub(super) fn owns_guest(&self) -> bool {
        self.phase.owns_guest()
    }

    /// Tells the source why it failed, if it still listens.
    pub(super) fn say_why(&self, error: &Error) {
        if let Ok(stop) = Stop::new() {
            let link = self.writer.link().with_stop(stop);
            let patience = Patience::whole(LAST_WORDS);
            // If it does not listen any more, it knows.
            let _ = FrameWriter::new(link.clone()).send(&Failed(PeerText::chain(error)), patience);
            link.close_gently(patience);
        }
    }

    /// Waits for the pages of a round that are on their way.
    fn flush(&mut self, flush: &Flush) -> Result<()> {
        self.advance(DestinationEvent::FlushReceived, FrameKind::Flush)?;
        self.last_heard = Instant::now();
        let Flush { pages } = *flush;
        while !self.attempt.wait_came(pages, Instant::now() + INTERVAL)? {
            self.watch()?;
        }
        self.advance(DestinationEvent::Flushed, FrameKind::Flush)?;
        let patience = Patience::EachByte(self.patience());
        for ranges in self.attempt.take_damaged().chunks(MAX_FRAME_RANGES) {
            self.writer
                .send_with(FrameKind::Again, patience, |payload| {
                    wire::ranges_payload(ranges, payload);
                })?;
        }
        self.send(&Flushed {})
    }

    /// Restores the state, with faults being served by then: restoring may touch RAM.
    fn restore<'scope>(
        &mut self,
        scope: &'scope Scope<'scope, '_>,
        state: &[u8],
        vm: &mut dyn DestinationVm,
    ) -> Result<()> {
        self.advance(DestinationEvent::StateReceived, FrameKind::State)?;
        self.attempt.end_rounds();
        let until = Instant::now() + self.door.timeouts.answer;
        if !self.attempt.wait_attached(until)? {
            return Err(self.silent());
        }
        let attempt = Arc::clone(&self.attempt);
        let serve = move || {
            if let Err(error) = serve_faults(&attempt) {
                attempt.fail(error);
            }
        };
        let name = "receive-faults".to_owned();
        let spawned = thread::Builder::new()
            .name(name.clone())
            .spawn_scoped(scope, serve);
        spawned.map_err(|source| Error::Spawn { name, source })?;

        let began = Instant::now();
        vm.restore(state, ArrivingMemory::of(&self.attempt))
            .map_err(|source| Error::Restore { source })?;
        self.restore = began.elapsed();
        self.advance(DestinationEvent::Restored, FrameKind::State)?;
        self.await_token();
        self.send(&Ready {
            restore_us: us(self.restore),
        })
    }

    /// Runs the guest: the token is here.
    fn run(&mut self, vm: &mut dyn DestinationVm) -> Result<()> {
        let began = Instant::now();
        let phase = self.due(DestinationEvent::RunReceived, FrameKind::Run)?;
        self.door.stop.close().map_err(|_| Error::Stopped)?;
        self.attempt.own_guest()?;
        self.phase = phase;
        vm.resume().map_err(|source| Error::Resume { source })?;
        self.resume = began.elapsed();
        self.send(&Running {
            resume_us: us(self.resume),
        })?;
        self.door.notices.notice(&Notice::HandedOver {
            peer: self.reader.link().peer(),
        });
        Ok(())
    }

    /// Waits for the pages that are on their way and checks that all memory is here.
    fn settle(&mut self, drained: &Drained) -> Result<()> {
        self.advance(DestinationEvent::DrainedReceived, FrameKind::Drained)?;
        let Drained {
            sent_pages: sent,
            absent_pages: listed,
            digest: source_digest,
        } = *drained;
        let total = self.attempt.region.pages();
        if sent + listed != total {
            return Err(Error::PageCount {
                sent,
                listed,
                total,
            });
        }
        self.last_heard = Instant::now();
        while !self.attempt.wait_filled(Instant::now() + INTERVAL)? {
            self.watch()?;
        }
        let counts = self.attempt.counts();
        if counts.digest != source_digest {
            return Err(Error::Digest {
                source_digest,
                destination_digest: counts.digest,
            });
        }
        self.attempt.region.release()?;
        self.advance(DestinationEvent::Settled, FrameKind::Drained)?;
        self.await_token();
        let (faults, latency, parts) = self.attempt.clock.reading();
        self.send(&Complete {
            digest: counts.digest,
            network_faults: faults.network,
            underway_faults: faults.underway,
            latency,
            parts,
        })
    }

    /// From now on the token may be on its way, if that is how the guest comes.
    fn await_token(&self) {
        if !self.owns_guest() && self.phase.may_recover(self.mode) {
            self.attempt.await_token();
        }
    }

    /// The next command, as long as the source shows life on any of its connections.
    fn next_command(&mut self) -> Result<Command> {
        loop {
            match self.reader.wait_frame(Instant::now() + INTERVAL)? {
                Woken::Stopped => return Err(Error::Stopped),
                Woken::TimedOut => self.watch()?,
                Woken::Ready => break,
            }
        }
        let frame = self
            .reader
            .next(Patience::EachByte(self.door.timeouts.answer))?;
        match frame.kind {
            FrameKind::Flush => frame.into_frame().map(Command::Flush),
            FrameKind::Discard => {
                let mut pages = PageBitmap::empty(self.attempt.region.pages());
                wire::decode_words(frame.kind, frame.payload, &mut pages)?;
                Ok(Command::Discard(pages))
            }
            FrameKind::State => frame.into_frame().map(Command::Restore),
            FrameKind::Run => frame.into_frame().map(|Run {}| Command::Run),
            FrameKind::Drained => frame.into_frame().map(Command::Settle),
            FrameKind::Done => frame.into_frame().map(|Done {}| Command::Part),
            _ => Err(frame.into_error()),
        }
    }

    /// Tells how far the arrival is.
    fn tell(&self) {
        let counts = self.attempt.counts();
        self.door.notices.notice(&Notice::Progress {
            phase: self.phase,
            pages_done: counts.settled(),
            pages_total: self.attempt.region.pages(),
            page_bytes: bytes_of(counts.received),
        });
    }

    /// Tells how far the arrival is, and gives up on a source that has been silent too long.
    fn watch(&self) -> Result<()> {
        self.tell();
        let idle = self.attempt.idle().min(self.last_heard.elapsed());
        if idle > self.patience() {
            Err(self.silent())
        } else {
            Ok(())
        }
    }

    /// How long the source may be silent. One that has nothing more to send may take its time.
    fn patience(&self) -> Duration {
        let timeouts = &self.door.timeouts;
        match self.phase {
            DestinationPhase::Completed => timeouts.stall.max(self.door.reconnect_for),
            _ if self.owns_guest() => timeouts.stall,
            _ => timeouts.answer,
        }
    }

    fn silent(&self) -> Error {
        Error::Silent {
            peer: self.reader.link().peer(),
            waited: self.patience(),
        }
    }

    fn send<F: Frame>(&mut self, frame: &F) -> Result<()> {
        self.writer.send(frame, Patience::EachByte(self.patience()))
    }

    /// The phase that follows, if the event is due.
    fn due(&self, event: DestinationEvent, kind: FrameKind) -> Result<DestinationPhase> {
        self.phase
            .after(event, self.mode)
            .ok_or(Error::Unexpected { kind })
    }

    fn advance(&mut self, event: DestinationEvent, kind: FrameKind) -> Result<()> {
        self.phase = self.due(event, kind)?;
        Ok(())
    }

    /// The account of an arrival that is complete.
    pub(super) fn report(&self, total: Duration) -> ArrivalReport {
        let counts = self.attempt.counts();
        let (faults, latency, parts) = self.attempt.clock.reading();
        ArrivalReport {
            peer: self.reader.link().peer(),
            mode: self.mode,
            restore_ms: ms(self.restore),
            resume_ms: ms(self.resume),
            total_ms: ms(total),
            pages: PageCounts {
                total: self.attempt.region.pages(),
                transferred: counts.received,
                duplicate: counts.duplicate,
                absent: counts.absent,
                ..PageCounts::default()
            },
            faults: FaultCounts {
                network: faults.network,
                underway: faults.underway,
                latency_us: latency.into(),
                latency_parts_us: parts.into(),
            },
            given_up_pages: self.attempt.given_up_pages(),
        }
    }
}

/// A duration as it goes over the wire.
fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
