//! Connections that are lost after the hand-over, and the way back: through a relay that cuts all
//! of them whenever a test says so.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use migration::{
    ArrivalReport, CancelToken, DestinationOptions, MigrationError as Error, Mode, Outcome,
    Progress, Report, SourceOptions, SourcePhase, Streams, Timeouts, Verify, migrate,
};

use crate::cutter::Cutter;
use crate::machine::{FakeSource, Waiting, can_receive, hasty, options_to, written};
use crate::memory::Memory;
use crate::peer::{
    ABSENT, ANSWER, ATTACH, DRAINED, FAILED, MISSING, POST_COPY, Peer, READY, RECOVER, REFUSE, RUN,
    RUNNING, STANDING, STATE, TO_ATTACH, TO_RECOVER, WANT, accept_vm, attach, attach_both,
    destination, offer_vm_in_session,
};

/// 32 MiB.
const PAGES: u64 = 1 << 13;

/// The state that the fake VM accepts.
const GOOD_STATE: &[u8] = b"state of the machine";

/// Moves a VM through a relay that is cut after so many bytes of each lap, to who waits; gives both
/// reports and the memory that has arrived, in which its guest found nothing wrong.
pub fn move_cut(
    waiting: Waiting,
    cuts: impl IntoIterator<Item = u64>,
    pages: u64,
    adjust: impl FnOnce(&mut SourceOptions),
) -> (Report, ArrivalReport, Arc<Memory>) {
    let cutter = Cutter::new(waiting.address, cuts);
    let vm = FakeSource::new(Memory::filled(pages));
    let mut options = SourceOptions::new(cutter.address().to_string());
    options.verify = Verify::On;
    adjust(&mut options);
    let cancel = CancelToken::new().unwrap();
    let sink = |progress: &Progress| cutter.arm(!progress.phase.owns_guest());
    let report = migrate(&vm, &options, &sink, &cancel).unwrap();
    assert!(!vm.runs());
    assert_eq!(cutter.cuts_left(), 0);

    let arrived = waiting.arrived.clone();
    let theirs = waiting.join().unwrap().outcome.unwrap();
    let guest = arrived.guest.lock().unwrap().take().unwrap();
    assert_eq!(guest.join().unwrap(), 0, "pages with wrong content");
    let memory = arrived.memory.lock().unwrap().take().unwrap();
    let counts = &report.pages;
    assert_eq!(report.outcome, Outcome::Completed);
    assert!(report.verified);
    assert_eq!(
        counts.total,
        counts.transferred - counts.duplicate + counts.zero + counts.absent
    );
    assert_eq!(counts.transferred, counts.pushed + counts.demanded);
    let digest = report.digest.unwrap();
    assert_eq!(digest.source, digest.destination);
    (report, theirs, memory)
}

/// The same with a busy guest, every page of which is compared.
fn move_through(
    cuts: impl IntoIterator<Item = u64>,
    adjust: impl FnOnce(&mut SourceOptions),
) -> Report {
    let waiting = Waiting::start_with(DestinationOptions::default());
    let (report, _, memory) = move_cut(waiting, cuts, PAGES, adjust);
    for page in 0..PAGES {
        assert!(memory.read(page) == written(page), "page {page}");
    }
    report
}

#[test]
fn connections_cut_again_and_again_cost_no_page() {
    if !can_receive() {
        return;
    }
    let report = move_through([1 << 20, 3 << 20, 100, 2 << 20, 77_777], |_| {});
    // A cut that hits a call for the next lap costs another call.
    assert!(report.reconnects >= 3, "{}", report.reconnects);
    // What was in flight goes again, and no more: a lap holds what the kernels' buffers take.
    assert!(report.pages.duplicate < PAGES, "{:?}", report.pages);
}

#[test]
fn connections_cut_over_several_streams_cost_no_page() {
    if !can_receive() {
        return;
    }
    let report = move_through([2 << 20, 3 << 20], |options| {
        options.streams = Some(Streams::new(3).unwrap());
    });
    assert_eq!(report.reconnects, 2);
}

#[test]
fn hybrid_whose_connections_are_cut_completes() {
    if !can_receive() {
        return;
    }
    let report = move_through([10], |options| options.mode = Mode::Hybrid);
    assert_eq!(report.reconnects, 1);
}

/// Moves a VM over connections whose bits flip; `None` if that failed before the token.
fn move_flipping(mode: Mode) -> Option<Report> {
    let waiting = Waiting::start_with(DestinationOptions {
        timeouts: hasty(),
        ..DestinationOptions::default()
    });
    let cutter = Cutter::flipping(waiting.address, 3_000_000);
    let vm = FakeSource::new(Memory::filled(PAGES));
    let options = SourceOptions {
        mode,
        timeouts: hasty(),
        ..SourceOptions::new(cutter.address().to_string())
    };
    let cancel = CancelToken::new().unwrap();
    let result = migrate(&vm, &options, &|_: &Progress| {}, &cancel);
    assert_eq!(vm.runs(), result.is_err());
    let Ok(report) = result else {
        waiting.stop.cancel();
        assert!(waiting.join().is_err());
        return None;
    };
    assert!(cutter.flips() > 0);
    let arrived = waiting.arrived.clone();
    waiting.join().unwrap().outcome.unwrap();
    let guest = arrived.guest.lock().unwrap().take().unwrap();
    assert_eq!(guest.join().unwrap(), 0, "pages with wrong content");
    Some(report)
}

#[test]
fn bits_that_flip_on_the_way_are_noticed_and_cost_no_page() {
    if !can_receive() {
        return;
    }
    for mode in [Mode::PostCopy, Mode::StopAndCopy, Mode::PreCopy] {
        // Hardly ever the bit is one of a header's. Before the token that ends the attempt.
        let report = (0..3).find_map(|_| move_flipping(mode)).unwrap();
        assert!(report.pages.duplicate > 0, "{mode}: {:?}", report.pages);
    }
}

#[test]
fn token_that_was_lost_is_sent_again_and_acted_upon_once() {
    if !can_receive() {
        return;
    }
    for mode in [Mode::PostCopy, Mode::StopAndCopy] {
        let waiting = Waiting::start_with(DestinationOptions::default());
        let cutter = Cutter::new(waiting.address, [0]);
        let vm = FakeSource::new(Memory::filled(PAGES));
        let options = SourceOptions {
            mode,
            ..SourceOptions::new(cutter.address().to_string())
        };
        let cancel = CancelToken::new().unwrap();
        // The phase changes just before the token is sent, so it never gets through.
        let sink = |progress: &Progress| {
            let phase = progress.phase;
            cutter.arm(matches!(
                phase,
                SourcePhase::HandedOver | SourcePhase::HandedOverWhole
            ));
        };
        let report = migrate(&vm, &options, &sink, &cancel).unwrap();
        assert_eq!(report.reconnects, 1, "{mode}");
        let watch = waiting.watch.clone();
        waiting.join().unwrap().outcome.unwrap();
        assert_eq!(watch.resumed.load(Ordering::SeqCst), 1);
        assert!(!vm.runs());
    }
}

/// Takes the call of a source whose connections were lost, and refuses it for that reason.
fn refuse_to_recover(listener: &TcpListener, refusal: u8) {
    let mut control = Peer::accept(listener);
    control.skip_preamble();
    control.preamble(3, ANSWER);
    assert_eq!(control.expect(RECOVER), [7; 16]);
    control.frame(REFUSE, &[refusal]);
    control.drain();
}

/// Options of a source that is in a hurry, but calls again.
fn persistent_options_to(address: SocketAddr) -> SourceOptions {
    SourceOptions {
        reconnect_for: Duration::from_secs(60),
        ..options_to(address)
    }
}

#[test]
fn source_resumes_the_guest_if_the_destination_gave_it_up_before_the_token() {
    let (address, script) = destination(|listener| {
        let mut peers = accept_vm(&listener);
        peers[0].expect(STATE);
        peers[0].numbers(READY, &[0]);
        // That the token was sent is sure; that it was acted upon is for this end to say.
        peers[0].expect(RUN);
        drop(peers);
        // Refusal::Abandoned
        refuse_to_recover(&listener, 8);
    });
    let vm = FakeSource::new(Memory::filled(300));
    let options = persistent_options_to(address);
    let cancel = CancelToken::new().unwrap();
    let failure = migrate(&vm, &options, &|_: &Progress| {}, &cancel).unwrap_err();
    assert_eq!(failure.outcome(), Outcome::ResumedAtSource);
    assert!(vm.runs());
    script.join().unwrap();
}

#[test]
fn destination_that_does_not_know_the_session_has_lost_the_guest() {
    let (address, script) = destination(|listener| {
        let mut peers = accept_vm(&listener);
        peers[0].expect(STATE);
        peers[0].numbers(READY, &[0]);
        peers[0].expect(RUN);
        peers[0].numbers(RUNNING, &[0]);
        drop(peers);
        // Refusal::UnknownSession
        refuse_to_recover(&listener, 9);
    });
    let vm = FakeSource::new(Memory::filled(300));
    let options = persistent_options_to(address);
    let cancel = CancelToken::new().unwrap();
    let failure = migrate(&vm, &options, &|_: &Progress| {}, &cancel).unwrap_err();
    assert_eq!(failure.outcome(), Outcome::Lost);
    assert!(!vm.runs());
    script.join().unwrap();
}

#[test]
fn source_whose_destination_has_hung_up_calls_it_again_though_it_can_still_send() {
    let (address, script) = destination(|listener| {
        let [mut control, urgent, _background] = accept_vm(&listener);
        control.expect(STATE);
        control.numbers(READY, &[0]);
        control.expect(RUN);
        control.numbers(RUNNING, &[0]);
        // Nobody asks for pages any more, and nobody says that those sent go nowhere.
        drop(urgent);
        // Refusal::UnknownSession
        refuse_to_recover(&listener, 9);
    });
    let vm = FakeSource::new(Memory::filled(PAGES));
    let options = SourceOptions {
        timeouts: Timeouts::default(),
        ..persistent_options_to(address)
    };
    let cancel = CancelToken::new().unwrap();
    let began = Instant::now();
    let failure = migrate(&vm, &options, &|_: &Progress| {}, &cancel).unwrap_err();
    assert_eq!(failure.outcome(), Outcome::Lost);
    assert!(began.elapsed() < options.timeouts.stall / 2);
    script.join().unwrap();
}

/// Plays a source that has handed a guest of 100 pages over; gives its connections and session.
fn handed_over(waiting: &Waiting) -> ([Peer; 3], Vec<u8>) {
    let ([mut control, urgent, background], session) =
        offer_vm_in_session(waiting.address, POST_COPY, 100);
    control.frame(STATE, GOOD_STATE);
    control.expect(READY);
    control.frame(RUN, &[]);
    control.expect(RUNNING);
    ([control, urgent, background], session)
}

#[test]
fn destination_asks_again_for_what_its_guest_waits_for_and_names_what_is_missing() {
    if !can_receive() {
        return;
    }
    let waiting = Waiting::start_with(DestinationOptions::default());
    let ([control, mut urgent, background], session) = handed_over(&waiting);
    // The guest's first visit is to page 0.
    assert_eq!(urgent.expect(WANT), 0u64.to_le_bytes());
    drop((control, urgent, background));

    let mut control = Peer::connect(waiting.address, TO_RECOVER);
    control.frame(RECOVER, &session);
    control.skip_preamble();
    let standing = [1u64, 1, 100].map(u64::to_le_bytes).concat();
    assert_eq!(control.expect(STANDING), standing);
    let missing = [0, u64::MAX, 1, (1 << 36) - 1].map(u64::to_le_bytes);
    assert_eq!(control.expect(MISSING), missing.concat());
    // A page connection of the lap before is a stranger's now.
    let mut late = Peer::connect(waiting.address, TO_ATTACH);
    late.frame(ATTACH, &attach(&session, 1, 0));
    late.drain();
    let [mut urgent, mut background] = attach_both(waiting.address, &session, 1);
    assert_eq!(urgent.expect(WANT), 0u64.to_le_bytes());
    background.numbers(ABSENT, &[0, 100]);
    // The digest of 100 absent pages is whatever this end says; it only has to be the right one.
    control.numbers(DRAINED, &[0, 100, 0xbad]);
    control.expect(FAILED);
    let error = waiting.join().unwrap().outcome.unwrap_err();
    assert!(matches!(error, Error::Digest { .. }), "{error:?}");
}

#[test]
fn source_that_does_not_come_back_in_time_leaves_the_guest_frozen() {
    if !can_receive() {
        return;
    }
    let waiting = Waiting::start_with(DestinationOptions {
        reconnect_for: Duration::from_millis(200),
        ..DestinationOptions::default()
    });
    let (peers, _) = handed_over(&waiting);
    drop(peers);
    let error = waiting.join().unwrap().outcome.unwrap_err();
    assert!(
        matches!(error, Error::Closed { .. } | Error::Receive { .. }),
        "{error:?}"
    );
}

/// Waits until the destination has noticed that it lost its source.
fn wait_lost(waiting: &Waiting) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while waiting.watch.losses.load(Ordering::SeqCst) == 0 {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
}

#[test]
fn vm_whose_source_is_lost_before_the_token_makes_room_for_another_and_is_told_so() {
    if !can_receive() {
        return;
    }
    let waiting = Waiting::start_with(DestinationOptions::default());
    let ([mut control, urgent, background], session) =
        offer_vm_in_session(waiting.address, POST_COPY, 100);
    control.frame(STATE, GOOD_STATE);
    control.expect(READY);
    drop((control, urgent, background));
    wait_lost(&waiting);

    let second = offer_vm_in_session(waiting.address, POST_COPY, 100);
    let mut first = Peer::connect(waiting.address, TO_RECOVER);
    first.frame(RECOVER, &session);
    first.skip_preamble();
    // Refusal::Abandoned
    assert_eq!(first.expect(REFUSE), [8]);
    drop(second);
    waiting.stop.cancel();
    assert!(waiting.join().is_err());
}

#[test]
fn bytes_told_while_pages_go_again_in_rounds_never_shrink() {
    if !can_receive() {
        return;
    }
    let waiting = Waiting::start_idle(Timeouts::default());
    let vm = FakeSource::new(Memory::filled(PAGES));
    let options = SourceOptions {
        mode: Mode::PreCopy,
        ..SourceOptions::new(waiting.address.to_string())
    };
    let cancel = CancelToken::new().unwrap();
    let told = std::sync::Mutex::new(vec![0]);
    let sink = |progress: &Progress| {
        // The guest writes before each round ends, so that there are several.
        if progress.phase == SourcePhase::Copying && told.lock().unwrap().len() < 40 {
            (0..2000).for_each(|page| vm.memory.write(page, &written(page)));
        }
        told.lock().unwrap().push(progress.page_bytes);
    };
    let report = migrate(&vm, &options, &sink, &cancel).unwrap();
    waiting.join().unwrap().outcome.unwrap();
    let told = told.into_inner().unwrap();
    assert!(told.is_sorted(), "{told:?}");
    assert!(report.pages.duplicate > 0, "{:?}", report.pages);
    assert_eq!(*told.last().unwrap(), report.pages.transferred * 4096);
}
