//! Guests that name free pages before they are moved: those need not arrive, every other one must.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use migration::{
    CancelToken, DestinationOptions, FrozenRam, Hints, MachineError, Mode, Offer, Outcome,
    PAGE_BYTES, PageBitmap, PageIndex, PageRange, Progress, RamMapping, Report, Result,
    SourceOptions, SourcePhase, SourceVm, Streams, Verify, migrate,
};

use crate::cutter::Cutter;
use crate::machine::{Call, FakeSource, Waiting, can_receive};
use crate::memory::{Memory, Page, content};

/// 16 MiB.
const PAGES: u64 = 1 << 12;

/// Pages from here on are free, the guest says.
const FREE: u64 = 1000;

/// Pages that a busy guest names together.
const BLOCK_PAGES: u64 = 32;
const BLOCKS: u64 = (PAGES - FREE) / BLOCK_PAGES;

const MODES: [Mode; 3] = [Mode::PreCopy, Mode::Hybrid, Mode::Auto];

const ZERO: Page = [0; PAGE_BYTES];

/// When the guest writes, in use or free: it takes pages back, as Linux does when memory is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Moment {
    BeforeTracking,
    BeforeAsked,
    BeforeNamed,
    BeforeTaken,
    AfterTaken,
    BeforeStopped,
    AfterStopped,
    AfterFirstLook,
    BeforeLaterLooks,
    AfterLaterLooks,
    WhenPaused,
}

/// Every page is of one of so many kinds; those above the number of moments are not written.
const KINDS: u64 = 17;

/// What the guest knows of its writes.
#[derive(Default)]
struct Writes {
    is_tracked: bool,
    is_paused: bool,
    /// Pages written since the tracking began.
    since: BTreeSet<u64>,
}

/// How the guest names its free pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Naming {
    /// In two parts, one for each of the first looks at what it has named.
    InParts,
    /// By a thread of its own, while another writes pages all over memory.
    Busily,
}

/// A source whose guest names free pages, and writes to some of them at each moment.
struct Hinter {
    vm: FakeSource,
    naming: Naming,
    takes: AtomicU64,
    has_looked: AtomicBool,
    writes: Mutex<Writes>,
    named: Mutex<PageBitmap>,
    has_named_all: AtomicBool,
}

impl Hinter {
    fn new(naming: Naming) -> Self {
        Self {
            vm: FakeSource::new(Memory::filled(PAGES)),
            naming,
            takes: AtomicU64::new(0),
            has_looked: AtomicBool::new(false),
            writes: Mutex::default(),
            named: Mutex::new(PageBitmap::empty(PAGES)),
            has_named_all: AtomicBool::new(false),
        }
    }

    /// Writes pages all over memory, some of them with zeroes.
    fn write_at(&self, moment: Moment) {
        for page in (0..PAGES).filter(|page| page % KINDS == moment as u64) {
            self.write(page, moment as u64);
        }
    }

    /// Writes a page, unless the guest is paused; says whether it did.
    fn write(&self, page: u64, version: u64) -> bool {
        let mut content = content(page);
        content[..8].copy_from_slice(&version.to_le_bytes());
        let is_zero = (page + version).is_multiple_of(5);
        let mut writes = self.writes.lock().unwrap();
        if writes.is_paused {
            return false;
        }
        let content = if is_zero { &ZERO } else { &content };
        self.vm.memory.write(page, content);
        if writes.is_tracked {
            writes.since.insert(page);
        }
        true
    }

    fn name(&self, first: u64, end: u64) {
        let range = PageRange::within(PageIndex::new(first), end - first, PAGES);
        self.named.lock().unwrap().insert_range(range.unwrap());
    }

    /// Names all that is free, as a driver of Linux does: every other block with zeroes in it.
    fn name_all(&self) {
        for block in 0..BLOCKS {
            let first = FREE + block * BLOCK_PAGES;
            if block.is_multiple_of(2) {
                (first..first + BLOCK_PAGES).for_each(|page| {
                    self.write(page, 5 - page % 5);
                });
            }
            self.name(first, first + BLOCK_PAGES);
        }
        self.has_named_all.store(true, Ordering::Release);
    }

    /// Writes pages all over memory until the guest is paused.
    fn write_on(&self) {
        let scattered = (0_u64..).map(|visit| visit * 7919 % PAGES);
        for (page, version) in scattered.zip(1..) {
            if !self.write(page, version) {
                return;
            }
            thread::yield_now();
        }
    }

    /// The pages that may be lost on the way.
    fn may_lose(&self) -> BTreeSet<u64> {
        let writes = self.writes.lock().unwrap();
        let free = (FREE..PAGES).filter(|page| !writes.since.contains(page));
        free.collect()
    }
}

impl SourceVm for Hinter {
    fn offer(&self) -> Result<Offer, MachineError> {
        self.vm.offer()
    }

    fn ram(&self) -> RamMapping {
        self.vm.ram()
    }

    fn start_tracking(&self) -> Result<(), MachineError> {
        self.write_at(Moment::BeforeTracking);
        let mut writes = self.writes.lock().unwrap();
        self.vm.start_tracking()?;
        writes.is_tracked = true;
        writes.since.clear();
        drop(writes);
        self.write_at(Moment::BeforeAsked);
        Ok(())
    }

    fn start_hinting(&self) {
        self.takes.store(0, Ordering::Release);
        self.has_looked.store(false, Ordering::Release);
        self.write_at(Moment::BeforeNamed);
        self.vm.start_hinting();
    }

    fn take_hints(&self, free: &mut PageBitmap) -> Hints {
        let none = PageBitmap::empty(PAGES);
        let number = self.takes.fetch_add(1, Ordering::AcqRel);
        let is_complete = match self.naming {
            Naming::Busily => self.has_named_all.load(Ordering::Acquire),
            Naming::InParts => number == 1,
        };
        if self.naming == Naming::InParts {
            match number {
                0 => self.name(FREE, 3000),
                _ => self.name(2500, PAGES),
            }
            self.write_at(Moment::BeforeTaken);
        }
        free.add_all(&std::mem::replace(&mut *self.named.lock().unwrap(), none));
        self.write_at(Moment::AfterTaken);
        if is_complete {
            Hints::Complete
        } else {
            Hints::Expected
        }
    }

    fn stop_hinting(&self) {
        self.write_at(Moment::BeforeStopped);
        self.vm.stop_hinting();
        self.write_at(Moment::AfterStopped);
    }

    fn take_dirty(&self, dirty: &mut PageBitmap) -> Result<(), MachineError> {
        if self.has_looked.swap(true, Ordering::AcqRel) {
            self.write_at(Moment::BeforeLaterLooks);
            self.vm.take_dirty(dirty)?;
            self.write_at(Moment::AfterLaterLooks);
        } else {
            self.vm.take_dirty(dirty)?;
            self.write_at(Moment::AfterFirstLook);
        }
        Ok(())
    }

    fn stop_tracking(&self) -> Result<(), MachineError> {
        self.vm.stop_tracking()
    }

    fn pause(&self) -> Result<FrozenRam, MachineError> {
        self.write_at(Moment::WhenPaused);
        self.writes.lock().unwrap().is_paused = true;
        self.vm.pause()
    }

    fn save(&self) -> Result<Vec<u8>, MachineError> {
        self.vm.save()
    }

    fn resume(&self, ram: Option<FrozenRam>) -> Result<(), MachineError> {
        self.writes.lock().unwrap().is_paused = false;
        self.vm.resume(ram)
    }
}

/// Moves the VM through a relay, which is cut after so many bytes of each lap, and compares every
/// page; gives the number of those that were lost as well.
fn move_and_compare(
    hinter: &Hinter,
    cuts: impl IntoIterator<Item = u64>,
    adjust: impl FnOnce(&mut SourceOptions),
) -> (Report, u64) {
    let waiting = Waiting::start_idle_with(DestinationOptions::default());
    let cutter = Cutter::new(waiting.address, cuts);
    let mut options = SourceOptions::new(cutter.address().to_string());
    options.verify = Verify::On;
    adjust(&mut options);
    let cancel = CancelToken::new().unwrap();
    let sink = |progress: &Progress| cutter.arm(!progress.phase.owns_guest());
    let report = thread::scope(|scope| {
        if hinter.naming == Naming::Busily {
            scope.spawn(|| hinter.write_on());
            scope.spawn(|| hinter.name_all());
        }
        let report = migrate(hinter, &options, &sink, &cancel);
        hinter.writes.lock().unwrap().is_paused = true;
        report.unwrap()
    });
    assert_eq!(cutter.cuts_left(), 0);
    let arrived = waiting.arrived.clone();
    waiting.join().unwrap().outcome.unwrap();
    let memory = arrived.memory.lock().unwrap().take().unwrap();
    let may_lose = hinter.may_lose();
    let mut lost = 0;
    for page in 0..PAGES {
        let found = memory.read(page);
        if found != hinter.vm.memory.read(page) {
            assert!(found == ZERO && may_lose.contains(&page), "page {page}");
            lost += 1;
        }
    }
    let pages = &report.pages;
    assert_eq!(report.outcome, Outcome::Completed);
    assert!(report.verified);
    assert!(lost <= pages.hinted && pages.hinted <= pages.absent);
    assert_eq!(
        pages.total,
        pages.transferred - pages.duplicate + pages.zero + pages.absent
    );
    (report, lost)
}

#[test]
fn pages_named_and_not_written_are_not_sent_whenever_the_others_are_written() {
    if !can_receive() {
        return;
    }
    for streams in [1, 3] {
        for mode in MODES {
            let hinter = Hinter::new(Naming::InParts);
            let (report, lost) = move_and_compare(&hinter, [], |options| {
                options.mode = mode;
                options.streams = Streams::new(streams).ok();
            });
            // A third was never touched, and some were written at the beginning or are zero.
            let untouched = u64::try_from(hinter.may_lose().len()).unwrap() / 3 + 100;
            let may_lose = u64::try_from(hinter.may_lose().len()).unwrap();
            assert!(report.pages.hinted >= may_lose - untouched, "{mode}");
            assert!(lost >= report.pages.hinted * 3 / 4, "{mode}: {lost}");
            assert_eq!(hinter.vm.calls.lock().unwrap().last(), Some(&Call::Save));
        }
    }
}

#[test]
fn guest_that_names_pages_and_goes_on_writing_loses_only_what_it_has_not_written() {
    if !can_receive() {
        return;
    }
    for mode in MODES {
        for _ in 0..4 {
            let hinter = Hinter::new(Naming::Busily);
            move_and_compare(&hinter, [], |options| {
                options.mode = mode;
                options.streams = Streams::new(2).ok();
            });
        }
    }
}

#[test]
fn pages_named_before_a_hand_over_with_cuts_stay_absent_and_the_digests_agree() {
    if !can_receive() {
        return;
    }
    let hinter = Hinter::new(Naming::InParts);
    let (report, lost) = move_and_compare(&hinter, [100_000, 300_000, 77], |options| {
        options.mode = Mode::Hybrid;
    });
    assert!(report.reconnects >= 2, "{}", report.reconnects);
    assert!(lost > 0);
}

#[test]
fn migration_cancelled_after_pages_were_named_leaves_them_at_the_source() {
    if !can_receive() {
        return;
    }
    let phases = [
        SourcePhase::Copying,
        SourcePhase::Paused,
        SourcePhase::Ready,
    ];
    for (mode, phase) in MODES.into_iter().flat_map(|mode| phases.map(|p| (mode, p))) {
        let hinter = Hinter::new(Naming::InParts);
        let waiting = Waiting::start_idle_with(DestinationOptions::default());
        let options = SourceOptions {
            mode,
            ..SourceOptions::new(waiting.address.to_string())
        };
        let cancel = CancelToken::new().unwrap();
        let sink = |progress: &Progress| {
            if progress.phase == phase {
                cancel.cancel();
            }
        };
        let failure = migrate(&hinter, &options, &sink, &cancel).unwrap_err();
        assert_eq!(failure.outcome(), Outcome::ResumedAtSource);
        assert_eq!(hinter.vm.calls.lock().unwrap().last(), Some(&Call::Untrack));
        waiting.stop.cancel();
        assert!(waiting.join().is_err());
        let fresh = Memory::filled(PAGES);
        for page in (0..PAGES).filter(|page| page % KINDS > Moment::WhenPaused as u64) {
            assert!(hinter.vm.memory.read(page) == fresh.read(page), "{page}");
        }
        move_and_compare(&hinter, [], |options| options.mode = mode);
    }
}
