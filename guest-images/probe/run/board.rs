//! What the processors tell each other: each has a desk that it alone writes to, apart from the
//! requests of the boot processor to all.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use super::damage::Damage;
use crate::pure::acpi::MOST_PROCESSORS;
use crate::pure::job::Share;
use crate::pure::pages::Corrupt;

const ABSENT: u32 = 0;
const ONLINE: u32 = 1;
const GIVEN_UP: u32 = 2;

/// The state of one processor, apart from the others' in the caches.
#[repr(align(64))]
#[derive(Debug)]
pub struct Desk {
    presence: AtomicU32,
    pages: AtomicU64,
    /// One more than the passes made; 0 if there is no work.
    passes: AtomicU64,
    longest_gap: AtomicU64,
    /// Ticks spent on the balloon.
    balloon: AtomicU64,
    digest: AtomicU64,
    answered: AtomicU32,
}

impl Desk {
    const fn new() -> Self {
        Self {
            presence: AtomicU32::new(ABSENT),
            pages: AtomicU64::new(0),
            passes: AtomicU64::new(0),
            longest_gap: AtomicU64::new(0),
            balloon: AtomicU64::new(0),
            digest: AtomicU64::new(0),
            answered: AtomicU32::new(0),
        }
    }

    /// The processor is here; returns whether it is still wanted.
    pub fn come_online(&self) -> bool {
        self.change(ONLINE)
    }

    /// Whether the processor came.
    pub fn is_online(&self) -> bool {
        self.presence.load(Ordering::Acquire) == ONLINE
    }

    /// Stops waiting for the processor; returns whether it was missing.
    pub fn give_up(&self) -> bool {
        self.change(GIVEN_UP)
    }

    fn change(&self, presence: u32) -> bool {
        let order = Ordering::AcqRel;
        self.presence
            .compare_exchange(ABSENT, presence, order, Ordering::Acquire)
            .is_ok()
    }

    /// Sets the number of pages visited and of passes made; `None` if there is no work.
    pub fn set_progress(&self, pages: u64, passes: Option<u64>) {
        self.pages.store(pages, Ordering::Relaxed);
        self.passes
            .store(passes.map_or(0, |passes| passes + 1), Ordering::Release);
    }

    /// Notes a time between two turns, in ticks.
    pub fn note_gap(&self, ticks: u64) {
        if ticks > self.longest_gap.load(Ordering::Relaxed) {
            self.longest_gap.fetch_max(ticks, Ordering::Relaxed);
        }
    }

    /// Notes time that a processor without a balloon would not have spent, in ticks.
    pub fn note_balloon(&self, ticks: u64) {
        self.balloon.fetch_add(ticks, Ordering::Relaxed);
    }

    /// Answers request number `request` with the digest of the processor's part.
    pub fn answer(&self, request: u32, digest: u64) {
        self.digest.store(digest, Ordering::Relaxed);
        self.answered.store(request, Ordering::Release);
    }
}

/// The sum of all processors' work.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Pages visited.
    pub pages: u64,
    /// Passes that every processor with work has made, if there is one.
    pub passes: Option<u64>,
    /// The longest time between two turns of any of them since the last sum, in ticks.
    pub longest_gap: u64,
    /// What all of them have spent on the balloon, in ticks.
    pub balloon: u64,
}

/// The desks, the requests, and the first damage found.
#[derive(Debug)]
pub struct Board {
    /// One for each processor number.
    pub desks: [Desk; MOST_PROCESSORS],
    started: AtomicUsize,
    request: AtomicU32,
    finish: AtomicBool,
    damage: Damage,
}

/// The board of this machine.
pub static BOARD: Board = Board {
    desks: [const { Desk::new() }; MOST_PROCESSORS],
    started: AtomicUsize::new(0),
    request: AtomicU32::new(0),
    finish: AtomicBool::new(false),
    damage: Damage::new(),
};

impl Board {
    /// Lets the processors that came begin: those at the first `started` desks, of which the first is
    /// the boot processor's, apart from the ones given up.
    pub fn begin(&self, started: usize) {
        self.desks[0].change(ONLINE);
        self.started.store(started, Ordering::Release);
    }

    /// Whether the processors may begin.
    pub fn has_begun(&self) -> bool {
        self.started.load(Ordering::Acquire) > 0
    }

    /// The share of processor `number`, which came, among those that came.
    pub fn share(&self, number: usize) -> Share {
        let before = self
            .desks
            .iter()
            .take(number)
            .filter(|desk| desk.is_online())
            .count();
        Share {
            number: before as u64,
            of: self.online().count() as u64,
        }
    }

    /// Asks every processor for the digest of its part.
    pub fn request_digest(&self) -> u32 {
        self.request.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Asks every processor for the digest of its part, as the last thing it does.
    pub fn request_finish(&self) -> u32 {
        self.finish.store(true, Ordering::Release);
        self.request_digest()
    }

    /// The newest request, and whether it is the last one.
    pub fn request(&self) -> (u32, bool) {
        (
            self.request.load(Ordering::Acquire),
            self.finish.load(Ordering::Acquire),
        )
    }

    /// The digest of the working set, once all processors have answered `request`.
    pub fn digest(&self, request: u32) -> Option<u64> {
        self.online().try_fold(0u64, |sum, desk| {
            let answered = desk.answered.load(Ordering::Acquire) == request;
            answered.then(|| sum.wrapping_add(desk.digest.load(Ordering::Relaxed)))
        })
    }

    /// How many passes every processor with work has made, if there is one.
    pub fn passes(&self) -> Option<u64> {
        let passes = self
            .online()
            .map(|desk| desk.passes.load(Ordering::Acquire));
        passes.filter_map(|passes| passes.checked_sub(1)).min()
    }

    /// Sums up, and starts to look for the longest gap anew.
    pub fn progress(&self) -> Progress {
        Progress {
            pages: self
                .online()
                .map(|desk| desk.pages.load(Ordering::Relaxed))
                .sum(),
            passes: self.passes(),
            longest_gap: self
                .online()
                .map(|desk| desk.longest_gap.swap(0, Ordering::Relaxed))
                .max()
                .unwrap_or(0),
            balloon: self
                .online()
                .map(|desk| desk.balloon.load(Ordering::Relaxed))
                .sum(),
        }
    }

    /// Notes a wrong word; the first one counts.
    pub fn report_damage(&self, corrupt: Corrupt) {
        self.damage.report(corrupt);
    }

    /// The first wrong word, once.
    pub fn take_damage(&self) -> Option<Corrupt> {
        self.damage.take()
    }

    fn online(&self) -> impl Iterator<Item = &Desk> {
        let started = self.started.load(Ordering::Acquire);
        self.desks
            .iter()
            .take(started)
            .filter(|desk| desk.is_online())
    }
}
