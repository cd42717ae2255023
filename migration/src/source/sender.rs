//! Sends pages over one connection, from where they lie: leaves zero pages out, keeps count.

use std::time::{Duration, Instant};

use crate::absent::UntouchedSearch;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::link::{FrameReader, FrameWriter, Link, Patience, Received};
use crate::page::{PAGE_BYTES, PageRange, to_u64};
use crate::ram::FrozenRam;
use crate::source::chunk::ChunkSize;
use crate::source::sending::{Fate, Sending};
use crate::source::tally::Cause;
use crate::source::window::{Distance, Window};
use crate::wire::{self, FrameKind, MAX_FRAME_PAGES, MAX_FRAME_RANGES, PagesPrefix};

/// A page of zeroes, to compare with.
static ZERO_PAGE: [u8; PAGE_BYTES] = [0; PAGE_BYTES];

/// Pages that are noted at a time: who answers a guest's fault may wait to note his own. Our
/// choice: some 10 us.
const NOTE_PAGES: u64 = 4096;

/// When a background connection is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// In any case; it judges the link for all so many of them.
    First(u32),
    /// Where one is not enough.
    Further,
}

/// One connection's way to send pages.
#[derive(Debug)]
pub(super) struct Sender<'a> {
    sending: &'a Sending,
    ram: &'a FrozenRam,
    writer: FrameWriter,
    patience: Patience,
    digests: Vec<Digest>,
    /// Pages that go on a list.
    listed: Vec<PageRange>,
}

impl<'a> Sender<'a> {
    pub(super) fn new(
        sending: &'a Sending,
        ram: &'a FrozenRam,
        link: Link,
        patience: Patience,
    ) -> Self {
        let writer = FrameWriter::new(link);
        Self {
            sending,
            ram,
            writer,
            patience,
            digests: Vec::new(),
            listed: Vec::new(),
        }
    }

    /// Sends whatever is next until no page is left, then finishes the connection. What is found
    /// `untouched` is listed before that, or between runs if this connection has to push meanwhile.
    pub(super) fn push_all(
        &mut self,
        part: Part,
        mut untouched: Option<UntouchedSearch<'_>>,
    ) -> Result<()> {
        let link = self.writer.link().clone();
        link.keep_unsent_short()?;
        let mut window = Window::of(&link)?;
        let mut chunk = ChunkSize::default();
        while !self.sending.has_failed() {
            if let Some(search) = &mut untouched {
                if !self.list_untouched(search)? {
                    untouched = None;
                } else if !self.sending.needs(part) {
                    continue;
                }
            }
            self.sending.wait_needed(part);
            let limits = self.sending.limiter.limits(chunk.limits());
            let mut order = self.sending.order();
            let (run, holds_back) = (order.next_run(limits), order.holds_back());
            drop(order);
            match run {
                Some(run) => {
                    self.sending.limiter.wait_for(run)?;
                    let began = Instant::now();
                    self.send(run, Cause::Push, Duration::ZERO)?;
                    chunk.learn(run.pages(), began.elapsed());
                    if let Some(rate) = chunk.bytes_per_s() {
                        window.follow(rate)?;
                        self.judge_link(part, &window, rate);
                    }
                }
                None if untouched.is_some() => {}
                None if holds_back => self.sending.wait_quiet()?,
                None => return self.writer.link().finish_sending(),
            }
        }
        Ok(())
    }

    /// Has the further connections join in or rest. On a long way each has its share of the time that
    /// acknowledgements take.
    fn judge_link(&self, part: Part, window: &Window<'_>, bytes_per_s: u64) {
        let Part::First(connections) = part else {
            return;
        };
        let pushing = if self.sending.is_fast() {
            connections
        } else {
            1
        };
        self.sending.note_rate(match window.distance() {
            Distance::Near => bytes_per_s.saturating_mul(u64::from(pushing)),
            Distance::Far => u64::MAX,
        });
    }

    /// Sends the pages that come to be wanted over the same connection, until the lap is over.
    ///
    /// # Errors
    /// If the other end finishes, too: while pages are missing it does so only because it has lost
    /// a connection of this lap, and those that are still sent to may never tell.
    pub(super) fn answer_all(&mut self) -> Result<()> {
        let mut requests = FrameReader::new(self.writer.link().clone());
        loop {
            let frame = requests.next(Patience::Endless)?;
            match frame.kind {
                FrameKind::Want => self.answer(&frame)?,
                FrameKind::Again => self.repeat(&frame)?,
                FrameKind::GivenUp => self.forgo(&frame)?,
                _ => return Err(frame.into_error()),
            }
        }
    }

    /// Sends pages that are waited for.
    fn answer(&mut self, frame: &Received<'_>) -> Result<()> {
        let received = Instant::now();
        let limit = self.ram.pages();
        for page in wire::decode_wants(frame.payload, limit)? {
            let page = page?;
            // What was handed out before is on its way, and what is next nearly.
            if self.sending.order().demand(page) {
                let page = PageRange::within(page, 1, limit).expect("the page was decoded");
                self.send(page, Cause::Demand, received.elapsed())?;
            }
        }
        Ok(())
    }

    /// Sends pages that came damaged once more.
    fn repeat(&mut self, frame: &Received<'_>) -> Result<()> {
        let limit = self.ram.pages();
        for range in wire::decode_ranges(frame.kind, frame.payload, limit)? {
            let mut rest = Some(range?);
            while let Some(left) = rest {
                let first = left.first().get();
                let end = left.end().min(first + to_u64(MAX_FRAME_PAGES));
                let part = PageRange::between(first, end).expect("a range is not empty");
                self.send(part, Cause::Again, Duration::ZERO)?;
                rest = PageRange::between(end, left.end());
            }
        }
        Ok(())
    }

    /// Lists pages that the guest gave up over there, unless they are on their way.
    fn forgo(&mut self, frame: &Received<'_>) -> Result<()> {
        let limit = self.ram.pages();
        let mut named = 0;
        for range in wire::decode_ranges(frame.kind, frame.payload, limit)? {
            let range = range?;
            named += range.pages();
            if named > limit {
                // Nobody gives the same page up twice; each is looked at under a lock.
                let (kind, length_bytes) = (frame.kind, frame.payload.len());
                return Err(Error::Malformed { kind, length_bytes });
            }
            for range in self.sending.never_sent(range) {
                self.list_given_up(range)?;
            }
        }
        Ok(())
    }

    /// Whatever becomes of the list, these pages are listed from now on, in later laps, too: a page
    /// that counts as absent must never be sent with its content.
    fn list_given_up(&mut self, range: PageRange) -> Result<()> {
        let mut ranges = Vec::new();
        let sending = self.sending;
        while let Some(run) = sending.order().next_within(range) {
            sending.note(run, Fate::GivenUp);
            ranges.push(run);
        }
        for ranges in ranges.chunks(MAX_FRAME_RANGES) {
            list(&mut self.writer, ranges, self.patience)?;
        }
        Ok(())
    }

    /// Lists once more what was given up and whose list was lost.
    pub(super) fn list_all_given_up(&mut self) -> Result<()> {
        for range in self.sending.given_up() {
            self.list_given_up(range)?;
        }
        Ok(())
    }

    /// Lists pages that were never touched in the next part of the memory, so that nobody reads
    /// them, and says whether there was one.
    fn list_untouched(&mut self, search: &mut UntouchedSearch<'_>) -> Result<bool> {
        let mut ranges = std::mem::take(&mut self.listed);
        let sending = self.sending;
        let has_part = search.next_part(|range| {
            while let Some(run) = sending.order().next_within(range) {
                ranges.push(run);
                if ranges.len() == MAX_FRAME_RANGES {
                    self.list(&mut ranges, Fate::Absent)?;
                }
            }
            Ok(())
        })?;
        self.list(&mut ranges, Fate::Absent)?;
        self.listed = ranges;
        Ok(has_part)
    }

    /// Lists `ranges`, notes their fate and empties the list.
    fn list(&mut self, ranges: &mut Vec<PageRange>, fate: Fate<'_>) -> Result<()> {
        list(&mut self.writer, ranges, self.patience)?;
        for range in ranges.drain(..) {
            let mut rest = Some(range);
            while let Some(left) = rest {
                let end = left.end().min(left.first().get() + NOTE_PAGES);
                let part = PageRange::between(left.first().get(), end);
                self.sending.note(part.expect("a range is not empty"), fate);
                rest = PageRange::between(end, left.end());
            }
        }
        Ok(())
    }

    /// Sends the pages of `range`, which were handed out; who asked for them has `waited` for them
    /// here so long.
    fn send(&mut self, range: PageRange, cause: Cause, waited: Duration) -> Result<()> {
        self.send_content(range, cause, waited)?;
        // Taken out so that it can be sent; no allocation moves.
        let mut zero = std::mem::take(&mut self.listed);
        self.list(&mut zero, Fate::Zero)?;
        self.listed = zero;
        Ok(())
    }

    /// Sends runs of pages that are not zero, and puts the others on the list.
    fn send_content(&mut self, range: PageRange, cause: Cause, waited: Duration) -> Result<()> {
        let (pages, _) = self.ram.content(range).as_chunks::<PAGE_BYTES>();
        let mut first = range.first().get();
        for run in pages.chunk_by(|a, b| is_zero(a) == is_zero(b)) {
            let end = first + to_u64(run.len());
            let pages = PageRange::between(first, end).expect("a run is not empty");
            first = end;
            if is_zero(&run[0]) {
                self.listed.push(pages);
                continue;
            }
            let content = run.as_flattened();
            self.digests.clear();
            self.digests.extend(Digest::of_each(pages, content));
            let prefix = PagesPrefix {
                range: pages,
                digest: Digest::sum(&self.digests),
                waited,
            };
            self.writer.send_pages(&prefix, content, self.patience)?;
            self.sending.note(pages, Fate::Sent(cause, &self.digests));
        }
        Ok(())
    }
}

/// Sends `ranges` as absent.
pub(super) fn list(
    writer: &mut FrameWriter,
    ranges: &[PageRange],
    patience: Patience,
) -> Result<()> {
    if ranges.is_empty() {
        return Ok(());
    }
    writer.send_with(FrameKind::Absent, patience, |payload| {
        wire::ranges_payload(ranges, payload);
    })
}

pub(crate) fn is_zero(page: &[u8; PAGE_BYTES]) -> bool {
    *page == ZERO_PAGE
}
