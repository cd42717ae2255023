//! Migrations that complete: every byte right, and a report that adds up.

use migration::{
    CancelToken, Mode, Outcome, Progress, Report, SourceOptions, SourcePhase, Streams, Timeouts,
    Trust, migrate, probe,
};

use crate::machine::{Call, FakeSource, Waiting, can_receive, options_to, written};
use crate::memory::{Kind, Memory, kind};

/// 64 MiB.
const PAGES: u64 = 1 << 14;

/// Moves a VM and checks every page as its guest meets it, and once more after all is over.
pub fn move_and_compare(pages: u64, adjust: impl FnOnce(&mut SourceOptions)) -> Report {
    let waiting = Waiting::start(Timeouts::default());
    let vm = FakeSource::new(Memory::filled(pages));
    let mut options = SourceOptions::new(waiting.address.to_string());
    adjust(&mut options);
    let cancel = CancelToken::new().unwrap();
    let report = migrate(&vm, &options, &|_: &Progress| {}, &cancel).unwrap();

    let arrived = waiting.arrived.clone();
    let arrival = waiting.join().unwrap();
    let theirs = arrival.outcome.unwrap();
    let guest = arrived.guest.lock().unwrap().take().unwrap();
    assert_eq!(guest.join().unwrap(), 0, "pages with wrong content");
    let memory = arrived.memory.lock().unwrap().take().unwrap();
    for page in 0..pages {
        assert!(memory.read(page) == written(page), "page {page}");
    }

    assert_eq!(*vm.calls.lock().unwrap(), [Call::Pause, Call::Save]);
    assert_eq!(theirs.pages.transferred, report.pages.transferred);
    assert_eq!(theirs.faults.network, report.faults.network);
    check(&report, pages);
    report
}

/// Checks what holds for every report of a completed migration.
fn check(report: &Report, pages: u64) {
    let counts = &report.pages;
    let of = |wanted| (0..pages).filter(|&page| kind(page) == wanted).count();
    assert_eq!(report.outcome, Outcome::Completed);
    assert_eq!(counts.total, pages);
    assert_eq!(
        counts.total,
        counts.transferred + counts.zero + counts.absent
    );
    assert_eq!(counts.transferred, counts.pushed + counts.demanded);
    assert_eq!(
        usize::try_from(counts.transferred).unwrap(),
        of(Kind::Content)
    );
    assert_eq!(counts.duplicate, 0);
    // A page demanded before it was listed is found to be zero instead.
    let (zero, absent) = (of(Kind::Zero), of(Kind::Untouched));
    assert_eq!(
        usize::try_from(counts.zero + counts.absent).unwrap(),
        zero + absent
    );
    assert!(usize::try_from(counts.zero).unwrap() >= zero);

    let parts: f64 = report.downtime_parts_ms.values().sum();
    assert!((parts - report.downtime_ms).abs() < 1.0);
    let total = report.preparation_ms + report.downtime_ms + report.resume_ms;
    assert!((total - report.total_ms).abs() < 1.0);
    let wire = &report.wire_bytes;
    assert_eq!(wire.total, wire.control + wire.state + wire.pages);
    assert!(wire.pages > counts.transferred * 4096);
    assert!(wire.pages < counts.transferred * 4300);
    let digest = report.digest.unwrap();
    assert_eq!(digest.source, digest.destination);
}

#[test]
fn post_copy_of_a_busy_guest_delivers_every_page() {
    if can_receive() {
        let report = move_and_compare(PAGES, |_| {});
        assert!(report.faults.network > 0);
        assert!(report.pages.demanded > 0);
        assert!(report.faults.latency_us.p50 > 0.0);
    }
}

#[test]
fn post_copy_over_several_streams_delivers_every_page() {
    if can_receive() {
        let report = move_and_compare(PAGES, |options| {
            options.streams = Some(Streams::new(4).unwrap())
        });
        assert_eq!(report.streams, 4);
    }
}

#[test]
fn stop_and_copy_delivers_every_page_before_the_guest_runs() {
    if can_receive() {
        let report = move_and_compare(PAGES, |options| options.mode = Mode::StopAndCopy);
        assert_eq!(report.pages.demanded, 0);
        assert_eq!(report.faults.network, 0);
        assert!(report.downtime_parts_ms.contains_key("pages"));
    }
}

#[test]
fn post_copy_of_a_tiny_memory_completes() {
    if can_receive() {
        move_and_compare(3, |_| {});
    }
}

#[test]
fn restoring_may_touch_memory_before_the_guest_runs() {
    if !can_receive() {
        return;
    }
    let waiting = Waiting::start(Timeouts::default());
    *waiting.watch.restore_touches.lock().unwrap() = vec![0, 77, 999];
    let vm = FakeSource::new(Memory::filled(1000));
    let cancel = CancelToken::new().unwrap();
    let report = migrate(
        &vm,
        &options_to(waiting.address),
        &|_: &Progress| {},
        &cancel,
    )
    .unwrap();
    assert!(report.faults.network >= 3);
    assert!(waiting.join().unwrap().outcome.is_ok());
}

#[test]
fn progress_tells_each_phase_in_order_and_ends_with_all_pages() {
    if !can_receive() {
        return;
    }
    let waiting = Waiting::start(Timeouts::default());
    let vm = FakeSource::new(Memory::filled(1000));
    let cancel = CancelToken::new().unwrap();
    let told = std::sync::Mutex::new(Vec::new());
    let sink = |progress: &Progress| told.lock().unwrap().push(*progress);
    migrate(&vm, &options_to(waiting.address), &sink, &cancel).unwrap();
    let told = told.into_inner().unwrap();
    let mut phases: Vec<_> = told.iter().map(|progress| progress.phase).collect();
    phases.dedup();
    use SourcePhase as Phase;
    assert_eq!(
        phases,
        [
            Phase::Negotiating,
            Phase::Accepted,
            Phase::Paused,
            Phase::Restoring,
            Phase::Ready,
            Phase::HandedOver,
            Phase::Pushing,
            Phase::Draining,
            Phase::Completed
        ]
    );
    let last = told.last().unwrap();
    assert_eq!((last.pages_done, last.pages_total), (1000, 1000));
    assert!(waiting.join().unwrap().outcome.is_ok());
}

#[test]
fn probe_of_a_waiting_destination_tells_what_it_can_do() {
    let waiting = Waiting::start(Timeouts::default());
    let address = waiting.address.to_string();
    let info = probe(&address, &Timeouts::default(), &Trust::default()).unwrap();
    assert_eq!(info.address, waiting.address);
    assert_eq!(info.serves_faults, migration::check_userfaultfd().is_ok());
    assert!(info.available_bytes > 1 << 20);
    assert!(!info.is_busy);
    waiting.stop.cancel();
    assert!(waiting.join().is_err());
}
