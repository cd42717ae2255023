//! What a source does when its destination fails it: the guest runs on, or is known to be lost.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use migration::{
    CancelToken, Cancellation, Failure, MigrationError as Error, Mode, Outcome, PAGE_BYTES,
    Progress, Refusal, SourceOptions, SourcePhase, Timeouts, migrate,
};

use crate::machine::{Call, FakeSource, Waiting, can_receive, options_to};
use crate::memory::Memory;
use crate::peer::{
    ACCEPT, ANSWER, COMPLETE, DRAINED, FAILED, HELLO, Peer, READY, RUN, RUNNING, STATE, accept_vm,
    destination,
};

const PAGES: u64 = 300;

/// Migrates with the given options; it must fail and leave the guest as it was.
fn fail_to_migrate(options: &SourceOptions) -> Failure {
    let vm = FakeSource::new(Memory::filled(PAGES));
    let cancel = CancelToken::new().unwrap();
    let failure = migrate(&vm, options, &|_: &Progress| {}, &cancel).unwrap_err();
    assert_eq!(failure.outcome(), Outcome::ResumedAtSource);
    assert!(vm.runs());
    assert!(failure.report.reason.is_some());
    let parts: f64 = failure.report.downtime_parts_ms.values().sum();
    assert!((parts - failure.report.downtime_ms).abs() < 1.0);
    *failure
}

fn fail_to_migrate_to(address: SocketAddr) -> Failure {
    fail_to_migrate(&options_to(address))
}

#[test]
fn unreachable_destination_is_an_error_at_once() {
    // Bound and dropped: nobody listens there.
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let failure = fail_to_migrate_to(address);
    assert!(
        matches!(failure.error, Error::Connect { .. }),
        "{:?}",
        failure.error
    );
}

#[test]
fn unknown_host_is_an_error() {
    let failure = fail_to_migrate(&SourceOptions::new("no port"));
    assert!(matches!(failure.error, Error::Resolve { .. }));
}

#[test]
fn silent_destination_is_given_up_in_time_without_a_pause() {
    let (address, script) = destination(|listener| Peer::accept(&listener).drain());
    let failure = fail_to_migrate_to(address);
    assert!(
        matches!(failure.error, Error::Silent { .. }),
        "{:?}",
        failure.error
    );
    assert_eq!(
        failure.error.to_string(),
        format!("no answer from {address} within 0.3 s")
    );
    assert!(failure.report.downtime_ms == 0.0);
    script.join().unwrap();
}

#[test]
fn destination_that_speaks_something_else_is_told_apart() {
    let (address, script) = destination(|listener| {
        let mut peer = Peer::accept(&listener);
        peer.send(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n");
        peer.drain();
    });
    let failure = fail_to_migrate_to(address);
    assert!(
        matches!(failure.error, Error::NotAPeer { .. }),
        "{:?}",
        failure.error
    );
    script.join().unwrap();
}

#[test]
fn destination_of_another_version_is_told_apart() {
    let (address, script) = destination(|listener| {
        let mut peer = Peer::accept(&listener);
        peer.preamble(4, ANSWER);
        peer.drain();
    });
    let failure = fail_to_migrate_to(address);
    assert!(matches!(
        failure.error,
        Error::PeerVersion {
            ours: 3,
            theirs: 4,
            ..
        }
    ));
    script.join().unwrap();
}

#[test]
fn lying_length_is_refused_before_anything_is_allocated() {
    let (address, script) = destination(|listener| {
        let mut peer = Peer::accept(&listener);
        peer.preamble(3, ANSWER);
        peer.header(ACCEPT, u32::MAX);
        peer.drain();
    });
    let failure = fail_to_migrate_to(address);
    assert!(
        matches!(failure.error, Error::FrameTooLong { .. }),
        "{:?}",
        failure.error
    );
    script.join().unwrap();
}

#[test]
fn refusal_is_told_with_its_values_and_the_next_attempt_succeeds() {
    if !can_receive() {
        return;
    }
    let waiting = Waiting::start(Timeouts::default());
    *waiting.watch.refusal.lock().unwrap() = Some(Refusal::Vcpus {
        needed: 9,
        available: 4,
    });
    let failure = fail_to_migrate_to(waiting.address);
    let reason = failure.report.reason.unwrap();
    assert!(
        reason.ends_with("the VM has 9 vCPUs, at most 4 can run there"),
        "{reason}"
    );
    assert!(
        waiting
            .rejection(|_| true)
            .ends_with("the VM has 9 vCPUs, at most 4 can run there")
    );

    let vm = FakeSource::new(Memory::filled(PAGES));
    let cancel = CancelToken::new().unwrap();
    migrate(
        &vm,
        &options_to(waiting.address),
        &|_: &Progress| {},
        &cancel,
    )
    .unwrap();
    assert!(waiting.join().unwrap().outcome.is_ok());
}

#[test]
fn failed_restore_is_told_at_both_ends_and_the_guest_runs_on() {
    if !can_receive() {
        return;
    }
    let waiting = Waiting::start(Timeouts::default());
    waiting
        .watch
        .restore_fails
        .store(true, std::sync::atomic::Ordering::SeqCst);
    let failure = fail_to_migrate_to(waiting.address);
    let reason = failure.report.reason.unwrap();
    assert!(reason.ends_with("this state does not fit"), "{reason}");
    assert!(
        waiting
            .rejection(|_| true)
            .contains("cannot restore the state of the VM")
    );
    waiting.stop.cancel();
    assert!(matches!(waiting.join(), Err(Error::Stopped)));
}

/// A destination that closes all connections at some point before the token.
type Script = fn(TcpListener);

/// Each point at which a destination can vanish before a post-copy source has handed over.
const VANISHING: [Script; 5] = [
    |listener| drop(Peer::accept(&listener)),
    |listener| {
        let mut control = Peer::accept(&listener);
        control.preamble(3, ANSWER);
        control.skip_preamble();
        control.expect(HELLO);
    },
    |listener| {
        let mut control = Peer::accept(&listener);
        control.preamble(3, ANSWER);
        control.frame(ACCEPT, &[7; 16]);
        control.skip_preamble();
        control.expect(HELLO);
    },
    |listener| drop(accept_vm(&listener)),
    |listener| {
        let [mut control, _urgent, _background] = accept_vm(&listener);
        control.expect(STATE);
    },
];

#[test]
fn destination_that_vanishes_before_the_token_leaves_the_guest_running() {
    for (point, vanish) in VANISHING.into_iter().enumerate() {
        let (address, script) = destination(vanish);
        let failure = fail_to_migrate_to(address);
        assert!(failure.report.reason.is_some(), "point {point}");
        script.join().unwrap();
    }
}

#[test]
fn stop_and_copy_destination_that_vanishes_among_the_pages_leaves_the_guest_running() {
    let (address, script) = destination(|listener| {
        let [mut control, _urgent, mut background] = accept_vm(&listener);
        control.expect(STATE);
        control.numbers(READY, &[0]);
        background.read::<{ 5 * PAGE_BYTES }>();
    });
    let failure = fail_to_migrate(&SourceOptions {
        mode: Mode::StopAndCopy,
        ..options_to(address)
    });
    assert!(failure.report.downtime_ms > 0.0);
    script.join().unwrap();
}

#[test]
fn stop_and_copy_destination_with_other_memory_leaves_the_guest_running() {
    let (address, script) = destination(|listener| {
        let [mut control, _urgent, mut background] = accept_vm(&listener);
        control.expect(STATE);
        control.numbers(READY, &[0]);
        background.drain();
        control.expect(DRAINED);
        control.numbers(COMPLETE, &[0xbad, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        control.expect(FAILED);
    });
    let failure = fail_to_migrate(&SourceOptions {
        mode: Mode::StopAndCopy,
        ..options_to(address)
    });
    assert!(
        matches!(failure.error, Error::Digest { .. }),
        "{:?}",
        failure.error
    );
    script.join().unwrap();
}

/// Migrates to a destination that fails after the token: the guest must not run here again.
fn lose_to(script: impl FnOnce([Peer; 3]) + Send + 'static) -> Failure {
    let (address, script) = destination(|listener| {
        let mut peers = accept_vm(&listener);
        peers[0].expect(STATE);
        peers[0].numbers(READY, &[0]);
        peers[0].expect(RUN);
        script(peers);
    });
    let vm = FakeSource::new(Memory::filled(PAGES));
    let cancel = CancelToken::new().unwrap();
    let failure = migrate(&vm, &options_to(address), &|_: &Progress| {}, &cancel).unwrap_err();
    assert_eq!(*vm.calls.lock().unwrap(), [Call::Pause, Call::Save]);
    assert_eq!(failure.outcome(), Outcome::Lost);
    assert_eq!(cancel.cancel(), Cancellation::TooLate);
    script.join().unwrap();
    *failure
}

#[test]
fn destination_that_vanishes_at_the_token_has_the_guest() {
    lose_to(drop);
}

#[test]
fn destination_that_vanishes_among_the_pages_has_the_guest() {
    lose_to(|[mut control, _urgent, mut background]| {
        control.numbers(RUNNING, &[0]);
        background.read::<{ 5 * PAGE_BYTES }>();
    });
}

#[test]
fn end_of_stream_instead_of_completion_is_no_success() {
    let failure = lose_to(|[mut control, _urgent, mut background]| {
        control.numbers(RUNNING, &[0]);
        background.drain();
        control.expect(DRAINED);
    });
    assert!(
        matches!(failure.error, Error::Closed { .. }),
        "{:?}",
        failure.error
    );
}

#[test]
fn destination_that_reports_its_failure_is_quoted() {
    let failure = lose_to(|[mut control, _urgent, _background]| {
        control.frame(FAILED, b"\x0bout of luck");
        control.drain();
    });
    let reason = failure.report.reason.unwrap();
    assert!(reason.ends_with("reports: out of luck"), "{reason}");
}

/// Cancels as soon as `phase` is reached; gives the time until the migration was over.
fn cancel_at(phase: SourcePhase, options: &SourceOptions) -> Duration {
    let vm = FakeSource::new(Memory::filled(PAGES));
    let cancel = CancelToken::new().unwrap();
    let (reached, at) = std::sync::mpsc::channel();
    let canceller = thread::spawn({
        let cancel = cancel.clone();
        move || {
            at.recv().unwrap();
            assert_eq!(cancel.cancel(), Cancellation::Accepted);
            Instant::now()
        }
    });
    let sink = |progress: &Progress| {
        if progress.phase == phase {
            let _ = reached.send(());
        }
    };
    let failure = migrate(&vm, options, &sink, &cancel).unwrap_err();
    let over = Instant::now();
    assert!(
        matches!(failure.error, Error::Cancelled),
        "{:?}",
        failure.error
    );
    assert_eq!(failure.outcome(), Outcome::ResumedAtSource);
    assert!(vm.runs());
    over - canceller.join().unwrap()
}

#[test]
fn cancel_before_the_token_does_not_wait_for_the_destination() {
    let scripts: [(SourcePhase, Mode, Script); 3] = [
        (SourcePhase::Negotiating, Mode::PostCopy, |listener| {
            Peer::accept(&listener).drain()
        }),
        (SourcePhase::Restoring, Mode::PostCopy, |listener| {
            let [mut control, _urgent, _background] = accept_vm(&listener);
            control.expect(STATE);
            control.expect(FAILED);
        }),
        (SourcePhase::Ready, Mode::StopAndCopy, |listener| {
            // Reads no pages: the source is stuck in sending or in waiting for completion.
            let [mut control, _urgent, _background] = accept_vm(&listener);
            control.expect(STATE);
            control.numbers(READY, &[0]);
            control.drain();
        }),
    ];
    for (phase, mode, script) in scripts {
        let (address, script) = destination(script);
        let timeouts = Timeouts::default();
        let took = cancel_at(
            phase,
            &SourceOptions {
                mode,
                timeouts,
                ..options_to(address)
            },
        );
        // Long before any timeout. That it is 100 ms is for the benchmark to show.
        assert!(took < Duration::from_secs(2), "{phase:?}: {took:?}");
        script.join().unwrap();
    }
}

#[test]
fn guest_that_cannot_be_stopped_is_resumed_all_the_same() {
    let (address, script) = destination(|listener| {
        let [mut control, ..] = accept_vm(&listener);
        control.expect(FAILED);
    });
    let vm = FakeSource::new(Memory::filled(PAGES));
    vm.is_stubborn.store(true, Ordering::Release);
    let options = SourceOptions {
        mode: Mode::PostCopy,
        ..options_to(address)
    };
    let cancel = CancelToken::new().unwrap();
    let failure = migrate(&vm, &options, &|_: &Progress| {}, &cancel).unwrap_err();
    assert!(matches!(failure.error, Error::Pause { .. }));
    assert_eq!(failure.outcome(), Outcome::ResumedAtSource);
    assert_eq!(*vm.calls.lock().unwrap(), [Call::Pause, Call::Resume]);
    script.join().unwrap();
}
