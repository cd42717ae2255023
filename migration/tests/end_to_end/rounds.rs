//! Migrations with rounds: a guest that goes on writing, and a destination that ends up with what it
//! wrote last.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use migration::{
    CancelToken, Cancellation, FrozenRam, Hints, MachineError, Mode, Offer, Outcome, PAGE_BYTES,
    PageBitmap, Progress, RamMapping, Report, Result, SourceOptions, SourcePhase, SourceVm,
    Streams, Timeouts, migrate,
};

use crate::machine::{Call, FakeSource, Waiting, can_receive};
use crate::memory::{Memory, Page, content};

/// 16 MiB.
const PAGES: u64 = 1 << 12;

/// What a writing guest does to pages, one after the other, again and again.
const ZERO_EVERY: u64 = 7;

/// A source whose guest writes some of its pages until it is paused.
struct Writer {
    vm: FakeSource,
    pages: Range<u64>,
    pause: Duration,
    guest: std::sync::Mutex<Option<JoinHandle<()>>>,
    stop: Arc<AtomicBool>,
    /// Pages written so far.
    writes: Arc<AtomicU64>,
}

impl Writer {
    /// The guest writes `pages` in turn, and waits for `pause` after each.
    fn new(pages: Range<u64>, pause: Duration) -> Self {
        let writer = Self {
            vm: FakeSource::new(Memory::filled(PAGES)),
            pages,
            pause,
            guest: std::sync::Mutex::default(),
            stop: Arc::default(),
            writes: Arc::default(),
        };
        writer.run();
        writer
    }

    fn run(&self) {
        let (memory, stop) = (Arc::clone(&self.vm.memory), Arc::clone(&self.stop));
        let (pages, pause, writes) = (self.pages.clone(), self.pause, self.writes.clone());
        let write = move || {
            for (page, generation) in pages.clone().cycle().zip(1_u64..) {
                if stop.load(Ordering::Acquire) {
                    return;
                }
                memory.write(page, &version(page, generation));
                writes.fetch_add(1, Ordering::AcqRel);
                thread::sleep(pause);
            }
        };
        self.stop.store(false, Ordering::Release);
        if !self.pages.is_empty() {
            *self.guest.lock().unwrap() = Some(thread::spawn(write));
        }
    }

    fn halt(&self) {
        self.stop.store(true, Ordering::Release);
        if let Some(guest) = self.guest.lock().unwrap().take() {
            guest.join().unwrap();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.halt();
    }
}

/// A content that tells which write it is; now and then all zero.
fn version(page: u64, generation: u64) -> Page {
    if generation.is_multiple_of(ZERO_EVERY) {
        return [0; PAGE_BYTES];
    }
    let mut content = content(page);
    content[..8].copy_from_slice(&generation.to_le_bytes());
    content
}

impl SourceVm for Writer {
    fn offer(&self) -> Result<Offer, MachineError> {
        self.vm.offer()
    }

    fn ram(&self) -> RamMapping {
        self.vm.ram()
    }

    /// On a busy host a short migration might be over before the guest is scheduled once: it writes
    /// something that is noted first.
    fn start_tracking(&self) -> Result<(), MachineError> {
        self.vm.start_tracking()?;
        let before = self.writes.load(Ordering::Acquire);
        while !self.pages.is_empty() && self.writes.load(Ordering::Acquire) < before + 2 {
            thread::yield_now();
        }
        Ok(())
    }

    fn start_hinting(&self) {
        self.vm.start_hinting();
    }

    fn take_hints(&self, free: &mut PageBitmap) -> Hints {
        self.vm.take_hints(free)
    }

    fn stop_hinting(&self) {
        self.vm.stop_hinting();
    }

    fn take_dirty(&self, dirty: &mut PageBitmap) -> Result<(), MachineError> {
        self.vm.take_dirty(dirty)
    }

    fn stop_tracking(&self) -> Result<(), MachineError> {
        self.vm.stop_tracking()
    }

    fn pause(&self) -> Result<FrozenRam, MachineError> {
        self.halt();
        self.vm.pause()
    }

    fn save(&self) -> Result<Vec<u8>, MachineError> {
        self.vm.save()
    }

    fn resume(&self, ram: Option<FrozenRam>) -> Result<(), MachineError> {
        self.run();
        self.vm.resume(ram)
    }
}

/// Moves the VM, whose guest does not run there, and compares every page.
fn move_and_compare(writer: &Writer, adjust: impl FnOnce(&mut SourceOptions)) -> Report {
    let waiting = Waiting::start_idle(Timeouts::default());
    let mut options = SourceOptions::new(waiting.address.to_string());
    adjust(&mut options);
    let cancel = CancelToken::new().unwrap();
    let report = migrate(writer, &options, &|_: &Progress| {}, &cancel).unwrap();
    let arrived = waiting.arrived.clone();
    let theirs = waiting.join().unwrap().outcome.unwrap();
    let memory = arrived.memory.lock().unwrap().take().unwrap();
    for page in 0..PAGES {
        assert!(
            memory.read(page) == writer.vm.memory.read(page),
            "page {page}"
        );
    }
    let pages = &report.pages;
    assert_eq!(report.outcome, Outcome::Completed);
    assert_eq!(report.mode_asked, options.mode);
    assert_eq!(
        pages.total,
        pages.transferred - pages.duplicate + pages.zero + pages.absent
    );
    assert_eq!(pages.transferred, pages.pushed + pages.demanded);
    assert_eq!(theirs.pages.transferred, pages.transferred);
    assert_eq!(theirs.pages.duplicate, pages.duplicate);
    let parts: f64 = report.downtime_parts_ms.values().sum();
    assert!((parts - report.downtime_ms).abs() < 1.0);
    let digest = report.digest.unwrap();
    assert_eq!(digest.source, digest.destination);
    assert!(report.wire_bytes.pages > pages.transferred * 4096);
    report
}

const BRISK: Duration = Duration::from_micros(50);

#[test]
fn every_mode_with_rounds_delivers_what_a_busy_guest_wrote_last() {
    if !can_receive() {
        return;
    }
    for mode in [Mode::PreCopy, Mode::Hybrid, Mode::Auto] {
        let writer = Writer::new(0..2000, BRISK);
        let report = move_and_compare(&writer, |options| options.mode = mode);
        assert!(!report.rounds.is_empty(), "{mode}");
        assert!(report.write_protection.unwrap().faults > 0, "{mode}");
        assert!(report.predicted_downtime_ms.is_some(), "{mode}");
        let calls = writer.vm.calls.lock().unwrap();
        assert_eq!(*calls, [Call::Track, Call::Pause, Call::Save], "{mode}");
    }
}

#[test]
fn rounds_over_several_streams_leave_the_last_version_of_each_page() {
    if !can_receive() {
        return;
    }
    let writer = Writer::new(100..1200, BRISK);
    let report = move_and_compare(&writer, |options| {
        options.mode = Mode::PreCopy;
        options.streams = Some(Streams::new(3).unwrap());
        // So little that it takes some rounds to find out that it cannot be had.
        options.max_downtime = Duration::from_nanos(1);
    });
    assert!(report.rounds.len() > 2, "{:?}", report.rounds);
    assert!(report.pages.duplicate > 0);
    assert!(report.downtime_excess.is_some());
}

#[test]
fn auto_sends_an_idle_guest_once_and_runs_it_complete() {
    if !can_receive() {
        return;
    }
    let writer = Writer::new(0..0, BRISK);
    let report = move_and_compare(&writer, |options| options.mode = Mode::Auto);
    assert_eq!(report.mode, Mode::PreCopy);
    assert_eq!((report.rounds.len(), report.pages.duplicate), (1, 0));
    assert_eq!(report.faults.network, 0);
}

#[test]
fn hybrid_sends_a_page_again_only_if_it_was_written_again() {
    if !can_receive() {
        return;
    }
    let writer = Writer::new(500..550, BRISK);
    let report = move_and_compare(&writer, |options| options.mode = Mode::Hybrid);
    assert_eq!(report.mode, Mode::Hybrid);
    assert_eq!(report.rounds.len(), 1);
    assert!(report.pages.duplicate <= 50, "{:?}", report.pages);
}

#[test]
fn cancel_in_any_phase_before_the_token_leaves_the_guest_running_and_the_next_move_works() {
    if !can_receive() {
        return;
    }
    use SourcePhase as Phase;
    let phases = [
        Phase::Accepted,
        Phase::Copying,
        Phase::Paused,
        Phase::CopyingLast,
        Phase::Restoring,
        Phase::Ready,
    ];
    let writer = Writer::new(0..500, BRISK);
    for (mode, phase) in [Mode::PreCopy, Mode::Hybrid, Mode::Auto]
        .into_iter()
        .flat_map(|mode| phases.map(|phase| (mode, phase)))
    {
        let waiting = Waiting::start_idle(Timeouts::default());
        let options = SourceOptions {
            mode,
            ..SourceOptions::new(waiting.address.to_string())
        };
        let cancel = CancelToken::new().unwrap();
        let cancelled = std::sync::Mutex::new(None);
        let sink = |progress: &Progress| {
            if progress.phase == phase && cancel.cancel() == Cancellation::Accepted {
                cancelled.lock().unwrap().get_or_insert_with(Instant::now);
            }
        };
        let moved = migrate(&writer, &options, &sink, &cancel);
        let Some(since) = cancelled.into_inner().unwrap() else {
            // The phase is not one of this migration, which has moved the guest.
            assert!(moved.is_ok(), "{mode} {phase:?}");
            assert!(waiting.join().unwrap().outcome.is_ok());
            writer.run();
            continue;
        };
        assert!(
            since.elapsed() < Duration::from_millis(100),
            "{mode} {phase:?}: {:?}",
            since.elapsed()
        );
        let failure = moved.unwrap_err();
        assert_eq!(failure.outcome(), Outcome::ResumedAtSource);
        assert!(writer.vm.runs(), "{mode} {phase:?}");
        let tracked = std::mem::take(&mut *writer.vm.calls.lock().unwrap());
        let last = tracked.last().copied();
        let started = phase != Phase::Accepted;
        assert_eq!(last, started.then_some(Call::Untrack), "{mode} {phase:?}");
        waiting.stop.cancel();
        assert!(waiting.join().is_err());
    }
    move_and_compare(&writer, |options| options.mode = Mode::Auto);
}
