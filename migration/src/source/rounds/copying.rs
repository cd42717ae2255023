//! What the threads of a round share, and what each of them does.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::bitmap::PageBitmap;
use crate::digest::Digest;
use crate::error::Result;
use crate::ledger::{Ledger, LedgerSums, Version};
use crate::link::{FrameWriter, Link, Patience};
use crate::page::{PAGE_BYTES, PageRange, to_u64};
use crate::ram::RamMapping;
use crate::source::limiter::Limiter;
use crate::source::sender::{is_zero, list};
use crate::wire::{MAX_FRAME_RANGES, PagesPrefix};

/// Pages read and sent at a time: 512 KiB, which stay in the processor's cache between being read,
/// hashed and sent. Nobody waits for any of them, so they need not be fewer.
const CHUNK_PAGES: u64 = 128;

/// Memory on its way while the guest writes it: what is left of the round, and what went.
#[derive(Debug)]
pub(super) struct Copying {
    ram: RamMapping,
    queue: Mutex<Queue>,
    ledger: Mutex<Ledger>,
    limiter: Limiter,
}

/// The pages of a round that no thread has taken yet.
#[derive(Debug)]
struct Queue {
    left: PageBitmap,
    /// None is left before this one.
    next: u64,
}

impl Copying {
    pub(super) fn new(ram: RamMapping, limiter: Limiter) -> Self {
        let pages = ram.pages();
        Self {
            ram,
            queue: Mutex::new(Queue {
                left: PageBitmap::empty(pages),
                next: 0,
            }),
            ledger: Mutex::new(Ledger::new(pages)),
            limiter,
        }
    }

    pub(super) fn ram(&self) -> &RamMapping {
        &self.ram
    }

    /// Where the ledger stands.
    pub(super) fn sums(&self) -> LedgerSums {
        self.ledger().sums()
    }

    /// What went of `pages` no longer counts: they will go again. Gives those of which anything
    /// went.
    pub(super) fn forget(&self, pages: &PageBitmap) -> PageBitmap {
        let mut ledger = self.ledger();
        let mut forgotten = PageBitmap::empty(pages.pages());
        for page in pages.iter() {
            if ledger.holds(page) {
                ledger.forget(page);
                forgotten.insert(page);
            }
        }
        forgotten
    }

    /// Begins a round of `pages`.
    pub(super) fn begin(&self, pages: PageBitmap) {
        *self.queue() = Queue {
            left: pages,
            next: 0,
        };
    }

    /// Breaks the round off, and gives the pages that were not taken.
    pub(super) fn break_off(&self) -> PageBitmap {
        let pages = self.ram.pages();
        std::mem::replace(&mut self.queue().left, PageBitmap::empty(pages))
    }

    /// Takes out of `written` what is yet to be read in this round, and will be read as it is then.
    pub(super) fn excuse_unread(&self, written: &mut PageBitmap) {
        written.remove_all(&self.queue().left);
    }

    /// Keeps in `pages` what is yet to be read in this round.
    pub(super) fn retain_unread(&self, pages: &mut PageBitmap) {
        pages.retain_all(&self.queue().left);
    }

    /// Takes `range` out of the round.
    fn excuse(&self, range: PageRange) {
        self.queue().left.remove_range(range);
    }

    fn next_run(&self, max_pages: u64) -> Option<PageRange> {
        let mut queue = self.queue();
        let pages = queue.left.pages();
        let run = queue.left.next_run(queue.next, pages)?;
        let end = run.end().min(run.first().get().saturating_add(max_pages));
        let run = PageRange::between(run.first().get(), end)?;
        queue.left.remove_range(run);
        queue.next = end;
        Some(run)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's part in the rounds.
#[derive(Debug)]
pub(super) struct Copier<'a> {
    copying: &'a Copying,
    writer: FrameWriter,
    patience: Patience,
    content: Vec<u8>,
    digests: Vec<Digest>,
    listed: Vec<PageRange>,
}

impl<'a> Copier<'a> {
    pub(super) fn new(copying: &'a Copying, link: Link, patience: Patience) -> Self {
        Self {
            copying,
            writer: FrameWriter::new(link),
            patience,
            content: Vec::new(),
            digests: Vec::new(),
            listed: Vec::new(),
        }
    }

    /// Lists `range`, which holds nothing that is needed, and takes it out of the round. The list
    /// goes when it is long enough, or with [`Self::finish_list`].
    pub(super) fn list_absent(&mut self, range: PageRange) -> Result<()> {
        self.copying.excuse(range);
        self.copying.ledger().listed(range, Version::Absent);
        self.listed.push(range);
        if self.listed.len() == MAX_FRAME_RANGES {
            self.finish_list()?;
        }
        Ok(())
    }

    /// Sends what is listed and was not sent yet.
    pub(super) fn finish_list(&mut self) -> Result<()> {
        list(&mut self.writer, &self.listed, self.patience)?;
        self.listed.clear();
        Ok(())
    }

    /// Sends what is left of the round, together with others.
    pub(super) fn copy_all(&mut self) -> Result<()> {
        let max_pages = CHUNK_PAGES.min(self.copying.limiter.max_pages());
        while let Some(run) = self.copying.next_run(max_pages) {
            self.copying.limiter.wait_for(run)?;
            self.copy(run)?;
        }
        Ok(())
    }

    fn copy(&mut self, range: PageRange) -> Result<()> {
        self.content.resize(range.bytes(), 0);
        self.copying.ram.read(range, &mut self.content);
        let (pages, _) = self.content.as_chunks::<PAGE_BYTES>();
        let mut first = range.first().get();
        for run in pages.chunk_by(|a, b| is_zero(a) == is_zero(b)) {
            let end = first + to_u64(run.len());
            let pages = PageRange::between(first, end).expect("a run is not empty");
            if is_zero(&run[0]) {
                self.copying.ledger().listed(pages, Version::Zero);
                self.listed.push(pages);
            } else {
                let content = run.as_flattened();
                self.digests.clear();
                self.digests.extend(Digest::of_each(pages, content));
                let prefix = PagesPrefix {
                    range: pages,
                    digest: Digest::sum(&self.digests),
                    waited: Duration::ZERO,
                };
                self.writer.send_pages(&prefix, content, self.patience)?;
                let digests = self.digests.iter().copied();
                self.copying.ledger().content_went(pages, digests);
            }
            first = end;
        }
        self.finish_list()
    }
}
