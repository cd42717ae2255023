//! What the threads of one arrival share.

mod rounds;

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::destination::clock::FaultClock;
use crate::destination::region::FaultRegion;
use crate::destination::table::{PageState, PageTable};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::link::Link;
use crate::options::Mode;
use crate::page::{PAGE_BYTES, PageIndex, PageRange, to_usize};
use crate::stop::Stop;
use crate::wire::Role;

/// A VM that is arriving: its memory, and how far it is.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) region: FaultRegion,
    pub(super) table: PageTable,
    pub(super) clock: FaultClock,
    pub(super) stop: Stop,
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
    /// The connection over which to ask for pages, once it is attached.
    urgent: Option<Link>,
    attached_streams: u16,
    counts: Counts,
    /// Pages that came in rounds of pre-copy, each as often as it came.
    came_in_rounds: u64,
    last_arrival: Instant,
}

/// Who owns the guest, as far as this end knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The source: whatever fails, it runs there.
    AtSource,
    /// This end.
    Here,
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
    pub(super) fn new(region: FaultRegion, streams: u16, mode: Mode) -> Result<Self> {
        let pages = region.pages();
        Ok(Self {
            table: PageTable::new(pages),
            ledger: Mutex::new(mode.has_rounds().then(|| Ledger::new(pages))),
            region,
            clock: FaultClock::new(),
            stop: Stop::new()?,
            streams,
            inner: Mutex::new(Inner {
                fate: Fate::AtSource,
                failure: None,
                urgent: None,
                attached_streams: 0,
                counts: Counts::default(),
                came_in_rounds: 0,
                last_arrival: Instant::now(),
            }),
            changed: Condvar::new(),
        })
    }

    /// Takes a page connection in; `false` if there is no need for another of its kind.
    pub(super) fn attach(&self, role: Role, link: &Link) -> bool {
        let mut inner = self.lock();
        let needed = match role {
            Role::Urgent => inner.urgent.is_none(),
            Role::Background => inner.attached_streams < self.streams,
        };
        match role {
            _ if !needed => {}
            Role::Urgent => inner.urgent = Some(link.clone()),
            Role::Background => inner.attached_streams += 1,
        }
        self.changed.notify_all();
        needed
    }

    /// Waits until all page connections are attached and gives the urgent one; `None` if that does
    /// not happen before `until`.
    ///
    /// # Errors
    /// If the attempt has failed.
    pub(super) fn wait_attached(&self, until: Instant) -> Result<Option<Link>> {
        let attached = |inner: &Inner| inner.attached_streams == self.streams;
        let inner = self.wait_until(until, |inner| attached(inner) && inner.urgent.is_some())?;
        Ok(inner.urgent.clone().filter(|_| attached(&inner)))
    }

    /// Waits until every page is present or absent, at most until `until`, and says whether it is.
    ///
    /// # Errors
    /// If the attempt has failed.
    pub(super) fn wait_filled(&self, until: Instant) -> Result<bool> {
        let inner = self.wait_until(until, |inner| self.is_filled(inner))?;
        Ok(self.is_filled(&inner))
    }

    fn wait_until(
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

    /// Installs pages that came.
    pub(super) fn pages_came(&self, range: PageRange, content: &[u8]) -> Result<()> {
        if self.in_rounds() {
            return self.pages_came_in_round(range, content);
        }
        let mut counts = Counts {
            received: range.pages(),
            ..Counts::default()
        };
        counts.digest.add_pages(range, content);
        let mut installed = 0;
        let mut rest = Some(range);
        while let Some(run) = rest.and_then(|rest| self.table.next_awaited(rest)) {
            let offset_pages = run.first().get() - range.first().get();
            let offset_bytes = to_usize(offset_pages) * PAGE_BYTES;
            self.region
                .install(run, &content[offset_bytes..offset_bytes + run.bytes()])?;
            for page in run.iter() {
                installed += self.settled(page, self.table.set_present(page));
            }
            rest = PageRange::between(run.end(), range.end());
        }
        counts.duplicate = range.pages() - installed;
        self.add(&counts);
        Ok(())
    }

    /// Notes pages that are all zero. Who waits for one gets it; the others are made when touched.
    pub(super) fn absent_came(&self, range: PageRange) -> Result<()> {
        if self.in_rounds() {
            return self.absent_came_in_round(range);
        }
        let mut counts = Counts {
            absent: range.pages(),
            ..Counts::default()
        };
        counts.digest.add_absent(range);
        for page in range.iter() {
            let before = self.table.set_absent(page);
            if before == PageState::Requested {
                self.region.install_zero(page)?;
            }
            counts.duplicate += 1 - self.settled(page, before);
        }
        self.add(&counts);
        Ok(())
    }

    /// 1 if the page was awaited until now, else 0. Stops the clock of one that was requested.
    fn settled(&self, page: PageIndex, before: PageState) -> u64 {
        if before == PageState::Requested {
            self.clock.stop(page);
        }
        u64::from(before.is_awaited())
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
        if inner.fate == Fate::AtSource {
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
