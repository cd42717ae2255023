//! Rounds of pre-copy at the source: memory goes while the guest runs, and what it writes goes again.

mod absent;
mod copying;

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::bitmap::PageBitmap;
use crate::error::{Error, Result};
use crate::link::{Link, Patience};
use crate::model::{Model, Standing, Step, Way, per_s};
use crate::options::SourceOptions;
use crate::order::Recency;
use crate::phase::SourceEvent;
use crate::ram::RamMapping;
use crate::report::{Round, WriteProtection, ms};
use crate::source::SourceVm;
use crate::source::connect::Control;
use crate::source::limiter::Limiter;
use crate::source::tally::Tally;
use crate::source::transfer::Transfer;
use crate::stop::Stop;
use crate::wire::{self, Flush, Flushed, FrameKind, MAX_FRAME_WORDS};
use copying::{Copier, Copying};

/// How often a round is looked at: dirty pages are counted, and the model is asked. Our choice: each
/// look costs the guest a fault for every page that it goes on writing.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How often anything is looked for meanwhile, such as a cancellation.
const WATCH_INTERVAL: Duration = Duration::from_millis(20);

/// Most times that pages are discarded while the guest runs and writes others.
const MAX_DISCARDS: u32 = 4;

/// So few pages are discarded, or sent by one thread, while the guest stands still. Our choice:
/// about a millisecond.
const FEW_PAGES: u64 = 256;

/// Most frames of damaged pages that are taken for one flush. Our choice: 256 Ki ranges.
const MAX_DAMAGE_FRAMES: u32 = 64;

/// Most times that the last pages go while the guest stands still. Our choice: a network that
/// damages them every time will not stop.
const MAX_LAST_ROUNDS: u32 = 8;

/// What is left to do when the guest stands still, and what was done.
#[derive(Debug)]
pub(super) struct Rest {
    /// Pages of which the destination does not have the last version.
    pub(super) unsent: PageBitmap,
    /// Counts of all the others.
    pub(super) done: Tally,
    /// The pages that were written in each round.
    pub(super) recency: Recency,
    /// Pages that count as absent because the guest has named them as free.
    pub(super) hinted: PageBitmap,
}

impl Rest {
    /// Everything is left.
    pub(super) fn everything(pages: u64) -> Self {
        Self {
            unsent: PageBitmap::full(pages),
            done: Tally::default(),
            recency: Recency::new(),
            hinted: PageBitmap::empty(pages),
        }
    }
}

/// The pages that the guest has written.
struct Written<'a> {
    vm: &'a dyn SourceVm,
    /// Those of which the destination does not have the last version, beside the ones that are left
    /// of the round.
    rest: PageBitmap,
    /// Pages that the guest has named as free and has not written since its writes are tracked.
    hinted: PageBitmap,
    protection: WriteProtection,
}

impl Written<'_> {
    /// Adds what was written since the last call, but for what `copying` is yet to read.
    fn look(&mut self, copying: &Copying) -> Result<PageBitmap> {
        let began = Instant::now();
        let mut written = PageBitmap::empty(self.rest.pages());
        self.vm
            .take_dirty(&mut written)
            .map_err(|source| Error::Track { source })?;
        self.protection.log_ms += ms(began.elapsed());
        self.protection.faults += written.count();
        self.hinted.remove_all(&written);
        // Only now: what is read later than this look is read with all that the look has seen.
        let mut again = written.clone();
        copying.excuse_unread(&mut again);
        self.rest.add_all(&again);
        Ok(written)
    }
}

/// The rounds of one migration.
pub(super) struct Rounds<'a> {
    background: &'a [Link],
    patience: Patience,
    copying: Copying,
    written: Written<'a>,
    model: Model,
    way: Way,
    recency: Recency,
}

impl<'a> Rounds<'a> {
    /// Rounds of `vm`, whose writes are tracked; waits end when `stop` is raised.
    pub(super) fn new(
        vm: &'a dyn SourceVm,
        ram: RamMapping,
        background: &'a [Link],
        options: &SourceOptions,
        stop: Stop,
    ) -> Self {
        let pages = ram.pages();
        let limiter = Limiter::new(options.bandwidth, stop);
        Self {
            background,
            patience: Patience::EachByte(options.timeouts.answer),
            copying: Copying::new(ram, limiter),
            written: Written {
                vm,
                rest: PageBitmap::empty(pages),
                hinted: PageBitmap::empty(pages),
                protection: WriteProtection::default(),
            },
            model: Model::new(options.mode, options.max_downtime),
            way: Way::default(),
            recency: Recency::new(),
        }
    }

    /// Copies while the guest runs, until it is time to stop it; says what is to be done then.
    pub(super) fn run(
        &mut self,
        transfer: &mut Transfer<'_>,
        control: &mut Control,
    ) -> Result<Step> {
        self.way.exchange = self.flush(transfer, control)?;
        let mut round = PageBitmap::full(self.written.rest.pages());
        loop {
            let step = self.round(round, transfer, control)?;
            let rest = &mut self.written.rest;
            match step {
                Step::Another => {
                    let none = PageBitmap::empty(rest.pages());
                    round = std::mem::replace(rest, none);
                }
                Step::Stop => {
                    transfer
                        .account
                        .predicts(self.way.downtime(rest.count()), step);
                    return Ok(step);
                }
                Step::Switch => {
                    self.discard_ahead(transfer, control)?;
                    transfer.account.predicts(self.way.downtime(0), step);
                    return Ok(step);
                }
            }
        }
    }

    /// One round of `pages`, and what to do after it.
    fn round(
        &mut self,
        pages: PageBitmap,
        transfer: &mut Transfer<'_>,
        control: &mut Control,
    ) -> Result<Step> {
        let before = self.copying.sums();
        let is_first = before.went == 0;
        self.copying.begin(pages);
        if is_first {
            self.ask_for_hints(transfer)?;
        }
        let began = Instant::now();
        if is_first {
            self.list_absent()?;
        }
        let broken_off = self.copy(transfer, Guest::Runs)?;
        self.flush(transfer, control)?;
        let took = began.elapsed();
        let dirty = self.written.look(&self.copying)?;
        self.recency.add_round(dirty);

        let sent_pages = self.copying.sums().contents() - before.contents();
        self.way.learn(sent_pages, took);
        let rest_pages = self.written.rest.count();
        transfer.account.rounds.push(Round {
            pages: sent_pages,
            dirtied: rest_pages,
            dirtied_per_s: per_s(rest_pages, took),
            ms: ms(took),
        });
        if let Some(left) = broken_off {
            self.written.rest.add_all(&left);
            return Ok(Step::Switch);
        }
        Ok(self.model.after_round(&Standing {
            sent_pages,
            rest_pages,
            way: self.way,
        }))
    }

    /// Sends what is left of the round over all connections. Gives the pages that were not sent, if
    /// the model has the round broken off.
    fn copy(&mut self, transfer: &mut Transfer<'_>, guest: Guest) -> Result<Option<PageBitmap>> {
        let (copying, patience) = (&self.copying, self.patience);
        let (written, model, way) = (&mut self.written, &self.model, self.way);
        let before = copying.sums();
        thread::scope(|scope| {
            let (ended, ends) = mpsc::channel();
            for (number, link) in self.background.iter().enumerate() {
                let mut copier = Copier::new(copying, link.clone(), patience);
                let ended = ended.clone();
                let work = move || {
                    // Nobody waits for the end any more if something else has failed.
                    let _ = ended.send(copier.copy_all());
                };
                let name = format!("migrate-copy-{number}");
                let spawned = thread::Builder::new()
                    .name(name.clone())
                    .spawn_scoped(scope, work);
                if let Err(source) = spawned {
                    copying.break_off();
                    return Err(Error::Spawn { name, source });
                }
            }
            drop(ended);
            let mut looked = Instant::now();
            let mut left = None;
            loop {
                let failed = match ends.recv_timeout(WATCH_INTERVAL) {
                    Ok(end) => end,
                    Err(RecvTimeoutError::Disconnected) => return Ok(left),
                    Err(RecvTimeoutError::Timeout) => transfer.copied(&copying.sums()),
                };
                let looked_at = failed.and_then(|()| {
                    if guest == Guest::Stands || looked.elapsed() < LOOK_INTERVAL {
                        return Ok(());
                    }
                    written.look(copying)?;
                    looked = Instant::now();
                    let standing = Standing {
                        sent_pages: copying.sums().contents() - before.contents(),
                        rest_pages: written.rest.count(),
                        way,
                    };
                    if left.is_none() && model.breaks_off(&standing) {
                        left = Some(copying.break_off());
                    }
                    Ok(())
                });
                if let Err(error) = looked_at {
                    // The threads end with what they are at.
                    copying.break_off();
                    transfer.stop_all();
                    return Err(error);
                }
            }
        })
    }

    /// Waits until all that was sent is there, and takes back what came damaged; gives the time that
    /// took.
    fn flush(&mut self, transfer: &mut Transfer<'_>, control: &mut Control) -> Result<Duration> {
        let began = Instant::now();
        let pages = self.copying.sums().went;
        transfer.advance(SourceEvent::FlushSent);
        control.writer.send(&Flush { pages }, self.patience)?;
        for frames in 0.. {
            let frame = control.reader.next(self.patience)?;
            if frame.kind != FrameKind::Again || frames == MAX_DAMAGE_FRAMES {
                let Flushed {} = frame.into_frame()?;
                break;
            }
            let mut damaged = PageBitmap::empty(self.written.rest.pages());
            for range in wire::decode_ranges(frame.kind, frame.payload, damaged.pages())? {
                for page in range?.iter() {
                    damaged.insert(page);
                }
            }
            self.copying.forget(&damaged);
            self.written.rest.add_all(&damaged);
        }
        transfer.advance(SourceEvent::FlushedReceived);
        transfer.copied(&self.copying.sums())?;
        Ok(began.elapsed())
    }

    /// Has the destination discard what is out of date while the guest still runs, so that little
    /// is left to discard when it stands still. What it writes meanwhile is discarded as well.
    fn discard_ahead(&mut self, transfer: &mut Transfer<'_>, control: &mut Control) -> Result<()> {
        for _ in 0..MAX_DISCARDS {
            let discarded = self.discard(control)?;
            self.flush(transfer, control)?;
            self.written.look(&self.copying)?;
            if discarded <= FEW_PAGES {
                break;
            }
        }
        Ok(())
    }

    /// Has the destination discard its old versions of the rest; gives their number.
    fn discard(&self, control: &mut Control) -> Result<u64> {
        let old = self.copying.forget(&self.written.rest);
        let words: Vec<_> = old.words().collect();
        for words in words.chunks(MAX_FRAME_WORDS) {
            control
                .writer
                .send_with(FrameKind::Discard, self.patience, |payload| {
                    wire::words_payload(words, payload);
                })?;
        }
        Ok(old.count())
    }

    /// Does what is to be done while the guest stands still, and gives what is left to be sent.
    pub(super) fn finish(
        mut self,
        step: Step,
        transfer: &mut Transfer<'_>,
        control: &mut Control,
    ) -> Result<Rest> {
        self.written.look(&self.copying)?;
        let pages = self.written.rest.pages();
        if step == Step::Switch {
            self.discard(control)?;
        } else {
            // Once, unless something comes damaged.
            for attempt in 0.. {
                if self.written.rest.count() == 0 {
                    break;
                }
                if attempt == MAX_LAST_ROUNDS {
                    let pages = self.written.rest.count();
                    return Err(Error::Damaged { pages });
                }
                let none = PageBitmap::empty(pages);
                let last = std::mem::replace(&mut self.written.rest, none);
                let last_pages = last.count();
                self.copying.begin(last);
                match self.background.first() {
                    Some(link) if last_pages <= FEW_PAGES => {
                        // Less than it takes to start a thread.
                        Copier::new(&self.copying, link.clone(), self.patience).copy_all()?;
                    }
                    _ => self.copy(transfer, Guest::Stands).map(drop)?,
                }
                self.flush(transfer, control)?;
            }
        }
        let sums = self.copying.sums();
        transfer.account.superseded = sums.superseded;
        transfer.account.hinted = self.written.hinted.count();
        transfer.account.write_protection = Some(self.written.protection);
        Ok(Rest {
            unsent: self.written.rest,
            done: Tally::of(&sums),
            recency: self.recency,
            hinted: self.written.hinted,
        })
    }
}

/// Whether there is anything to look for while pages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guest {
    Runs,
    Stands,
}
