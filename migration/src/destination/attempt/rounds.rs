//! Pages that arrive while the guest still runs at the source, and may arrive again.

use std::sync::{MutexGuard, PoisonError};
use std::time::Instant;

use crate::bitmap::PageBitmap;
use crate::destination::attempt::{Arrived, Attempt, Counts, Inner};
use crate::destination::table::PageState;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::ledger::{Ledger, LedgerSums, Version};
use crate::page::{PAGE_BYTES, PageRange, to_usize};

/// Most ranges that may come damaged before the source is told. Our choice: a network that damages
/// more is not to be moved over.
const MAX_DAMAGED_RANGES: usize = 4096;

impl Attempt {
    /// Whether pages that come may come again: until the state of the VM is here.
    pub(super) fn in_rounds(&self) -> bool {
        self.ledger().is_some()
    }

    /// Installs pages that came in a round; the last version of each stays. Without `digests` they
    /// came damaged, which is told when the round is over.
    pub(super) fn pages_came_in_round(
        &self,
        range: PageRange,
        content: &[u8],
        digests: Option<&[Digest]>,
    ) -> Result<Arrived> {
        let Some(digests) = digests else {
            self.note_damaged(range)?;
            self.came(range.pages());
            return Ok(Arrived::Whole);
        };
        let mut rest = Some(range);
        while let Some((run, state)) = rest.map(|rest| self.table.first_run(rest)) {
            let offset_pages = run.first().get() - range.first().get();
            let offset_bytes = to_usize(offset_pages) * PAGE_BYTES;
            let content = &content[offset_bytes..offset_bytes + run.bytes()];
            match state {
                PageState::Present => self.region.overwrite(run, content),
                _ => self.region.install(run, content)?,
            }
            for page in run.iter() {
                self.table.set(page, PageState::Present);
            }
            rest = PageRange::between(run.end(), range.end());
        }
        if let Some(ledger) = self.ledger().as_mut() {
            ledger.content_went(range, digests.iter().copied());
        }
        self.came(range.pages());
        Ok(Arrived::Whole)
    }

    pub(super) fn note_damaged(&self, range: PageRange) -> Result<()> {
        let mut inner = self.lock();
        if inner.damaged.len() == MAX_DAMAGED_RANGES {
            let pages = range.pages();
            return Err(Error::Damaged { pages });
        }
        inner.damaged.push(range);
        Ok(())
    }

    /// The pages that came damaged since the last call.
    pub(in crate::destination) fn take_damaged(&self) -> Vec<PageRange> {
        std::mem::take(&mut self.lock().damaged)
    }

    /// Notes pages that turned out to be all zero in a round.
    pub(super) fn absent_came_in_round(&self, range: PageRange) -> Result<()> {
        let mut rest = Some(range);
        while let Some((run, state)) = rest.map(|rest| self.table.first_run(rest)) {
            if state == PageState::Present {
                self.region.discard(run)?;
            }
            for page in run.iter() {
                self.table.set(page, PageState::Absent);
            }
            rest = PageRange::between(run.end(), range.end());
        }
        if let Some(ledger) = self.ledger().as_mut() {
            ledger.listed(range, Version::Absent);
        }
        self.came(range.pages());
        Ok(())
    }

    /// Makes pages missing whose last version is not the one that came.
    pub(in crate::destination) fn discard(&self, pages: &PageBitmap) -> Result<()> {
        let mut at = 0;
        while let Some(run) = pages.next_run(at, pages.pages()) {
            self.region.discard(run)?;
            for page in run.iter() {
                self.table.set(page, PageState::Missing);
            }
            if let Some(ledger) = self.ledger().as_mut() {
                run.iter().for_each(|page| ledger.forget(page));
            }
            at = run.end();
        }
        Ok(())
    }

    /// Waits until that many pages came in rounds, at most until `until`, and says whether they did.
    ///
    /// # Errors
    /// If the attempt has failed.
    pub(in crate::destination) fn wait_came(&self, pages: u64, until: Instant) -> Result<bool> {
        let came = |inner: &Inner| inner.came_in_rounds >= pages;
        Ok(came(&*self.wait_until(until, came)?))
    }

    /// From now on each page comes once: what came in rounds counts as it stands.
    pub(in crate::destination) fn end_rounds(&self) {
        let ledger = self.ledger().take();
        if let Some(ledger) = ledger {
            self.lock().counts.add_rounds(&ledger.sums());
        }
    }

    pub(super) fn round_sums(&self) -> LedgerSums {
        let ledger = self.ledger();
        ledger
            .as_ref()
            .map_or_else(LedgerSums::default, Ledger::sums)
    }

    fn came(&self, pages: u64) {
        let mut inner = self.lock();
        inner.came_in_rounds += pages;
        inner.last_arrival = Instant::now();
        self.changed.notify_all();
    }

    fn ledger(&self) -> MutexGuard<'_, Option<Ledger>> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// Adds what came in rounds: contents that were superseded are duplicates.
    pub(super) fn add_rounds(&mut self, sums: &LedgerSums) {
        let LedgerSums {
            content,
            zero,
            absent,
            superseded,
            went: _,
            digest,
        } = sums;
        self.received += content + superseded;
        self.absent += zero + absent;
        self.duplicate += superseded;
        self.digest.add(*digest);
    }
}
