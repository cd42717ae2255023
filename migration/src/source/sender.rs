//! Sends pages over one connection: reads them, leaves zero pages out, keeps count.

use std::time::Instant;

use crate::absent::find_untouched;
use crate::error::Result;
use crate::link::{FrameReader, FrameWriter, Link, Patience};
use crate::page::{PAGE_BYTES, PageRange, to_u64};
use crate::source::chunk::ChunkSize;
use crate::source::sending::Sending;
use crate::source::tally::{Cause, Tally};
use crate::wire::{self, FrameKind, MAX_FRAME_RANGES};

/// A page of zeroes, to compare with.
static ZERO_PAGE: [u8; PAGE_BYTES] = [0; PAGE_BYTES];

/// One connection's way to send pages.
#[derive(Debug)]
pub(super) struct Sender<'a> {
    sending: &'a Sending,
    writer: FrameWriter,
    patience: Patience,
    content: Vec<u8>,
    zero: Vec<PageRange>,
}

impl<'a> Sender<'a> {
    pub(super) fn new(sending: &'a Sending, link: Link, patience: Patience) -> Self {
        let writer = FrameWriter::new(link);
        Self {
            sending,
            writer,
            patience,
            content: Vec::new(),
            zero: Vec::new(),
        }
    }

    /// Sends whatever is next until no page is left, then finishes the connection.
    pub(super) fn push_all(&mut self) -> Result<()> {
        self.writer.link().keep_queue_short()?;
        let mut chunk = ChunkSize::default();
        while !self.sending.has_failed() {
            let mut order = self.sending.order();
            let (run, holds_back) = (order.next_run(chunk.limits()), order.holds_back());
            drop(order);
            match run {
                Some(run) => {
                    let began = Instant::now();
                    self.send(run, Cause::Push)?;
                    chunk.learn(run.pages(), began.elapsed());
                }
                None if holds_back => self.sending.wait_quiet()?,
                None => return self.writer.link().finish_sending(),
            }
        }
        Ok(())
    }

    /// Sends the pages that come to be wanted over the same connection, until the other end
    /// finishes or the migration is over.
    pub(super) fn answer_all(&mut self) -> Result<()> {
        let mut wants = FrameReader::new(self.writer.link().clone());
        while let Some(frame) = wants.next_or_end(Patience::Endless)? {
            if frame.kind != FrameKind::Want {
                return Err(frame.into_error());
            }
            let limit = self.sending.ram.pages();
            for page in wire::decode_wants(frame.payload, limit)? {
                let page = page?;
                // What was handed out before is on its way.
                if self.sending.order().demand(page) {
                    let page = PageRange::within(page, 1, limit).expect("the page was decoded");
                    self.send(page, Cause::Demand)?;
                }
            }
        }
        Ok(())
    }

    /// Lists all pages that were never touched, so that nobody reads them.
    pub(super) fn list_untouched(&mut self) -> Result<()> {
        let (mut ranges, mut tally) = (Vec::with_capacity(MAX_FRAME_RANGES), Tally::default());
        find_untouched(&self.sending.ram, |range| {
            while let Some(run) = self.sending.order().next_within(range) {
                tally.absent(run);
                ranges.push(run);
                if ranges.len() == MAX_FRAME_RANGES {
                    list(&mut self.writer, &mut ranges, self.patience)?;
                }
            }
            Ok(())
        })?;
        list(&mut self.writer, &mut ranges, self.patience)?;
        self.sending.add(&tally);
        Ok(())
    }

    /// Sends the pages of `range`, which the order has handed out.
    fn send(&mut self, range: PageRange, cause: Cause) -> Result<()> {
        let mut tally = Tally::default();
        self.content.resize(range.bytes(), 0);
        self.sending.ram.read(range, &mut self.content);
        let (pages, _) = self.content.as_chunks::<PAGE_BYTES>();
        let mut first = range.first().get();
        for run in pages.chunk_by(|a, b| is_zero(a) == is_zero(b)) {
            let end = first + to_u64(run.len());
            let pages = PageRange::between(first, end).expect("a run is not empty");
            if is_zero(&run[0]) {
                self.zero.push(pages);
                tally.zero(pages);
            } else {
                let content = run.as_flattened();
                tally.sent(pages, content, cause);
                self.writer.send_pages(pages, content, self.patience)?;
            }
            first = end;
        }
        list(&mut self.writer, &mut self.zero, self.patience)?;
        self.sending.add(&tally);
        Ok(())
    }
}

/// Sends `ranges` as absent and empties the list.
pub(super) fn list(
    writer: &mut FrameWriter,
    ranges: &mut Vec<PageRange>,
    patience: Patience,
) -> Result<()> {
    if !ranges.is_empty() {
        writer.send_with(FrameKind::Absent, patience, |payload| {
            wire::absent_payload(ranges, payload);
        })?;
        ranges.clear();
    }
    Ok(())
}

pub(super) fn is_zero(page: &[u8; PAGE_BYTES]) -> bool {
    *page == ZERO_PAGE
}
