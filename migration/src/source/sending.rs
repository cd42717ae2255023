//! What the threads of a source share while they send its memory.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::absent::find_untouched;
use crate::bitmap::PageBitmap;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::options::SourceOptions;
use crate::order::SendOrder;
use crate::page::{PageRange, ranges_of};
use crate::ram::FrozenRam;
use crate::source::limiter::Limiter;
use crate::source::rounds::Rest;
use crate::source::sender::{Part, is_zero};
use crate::source::tally::{Cause, Tally};
use crate::stop::Stop;

/// The memory on its way in one lap: what is left to send, what was sent, and the first thing that
/// failed.
#[derive(Debug)]
pub(super) struct Sending {
    order: Mutex<SendOrder>,
    counts: Mutex<Counts>,
    /// Signalled when the last page is done or something fails.
    changed: Condvar,
    failure: Mutex<Option<Error>>,
    has_failed: AtomicBool,
    is_over: AtomicBool,
    stop: Stop,
    pub(super) limiter: Limiter,
    /// How long without a fault until nothing is held back any more.
    drain_after: Duration,
    /// Whether the link carries more than one connection keeps pace with.
    is_fast: AtomicBool,
}

/// What a single connection carries without a doubt. Our choice: a gigabit link with some to spare. On
/// a slow link more of them only have their runs wait for each other.
const SINGLE_BYTES_PER_S: u64 = 160 << 20;

/// What went, in this lap and before.
#[derive(Debug)]
struct Counts {
    tally: Tally,
    /// The pages in `tally`: what goes again must not be counted twice.
    counted: PageBitmap,
    /// Those of them that count as absent whatever they hold here: the guest gave them up at the
    /// other end, or named them as free before.
    given_up: PageBitmap,
    /// Pages of this lap that have not gone yet.
    left: u64,
}

/// What became of pages.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate<'a> {
    /// Their content went; these are the digests of the pages.
    Sent(Cause, &'a [Digest]),
    /// They were found to be all zero, and listed.
    Zero,
    /// They were never touched, and listed.
    Absent,
    /// The guest gave them up at the other end; they are listed, whatever they hold here.
    GivenUp,
}

impl Sending {
    /// Memory of which `rest` is left.
    pub(super) fn new(rest: Rest, options: &SourceOptions, stop: Stop) -> Self {
        let Rest {
            unsent,
            done,
            recency,
            hinted,
        } = rest;
        let mut counted = PageBitmap::full(unsent.pages());
        counted.remove_all(&unsent);
        let counts = Counts {
            tally: done,
            counted,
            given_up: hinted,
            left: unsent.count(),
        };
        let order = SendOrder::new(unsent, options.plan(), Some(&recency));
        Self::begin(order, counts, options, stop)
    }

    /// The next lap, in which the `missing` pages of `ram` go, some of them again.
    ///
    /// # Errors
    /// If the page table of this process cannot be read.
    pub(super) fn next_lap(
        self,
        ram: &FrozenRam,
        missing: PageBitmap,
        options: &SourceOptions,
        stop: Stop,
    ) -> Result<Self> {
        let mut counts = self
            .counts
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        counts.settle(ram, &missing)?;
        counts.left = missing.count();
        let order = SendOrder::new(missing, options.plan(), None);
        Ok(Self::begin(order, counts, options, stop))
    }

    fn begin(order: SendOrder, counts: Counts, options: &SourceOptions, stop: Stop) -> Self {
        Self {
            order: Mutex::new(order),
            counts: Mutex::new(counts),
            changed: Condvar::new(),
            failure: Mutex::default(),
            has_failed: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            limiter: Limiter::new(options.bandwidth, stop.clone()),
            stop,
            drain_after: options.drain_after,
            is_fast: AtomicBool::new(false),
        }
    }

    /// The order, for as short a time as possible: an urgent page may be waiting for it.
    pub(super) fn order(&self) -> MutexGuard<'_, SendOrder> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds a background connection up as long as pages are held back for demands alone.
    ///
    /// # Errors
    /// If one of the threads failed.
    pub(super) fn wait_quiet(&self) -> Result<()> {
        let faults = self.order().faults();
        let is_done = self.wait_done(self.drain_after)?;
        let mut order = self.order();
        if is_done || order.faults() == faults {
            order.drain();
        }
        Ok(())
    }

    /// The link carries so much, as far as the connections that push can tell.
    pub(super) fn note_rate(&self, bytes_per_s: u64) {
        let is_fast = outruns_one(bytes_per_s, self.is_fast());
        if self.is_fast.swap(is_fast, Ordering::AcqRel) != is_fast {
            self.wake();
        }
    }

    /// Whether it carries more than one connection keeps pace with.
    pub(super) fn is_fast(&self) -> bool {
        self.is_fast.load(Ordering::Acquire)
    }

    /// Whether a connection with this part is to push.
    pub(super) fn needs(&self, part: Part) -> bool {
        part != Part::Further || self.is_fast()
    }

    /// Holds a connection up that is not needed, at most until the last page was sent, something
    /// fails, or the lap [ends](Self::end).
    pub(super) fn wait_needed(&self, part: Part) {
        if self.needs(part) {
            return;
        }
        let is_idle = |counts: &mut Counts| {
            let is_over = self.has_failed() || self.is_over.load(Ordering::Acquire);
            counts.left > 0 && !self.needs(part) && !is_over
        };
        drop(self.changed.wait_while(self.counts(), is_idle));
    }

    /// Ends whatever the threads of this lap are at.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
        self.stop.raise();
        self.wake();
    }

    /// Wakes who waits. Who is about to has the lock, or will see what has changed.
    fn wake(&self) {
        drop(self.counts());
        self.changed.notify_all();
    }

    /// What was sent so far.
    pub(super) fn tally(&self) -> Tally {
        self.counts().tally
    }

    /// The pages that were given up at the other end before they were sent, or named as free here.
    pub(super) fn given_up(&self) -> Vec<PageRange> {
        ranges_of(self.counts().given_up.iter())
    }

    /// The pages of `range` that never went. Those that did count with the content they had, even if
    /// they were lost on their way.
    pub(super) fn never_sent(&self, range: PageRange) -> Vec<PageRange> {
        let counts = self.counts();
        ranges_of(range.iter().filter(|&page| !counts.counted.contains(page)))
    }

    /// Notes what became of `range`, which the order had handed out.
    pub(super) fn note(&self, range: PageRange, fate: Fate<'_>) {
        let mut counts = self.counts();
        counts.note(range, fate);
        if !matches!(fate, Fate::Sent(Cause::Again, _)) {
            counts.left -= range.pages();
        }
        if counts.left == 0 {
            self.changed.notify_all();
        }
    }

    /// Waits until every page was sent or listed, at most for `limit`, and says whether it was.
    ///
    /// # Errors
    /// If one of the threads failed.
    pub(super) fn wait_done(&self, limit: Duration) -> Result<bool> {
        let unfinished = |counts: &mut Counts| counts.left > 0 && !self.has_failed();
        let (counts, _) = self
            .changed
            .wait_timeout_while(self.counts(), limit, unfinished)
            .unwrap_or_else(PoisonError::into_inner);
        let done = counts.left == 0;
        if done || !self.has_failed() {
            Ok(done)
        } else {
            Err(Error::Stopped)
        }
    }

    /// Notes why one of the threads failed, if it is the first, and stops all of them. What fails
    /// once every page was sent is only the other end hanging up.
    pub(super) fn fail(&self, error: Error) {
        if matches!(error, Error::Stopped) {
            return;
        }
        let counts = self.counts();
        if counts.left == 0 {
            return;
        }
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(error);
        self.has_failed.store(true, Ordering::Release);
        drop(counts);
        self.changed.notify_all();
        self.stop.raise();
    }

    /// Whether the threads are to end.
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }

    /// The first failure of a thread, in place of an `error` that came of it.
    pub(super) fn cause_of(&self, error: Error) -> Error {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        match error {
            Error::Stopped => failure.take().unwrap_or(error),
            error => error,
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a link that carries so much needs more than one connection. A rate near the bound must not
/// have them come and go: what `was_fast` is so until it is a quarter slower.
fn outruns_one(bytes_per_s: u64, was_fast: bool) -> bool {
    let slack = if was_fast { SINGLE_BYTES_PER_S / 4 } else { 0 };
    bytes_per_s > SINGLE_BYTES_PER_S - slack
}

impl Counts {
    fn note(&mut self, range: PageRange, fate: Fate<'_>) {
        if let Fate::Sent(Cause::Push, _) = fate {
            self.tally.largest_push = self.tally.largest_push.max(range.pages());
        }
        for (number, page) in range.iter().enumerate() {
            let is_first = self.counted.insert(page);
            match (fate, is_first) {
                (Fate::Sent(cause, digests), true) => self.tally.sent(cause, digests[number]),
                (Fate::Sent(cause, _), false) => self.tally.sent_again(cause),
                (Fate::Zero, true) => {
                    self.tally.zero += 1;
                    self.tally.digest.add(Digest::of_absent(page));
                }
                (Fate::Absent, true) => {
                    self.tally.absent += 1;
                    self.tally.digest.add(Digest::of_absent(page));
                }
                (Fate::GivenUp, true) => {
                    self.given_up.insert(page);
                    self.tally.absent += 1;
                    self.tally.digest.add(Digest::of_absent(page));
                }
                (Fate::Zero | Fate::Absent | Fate::GivenUp, false) => {}
            }
        }
    }

    /// Counts the pages that arrived although their sending failed half-way: all but the `missing`.
    fn settle(&mut self, ram: &FrozenRam, missing: &PageBitmap) -> Result<()> {
        let mut uncounted = PageBitmap::full(ram.pages());
        uncounted.remove_all(&self.counted);
        uncounted.remove_all(missing);
        find_untouched(ram.mapping(), |range| {
            let mut at = range.first().get();
            while let Some(run) = uncounted.next_run(at, range.end()) {
                self.note(run, Fate::Absent);
                at = run.end();
            }
            uncounted.remove_range(range);
            Ok(())
        })?;
        for page in uncounted.iter() {
            let range = PageRange::within(page, 1, ram.pages()).expect("the page is in the set");
            let content = ram.content(range).first_chunk();
            let content = content.expect("a range is not empty");
            if is_zero(content) {
                self.note(range, Fate::Zero);
            } else {
                let digest = Digest::of_page(page, content);
                self.note(range, Fate::Sent(Cause::Push, &[digest]));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_connection_is_enough_for_a_gigabit_and_a_rate_near_the_bound_changes_nothing() {
        assert!(!outruns_one(120_000_000, true));
        assert!(outruns_one(300_000_000, false));
        for was_fast in [false, true] {
            assert_eq!(outruns_one(SINGLE_BYTES_PER_S / 8 * 7, was_fast), was_fast);
        }
    }
}
