//! The memory of a guest that is being resumed.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::bitmap::PageBitmap;
use crate::destination::{FaultRegion, GivesUp, Stage};
use crate::error::{Error, Result};
use crate::order::SendOrder;
use crate::page::{PAGE_BYTES, PageIndex, PageRange, to_usize};
use crate::resume::ahead::Ahead;
use crate::resume::faults::FaultLog;
use crate::resume::learning::{Neighbourhood, QUIET, Reach, WINDOW, ahead, is_huge, plan};
use crate::resume::{Prefetch, Resumed};
use crate::snapshot::StoredMemory;
use crate::stop::{Stop, Woken, sleep};

/// What is here, what is to come, and what must not come any more.
#[derive(Debug)]
pub(super) struct Inflow {
    pub(super) region: FaultRegion,
    stored: Arc<StoredMemory>,
    neighbourhood: Neighbourhood,
    /// Who is given pages by it brings them.
    order: Mutex<SendOrder>,
    /// Pages that the guest gave up, whether they were here or not: they are made of zeroes when they
    /// are touched. Held shared from looking at it to having installed, and alone while pages are
    /// given up. Who holds it touches no guest RAM.
    given_up: RwLock<PageBitmap>,
    progress: Mutex<Progress>,
    /// Signalled when the guest runs, when the last page is here, and at the end.
    changed: Condvar,
    pub(super) stop: Stop,
    /// Raised when nothing is to be held back any longer.
    haste: Stop,
}

#[derive(Debug)]
struct Progress {
    /// Stored pages that are not here yet.
    left: u64,
    ahead: Ahead,
    faults: FaultLog,
    /// When the guest began to run.
    runs: Option<Instant>,
    /// Whether the guest is past the point from which it runs here or nowhere.
    is_owned: bool,
    failure: Option<Error>,
    has_failed: bool,
    /// Whether no thread is to go on.
    has_ended: bool,
}

/// Whether pages were found to be brought.
enum Next {
    Pages,
    HeldBack,
    Nothing,
}

impl Inflow {
    /// All pages of `stored` are to come to `region`, as `prefetch` says.
    ///
    /// # Errors
    /// If the kernel has no file descriptor left.
    pub(super) fn new(
        region: FaultRegion,
        stored: Arc<StoredMemory>,
        prefetch: &Prefetch,
        haste: Stop,
    ) -> Result<Self> {
        let present = stored.present();
        let neighbourhood = Neighbourhood {
            pages: stored.pages(),
            reach: match prefetch {
                Prefetch::Nothing => Reach::Alone,
                Prefetch::Around | Prefetch::Learned(_) if region.moves() => Reach::Huge,
                Prefetch::Around | Prefetch::Learned(_) => Reach::Near,
            },
        };
        let set = prefetch.set();
        let nothing = || PageBitmap::empty(stored.pages());
        let first = set
            .filter(|set| !set.is_empty())
            .map(|set| ahead(set, present, neighbourhood));
        let (plan, recency) = plan(prefetch, first.as_ref());
        Ok(Self {
            neighbourhood,
            order: Mutex::new(SendOrder::new(present.clone(), plan, Some(&recency))),
            given_up: RwLock::new(nothing()),
            progress: Mutex::new(Progress {
                left: present.count(),
                ahead: first.map_or_else(Ahead::default, Ahead::new),
                faults: FaultLog::new(set.filter(|set| set.may_learn()).map(|_| nothing())),
                runs: None,
                is_owned: false,
                failure: None,
                has_failed: false,
                has_ended: false,
            }),
            changed: Condvar::new(),
            stop: Stop::new()?,
            haste,
            region,
            stored,
        })
    }

    /// Brings all pages that nobody waits for, until there are none left. It begins when the guest runs:
    /// before, it would only be in the way of who restores the state.
    ///
    /// # Errors
    /// If they cannot be read or installed.
    pub(super) fn fill(&self) -> Result<()> {
        self.wait_running();
        let mut stage = Stage::new()?;
        let mut runs = Vec::new();
        while !self.has_ended() {
            match self.next(&mut runs) {
                Next::Pages => self.bring(&runs, &mut stage)?,
                Next::HeldBack => self.wait_quiet()?,
                Next::Nothing => break,
            }
        }
        Ok(())
    }

    fn next(&self, runs: &mut Vec<PageRange>) -> Next {
        runs.clear();
        let mut order = lock(&self.order);
        if order.next_around(|page| self.neighbourhood_of(page), runs) {
            Next::Pages
        } else if order.holds_back() {
            Next::HeldBack
        } else {
            Next::Nothing
        }
    }

    /// Waits as long as pages are held back for demands alone.
    fn wait_quiet(&self) -> Result<()> {
        let faults = lock(&self.order).faults();
        let is_hurried = sleep(&self.haste, Instant::now() + QUIET)? == Woken::Stopped;
        let progress = lock(&self.progress);
        let ran = progress.runs.map_or(Duration::ZERO, |runs| runs.elapsed());
        let is_learned = progress.faults.touched().is_some() && ran >= WINDOW;
        drop(progress);
        let mut order = lock(&self.order);
        if is_hurried || is_learned || ran >= QUIET && order.faults() == faults {
            order.drain();
        }
        Ok(())
    }

    /// The pages that come with `page`, which is stored.
    fn neighbourhood_of(&self, page: PageIndex) -> PageRange {
        self.neighbourhood.of(page, self.stored.present())
    }

    /// Serves somebody who waits for `page`; gives whether anything was to be brought for it, which
    /// it is not if it is being brought already.
    ///
    /// # Errors
    /// If it cannot be read or installed.
    pub(super) fn serve(
        &self,
        page: PageIndex,
        runs: &mut Vec<PageRange>,
        stage: &mut Stage,
    ) -> Result<Served> {
        let is_zero = !self.stored.present().contains(page) || self.is_given_up(page);
        if is_zero {
            self.region.install_zero(page)?;
            return Ok(Served::Zero);
        }
        runs.clear();
        let around = self.neighbourhood_of(page);
        if !lock(&self.order).demand_around(page, around, runs) {
            return Ok(Served::Underway);
        }
        self.bring(runs, stage)?;
        Ok(Served::Brought)
    }

    fn is_given_up(&self, page: PageIndex) -> bool {
        let given_up = self.given_up.read();
        given_up
            .unwrap_or_else(PoisonError::into_inner)
            .contains(page)
    }

    /// Reads the pages of `runs`, which the order had handed out, and installs them.
    fn bring(&self, runs: &[PageRange], stage: &mut Stage) -> Result<()> {
        for &run in runs {
            let content = stage.pages_mut(run.pages());
            self.stored.read(run, content).map_err(Box::new)?;
            self.install(run, stage)?;
            self.note_here(run);
        }
        Ok(())
    }

    /// Installs what lies in `stage`, but for what the guest gave up.
    fn install(&self, run: PageRange, stage: &mut Stage) -> Result<()> {
        let given_up = self.given_up.read();
        let given_up = given_up.unwrap_or_else(PoisonError::into_inner);
        let mut at = run.first().get();
        if given_up.next_run(at, run.end()).is_none() && is_huge(run) && self.region.moves() {
            return self.region.move_in(run, stage);
        }
        let content = stage.pages_mut(run.pages());
        while at < run.end() {
            let gone = given_up.next_run(at, run.end());
            let end = gone.map_or(run.end(), |gone| gone.first().get());
            if let Some(kept) = PageRange::between(at, end) {
                let offset = to_usize(at - run.first().get()) * PAGE_BYTES;
                self.region
                    .install(kept, &content[offset..offset + kept.bytes()])?;
            }
            at = gone.map_or(run.end(), PageRange::end);
        }
        Ok(())
    }

    fn note_here(&self, run: PageRange) {
        let mut progress = lock(&self.progress);
        progress.left -= run.pages();
        progress.ahead.came(run);
        if progress.left == 0 {
            self.changed.notify_all();
            self.haste.raise();
        }
    }

    /// Notes how a fault was served.
    pub(super) fn note_fault(&self, page: PageIndex, latency: Option<Duration>) {
        let mut progress = lock(&self.progress);
        let is_early = progress.runs.is_none_or(|runs| runs.elapsed() <= WINDOW);
        progress.faults.note(page, latency, is_early);
    }

    /// The guest runs here or nowhere from now on.
    ///
    /// # Errors
    /// If something has failed.
    pub(super) fn own_guest(&self) -> Result<()> {
        let mut progress = lock(&self.progress);
        if progress.has_failed {
            return Err(Error::Stopped);
        }
        progress.is_owned = true;
        Ok(())
    }

    /// The guest was started.
    pub(super) fn guest_runs(&self) {
        lock(&self.progress).runs = Some(Instant::now());
        self.changed.notify_all();
    }

    /// Waits until the guest runs, or never will.
    fn wait_running(&self) {
        let progress = self
            .changed
            .wait_while(lock(&self.progress), |progress| {
                progress.runs.is_none() && !progress.has_ended
            })
            .unwrap_or_else(PoisonError::into_inner);
        drop(progress);
    }

    /// Waits until all memory is here, and makes it the guest's alone.
    ///
    /// # Errors
    /// If something failed.
    pub(super) fn wait_filled(&self) -> Result<()> {
        let progress = self
            .changed
            .wait_while(lock(&self.progress), |progress| {
                progress.left > 0 && !progress.has_failed
            })
            .unwrap_or_else(PoisonError::into_inner);
        if progress.left > 0 {
            return Err(Error::Stopped);
        }
        drop(progress);
        self.region.release()
    }

    /// Notes why it failed, if this is the first failure. A guest that does not run yet is given up:
    /// its memory is released, which frees whoever waits for a page of it, such as the restoring
    /// thread. A guest that runs stands still.
    pub(super) fn fail(&self, error: Error) {
        let mut progress = lock(&self.progress);
        if !progress.has_failed {
            progress.failure = Some(error);
            progress.has_failed = true;
        }
        if !progress.is_owned {
            // Cannot fail: the range was registered. If it did, the region would only leak.
            let _ = self.region.release();
        }
        drop(progress);
        self.end();
    }

    /// The first failure of a thread, in place of an `error` that came of it.
    pub(super) fn cause_of(&self, error: Error) -> Error {
        let failure = lock(&self.progress).failure.take();
        failure.unwrap_or(error)
    }

    /// Has all threads end.
    pub(super) fn end(&self) {
        lock(&self.progress).has_ended = true;
        self.changed.notify_all();
        self.stop.raise();
        self.haste.raise();
    }

    fn has_ended(&self) -> bool {
        lock(&self.progress).has_ended
    }

    /// The account, once all memory is here; `began` is when the guest did.
    pub(super) fn account(&self, began: Instant, prefetch: Prefetch) -> Resumed {
        let progress = lock(&self.progress);
        let after = |at: Instant| at.saturating_duration_since(began);
        let learned = match (prefetch, progress.faults.touched()) {
            (Prefetch::Learned(mut set), Some(touched)) => {
                set.learn(touched);
                Some(set)
            }
            _ => None,
        };
        Resumed {
            faults: progress.faults.count(),
            latency_us: progress.faults.latency().into(),
            prefetch_pages: progress.ahead.pages(),
            prefetch: progress.ahead.all_here().map(after),
            fill: began.elapsed(),
            learned,
        }
    }
}

/// How a fault was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Served {
    /// Its page was made of zeroes.
    Zero,
    /// Its page was being brought.
    Underway,
    /// Its page was brought.
    Brought,
}

impl GivesUp for Inflow {
    fn give_up(&self, pages: PageRange) -> Result<()> {
        let mut given_up = self
            .given_up
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        given_up.insert_range(pages);
        self.region.discard(pages)?;
        // Who waits for a page that will not be installed asks again, and gets one of zeroes.
        self.region.wake_all(pages)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
