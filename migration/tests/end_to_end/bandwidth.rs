//! `--bandwidth`: pages that nobody waits for keep to a rate.

use std::time::{Duration, Instant};

use migration::{
    Bandwidth, CancelToken, Cancellation, Mode, Prepaging, Progress, Report, SendPlan,
    SourceOptions, SourcePhase, Streams, Timeouts, migrate,
};

use crate::machine::{FakeSource, Waiting, can_receive};
use crate::memory::Memory;

/// 32 MiB, about half of them with content.
const PAGES: u64 = 1 << 13;

/// 12.5 MB/s: some 1.3 s for all of it.
const RATE: u64 = 100_000_000;

fn limited(waiting: &Waiting, mode: Mode) -> SourceOptions {
    SourceOptions {
        mode,
        bandwidth: Bandwidth::new(RATE),
        send_plan: SendPlan::new(Prepaging::Push),
        ..SourceOptions::new(waiting.address.to_string())
    }
}

fn move_limited(mode: Mode) -> (Report, f64) {
    let waiting = Waiting::start_idle(Timeouts::default());
    let vm = FakeSource::new(Memory::filled(PAGES));
    let cancel = CancelToken::new().unwrap();
    let options = limited(&waiting, mode);
    let report = migrate(&vm, &options, &|_: &Progress| {}, &cancel).unwrap();
    waiting.join().unwrap().outcome.unwrap();
    let bits = f64::from(u32::try_from(report.pages.pushed).unwrap()) * 4096.0 * 8.0;
    let rate = bits * 1e3 / report.total_ms;
    (report, rate)
}

#[test]
fn background_pages_keep_to_the_rate_in_every_mode() {
    if !can_receive() {
        return;
    }
    for mode in [Mode::PostCopy, Mode::StopAndCopy, Mode::PreCopy] {
        let (report, rate) = move_limited(mode);
        let of_limit = rate / 1e8;
        assert!((0.9..1.05).contains(&of_limit), "{mode}: {of_limit}");
        assert_eq!(report.bandwidth_bits_per_s, Some(RATE));
    }
}

#[test]
fn pages_that_a_guest_waits_for_are_not_held_back() {
    if !can_receive() {
        return;
    }
    let waiting = Waiting::start(Timeouts::default());
    let vm = FakeSource::new(Memory::filled(PAGES));
    let cancel = CancelToken::new().unwrap();
    let options = SourceOptions {
        bandwidth: Bandwidth::new(RATE / 50),
        ..limited(&waiting, Mode::PostCopy)
    };
    let report = migrate(&vm, &options, &|_: &Progress| {}, &cancel).unwrap();
    // At this rate the background alone would take a minute.
    assert!(report.total_ms < 20_000.0, "{}", report.total_ms);
    assert!(
        report.pages.demanded > 9 * report.pages.pushed,
        "{:?}",
        report.pages
    );
    // A page goes every 16 ms in the background.
    assert!(
        report.faults.latency_us.p50 < 5_000.0,
        "{:?}",
        report.faults
    );
    waiting.join().unwrap().outcome.unwrap();
}

#[test]
fn cancel_does_not_wait_for_a_slow_rate() {
    if !can_receive() {
        return;
    }
    let waiting = Waiting::start_idle(Timeouts::default());
    let vm = FakeSource::new(Memory::filled(PAGES));
    let cancel = CancelToken::new().unwrap();
    let options = SourceOptions {
        bandwidth: Bandwidth::new(1000),
        // All but one of them rest.
        streams: Streams::new(3).ok(),
        ..limited(&waiting, Mode::StopAndCopy)
    };
    let called_off = std::sync::Mutex::new(None);
    let sink = |progress: &Progress| {
        let mut called_off = called_off.lock().unwrap();
        if progress.phase == SourcePhase::Ready && called_off.is_none() {
            assert_eq!(cancel.cancel(), Cancellation::Accepted);
            *called_off = Some(Instant::now());
        }
    };
    migrate(&vm, &options, &sink, &cancel).unwrap_err();
    assert!(vm.runs());
    let took = called_off.lock().unwrap().unwrap().elapsed();
    // A page takes 33 s at this rate. That it is 100 ms is for the benchmark to show.
    assert!(took < Duration::from_secs(2), "{took:?}");
    waiting.stop.cancel();
    assert!(waiting.join().is_err());
}
