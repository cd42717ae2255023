//! What the threads of one arrival share.

mod give_up;
mod lap;
mod rounds;

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::auth::Key;
use crate::destination::clock::{Came, FaultClock, Way};
use crate::destination::region::FaultRegion;
use crate::destination::table::{PageState, PageTable, Use};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::options::Mode;
use crate::page::{PAGE_BYTES, PageIndex, PageRange, to_usize};
use crate::stop::{Doorbell, Stop};
use crate::wire::{MAX_FRAME_PAGES, PagesPrefix};
use give_up::GivenUp;
use lap::Lap;
pub(super) use lap::{Attached, Returned};

/// A VM that is arriving: its memory, and how far it is.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) region: FaultRegion,
    pub(super) table: PageTable,
    pub(super) clock: FaultClock,
    pub(super) stop: Stop,
    /// Rung when there is another connection over which to ask for pages.
    pub(super) doorbell: Doorbell,
    /// Held shared from looking at the state of pages to having installed them, and alone while
    /// pages are given up: what the guest gave up never comes back. Who holds it touches no guest
    /// RAM.
    installing: RwLock<()>,
    streams: u16,
    /// As long as pages may come again.
    ledger: Mutex<Option<Ledger>>,
    inner: Mutex<Inner>,
    /// Signalled when anything in `inner` changes, and when the last page is there.
    changed: Condvar,
}

#[derive(Debug)]
struct Inner {
    fate: Fate,
    failure: Option<Error>,
    lap: Lap,
    returned: Option<Returned>,
    counts: Counts,
    /// Pages that came in rounds of pre-copy, each as often as it came.
    came_in_rounds: u64,
    /// Pages that came in rounds, and damaged.
    damaged: Vec<PageRange>,
    given_up: GivenUp,
    last_arrival: Instant,
}

/// Who owns the guest, as far as this end knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The source: whatever fails, it runs there.
    AtSource,
    /// The source, unless the token is on its way: if the connections are lost, it says so.
    Awaited,
    /// This end.
    Here,
}

/// How pages came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrived {
    /// As they were sent.
    Whole,
    /// Otherwise: they have to be sent again.
    Damaged,
}

/// What has arrived.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// Pages whose content came, those that came twice included.
    pub(super) received: u64,
    /// Pages listed as absent.
    pub(super) absent: u64,
    /// Pages that came although they were there.
    pub(super) duplicate: u64,
    pub(super) digest: Digest,
}

impl Counts {
    /// Pages that are here or absent.
    pub(super) fn settled(&self) -> u64 {
        self.received + self.absent - self.duplicate
    }
}

impl Attempt {
    pub(super) fn new(
        region: FaultRegion,
        streams: u16,
        mode: Mode,
        key: Option<Key>,
    ) -> Result<Self> {
        let pages = region.pages();
        Ok(Self {
            table: PageTable::new(pages),
            ledger: Mutex::new(mode.has_rounds().then(|| Ledger::new(pages))),
            region,
            clock: FaultClock::new(),
            stop: Stop::new()?,
            doorbell: Doorbell::new()?,
            installing: RwLock::new(()),
            streams,
            inner: Mutex::new(Inner {
                fate: Fate::AtSource,
                failure: None,
                lap: Lap::first(key)?,
                returned: None,
                counts: Counts::default(),
                came_in_rounds: 0,
                damaged: Vec::new(),
                given_up: GivenUp::default(),
                last_arrival: Instant::now(),
            }),
            changed: Condvar::new(),
        })
    }

    /// Waits until every page is present or absent, at most until `until`, and says whether it is.
    ///
    /// # Errors
    /// If the attempt has failed.
    pub(super) fn wait_filled(&self, until: Instant) -> Result<bool> {
        let inner = self.wait_until(until, |inner| self.is_filled(inner))?;
        Ok(self.is_filled(&inner))
    }

    /// # Errors
    /// If the attempt has failed, or its connections are lost.
    fn wait_until(
        &self,
        until: Instant,
        condition: impl Fn(&Inner) -> bool,
    ) -> Result<MutexGuard<'_, Inner>> {
        let inner =
            self.wait_in_any_lap(until, |inner| inner.lap.loss.is_some() || condition(inner))?;
        if inner.lap.loss.is_some() {
            Err(Error::Stopped)
        } else {
            Ok(inner)
        }
    }

    fn wait_in_any_lap(
        &self,
        until: Instant,
        condition: impl Fn(&Inner) -> bool,
    ) -> Result<MutexGuard<'_, Inner>> {
        let limit = until.saturating_duration_since(Instant::now());
        let (inner, _) = self
            .changed
            .wait_timeout_while(self.lock(), limit, |inner| {
                inner.failure.is_none() && !condition(inner)
            })
            .unwrap_or_else(PoisonError::into_inner);
        if inner.failure.is_some() {
            Err(Error::Stopped)
        } else {
            Ok(inner)
        }
    }

    /// Installs pages that came by this `way`, if they came as they were sent, and says whether they
    /// did.
    pub(super) fn pages_came(
        &self,
        prefix: &PagesPrefix,
        content: &[u8],
        way: Way,
    ) -> Result<Arrived> {
        let at = Instant::now();
        let range = prefix.range;
        let mut digests = [Digest::default(); MAX_FRAME_PAGES];
        for (digest, of_page) in digests.iter_mut().zip(Digest::of_each(range, content)) {
            *digest = of_page;
        }
        let digests = &digests[..to_usize(range.pages())];
        let is_damaged = Digest::sum(digests) != prefix.digest;
        if self.in_rounds() {
            return self.pages_came_in_round(range, content, (!is_damaged).then_some(digests));
        }
        if is_damaged {
            return Ok(Arrived::Damaged);
        }
        let mut counts = Counts {
            received: range.pages(),
            duplicate: range.pages(),
            ..Counts::default()
        };
        let installing = self.installing.read();
        let mut rest = Some(range);
        while let Some((run, purpose)) = rest.and_then(|rest| self.table.next_awaited(rest)) {
            let offset_pages = to_usize(run.first().get() - range.first().get());
            let offset_bytes = offset_pages * PAGE_BYTES;
            let content = &content[offset_bytes..offset_bytes + run.bytes()];
            let came = match purpose {
                Use::Install => self.install(run, content, at, prefix.waited)?,
                Use::Drop => Came::nowhere(at),
            };
            let came = came.by(way);
            for (page, &digest) in run.iter().zip(&digests[offset_pages..]) {
                if self.settled(page, self.table.set_present(page), &came) {
                    counts.duplicate -= 1;
                    counts.digest.add(digest);
                }
            }
            rest = PageRange::between(run.end(), range.end());
        }
        drop(installing);
        self.add(&counts);
        Ok(Arrived::Whole)
    }

    /// Installs pages that came `at`; one that is waited for is woken in a call of its own, so that
    /// both are measured.
    fn install(
        &self,
        run: PageRange,
        content: &[u8],
        at: Instant,
        waited: Duration,
    ) -> Result<Came> {
        let installed = if run.pages() == 1 && self.table.is_requested(run.first()) {
            self.region.install_without_waking(run.first(), content)?;
            let installed = Instant::now();
            self.region.wake(run.first())?;
            installed
        } else {
            self.region.install(run, content)?;
            Instant::now()
        };
        Ok(Came {
            waited_at_source: waited,
            installed,
            woken: Instant::now(),
            ..Came::nowhere(at)
        })
    }

    /// Pages came damaged: the source is asked for them again.
    pub(super) fn came_damaged(&self, range: PageRange) -> Result<()> {
        self.note_damaged(range)?;
        self.doorbell.ring();
        Ok(())
    }

    /// Notes pages that are all zero. Who waits for one gets it; the others are made when touched.
    pub(super) fn absent_came(&self, range: PageRange, way: Way) -> Result<()> {
        if self.in_rounds() {
            return self.absent_came_in_round(range);
        }
        let mut counts = Counts {
            absent: range.pages(),
            ..Counts::default()
        };
        let at = Instant::now();
        for page in range.iter() {
            let before = self.table.set_absent(page);
            let mut came = Came::nowhere(at).by(way);
            if before == PageState::Requested {
                self.region.install_zero(page)?;
                came.installed = Instant::now();
                came.woken = came.installed;
            }
            if self.settled(page, before, &came) {
                counts.digest.add(Digest::of_absent(page));
            } else {
                counts.duplicate += 1;
            }
        }
        self.add(&counts);
        Ok(())
    }

    /// Whether the page was awaited until now. Stops the clock of one that was requested.
    fn settled(&self, page: PageIndex, before: PageState, came: &Came) -> bool {
        if before == PageState::Requested {
            self.clock.stop(page, came);
        }
        before.is_awaited()
    }

    fn add(&self, part: &Counts) {
        let Counts {
            received,
            absent,
            duplicate,
            digest,
        } = part;
        let mut inner = self.lock();
        inner.counts.received += received;
        inner.counts.absent += absent;
        inner.counts.duplicate += duplicate;
        inner.counts.digest.add(*digest);
        inner.last_arrival = Instant::now();
        if self.is_filled(&inner) {
            self.changed.notify_all();
        }
    }

    fn is_filled(&self, inner: &Inner) -> bool {
        inner.counts.settled() == self.region.pages()
    }

    /// What has arrived so far.
    pub(super) fn counts(&self) -> Counts {
        let mut counts = self.lock().counts;
        counts.add_rounds(&self.round_sums());
        counts
    }

    /// How long no page has arrived.
    pub(super) fn idle(&self) -> Duration {
        self.lock().last_arrival.elapsed()
    }

    /// The token may come at any time.
    pub(super) fn await_token(&self) {
        self.lock().fate = Fate::Awaited;
    }

    /// Whether this is over if another VM is offered: its connections are lost, and the token had
    /// not come.
    pub(super) fn is_forsaken(&self) -> bool {
        let inner = self.lock();
        inner.fate != Fate::Here && inner.lap.loss.is_some() && inner.returned.is_none()
    }

    /// The token is here: from now on the guest is this end's.
    ///
    /// # Errors
    /// If the attempt failed before.
    pub(super) fn own_guest(&self) -> Result<()> {
        let mut inner = self.lock();
        if inner.failure.is_some() {
            return Err(Error::Stopped);
        }
        inner.fate = Fate::Here;
        Ok(())
    }

    /// Notes why the attempt failed, if this is the first failure, and stops all its threads. What
    /// fails once everything is here is only the source hanging up.
    ///
    /// A guest that is still the source's is given up: its memory is released, which frees whoever
    /// waits for a page of it, such as the restoring thread. A guest that is ours stays frozen.
    pub(super) fn fail(&self, error: Error) {
        let mut inner = self.lock();
        let is_hang_up = inner.fate == Fate::Here && self.is_filled(&inner);
        if inner.failure.is_some() || is_hang_up {
            return;
        }
        inner.failure = Some(error);
        inner.lap.end();
        if inner.fate != Fate::Here {
            // Cannot fail: the range was registered. If it did, the region would only leak.
            let _ = self.region.release();
        }
        drop(inner);
        self.changed.notify_all();
        self.stop.raise();
    }

    /// The first failure of a thread, in place of an `error` that came of it.
    pub(super) fn cause_of(&self, error: Error) -> Error {
        match error {
            Error::Stopped => self.lock().failure.take().unwrap_or(error),
            error => error,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
