//! Balloons that are saved, restored, and reset.

use devices::Interrupt;
use devices::virtio::{MmioTransport, TransportState, VirtioTransport};

use super::*;
use crate::flow::Flow;
use crate::{LedgerState, SelfBallooning, SelfBallooningSettings, Statistics};

#[test]
fn balloon_moved_half_inflated_keeps_everything() {
    let mut rig = Rig::started();
    rig.handle.set_target(100);
    rig.list(INFLATE, &[500, 501, 502]);
    rig.driver.write(ACTUAL, 3);
    rig.driver.write(POISON, 5);
    rig.driver
        .offer(REPORTING, &[Buffer(700 << 12, 4096, Access::Writable)]);
    rig.driver.kick(REPORTING);
    let before = rig.status();
    let mut rig = rig.moved();
    assert_eq!(rig.status(), before);
    assert_eq!(rig.handle.given_up(), [range(500, 3)]);
    assert_eq!(rig.driver.read(NUM_PAGES), 100);
    assert_eq!(rig.driver.read(POISON), 5);

    rig.driver.transport.resume();
    assert!(rig.driver.take_interrupt().is_some());
    rig.list(INFLATE, &[503]);
    rig.list(DEFLATE, &[500]);
    assert_eq!(rig.handle.given_up(), [range(501, 3)]);
}

#[test]
fn request_made_available_before_a_move_is_served_after_it() {
    let mut rig = Rig::started();
    rig.driver.transport.pause();
    rig.list(INFLATE, &[500]);
    assert_eq!(rig.discarded(), []);
    let mut rig = rig.moved();
    rig.driver.transport.resume();
    rig.driver.run_events();
    assert_eq!(rig.discarded(), [range(500, 1)]);
    assert_eq!(rig.driver.take_used(INFLATE).len(), 1);
}

#[test]
fn statistics_buffer_held_during_moves_is_returned_once() {
    let mut rig = Rig::started();
    rig.driver
        .offer(STATISTICS, &[Buffer(FREE_MEMORY, 10, Access::Readable)]);
    rig.driver.kick(STATISTICS);
    for _ in 0..3 {
        rig = rig.moved();
        rig.driver.transport.resume();
        rig.driver.run_events();
        assert_eq!(rig.driver.take_used(STATISTICS), []);
    }
    assert!(!rig.needs_reset());
    rig.handle.request_statistics();
    rig.driver.run_events();
    assert_eq!(rig.driver.take_used(STATISTICS), [(0, 0)]);
}

#[test]
fn state_of_a_balloon_holds_every_field() {
    let state = BalloonState {
        target_pages: 1,
        actual_pages: 2,
        poison_value: 3,
        ledger: LedgerState {
            words: vec![0b1010],
        },
        statistics: Some(Statistics {
            oom_kills: Some(4),
            ..Statistics::default()
        }),
        self_ballooning: Some(SelfBallooning::new(SelfBallooningSettings::default())),
        are_statistics_wanted: true,
        reported_bytes: 5,
        discarded_bytes: 6,
        failed_discards: 7,
        hint_command: 8,
        last_hint_id: 9,
    };
    let (mut balloon, handle) = Rig::new().fresh();
    balloon.restore(state.clone()).unwrap();
    assert_eq!(balloon.save(), state);
    assert_eq!(handle.given_up(), [range(1, 1), range(3, 1)]);
}

#[test]
fn state_with_settings_that_nobody_could_make_is_refused() {
    for settings in [
        SelfBallooningSettings {
            interval_ms: 9,
            ..SelfBallooningSettings::default()
        },
        SelfBallooningSettings {
            keep_cache_percent: 101,
            ..SelfBallooningSettings::default()
        },
    ] {
        let state = BalloonState {
            self_ballooning: Some(SelfBallooning::new(settings)),
            ..BalloonState::default()
        };
        let (mut balloon, _) = Rig::new().fresh();
        assert!(balloon.restore(state).is_err());
    }
}

#[test]
fn counters_at_their_limit_stay_there() {
    let mut rig = Rig::started();
    rig.handle.lock().reported = Flow::after(u64::MAX);
    rig.handle.lock().discarded = Flow::after(u64::MAX - 1);
    rig.driver
        .offer(REPORTING, &[Buffer(700 << 12, 4096, Access::Writable)]);
    rig.driver.kick(REPORTING);
    let BalloonStatus {
        reported_bytes,
        discarded_bytes,
        ..
    } = rig.status();
    assert_eq!((reported_bytes, discarded_bytes), (u64::MAX, u64::MAX));
}

#[test]
fn ledger_with_pages_outside_memory_is_refused() {
    for words in [
        vec![0; 16].into_iter().chain([1]).collect(),
        vec![u64::MAX; 17],
    ] {
        let (mut balloon, handle) = Rig::new().fresh();
        let state = BalloonState {
            ledger: LedgerState { words },
            ..BalloonState::default()
        };
        assert!(balloon.restore(state).is_err());
        assert_eq!(handle.given_up(), []);
    }
}

#[test]
fn state_cut_short_or_damaged_never_panics() {
    let mut rig = Rig::started();
    rig.list(INFLATE, &[500, 700]);
    rig.driver.transport.pause();
    let state = rig.driver.transport.save().unwrap();
    let restore = |device: Vec<u8>| {
        let state = TransportState {
            device,
            ..state.clone()
        };
        let interrupt = Interrupt::new().unwrap();
        MmioTransport::restore(rig.fresh().0, rig.recorder.memory.clone(), interrupt, state)
    };
    restore(state.device.clone()).unwrap();
    for len in 0..state.device.len() {
        assert!(restore(state.device[..len].to_vec()).is_err());
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut damaged = state.device.clone();
            damaged[len] = value;
            drop(restore(damaged));
        }
    }
}

#[test]
fn reset_empties_the_ledger_and_keeps_the_target() {
    let mut rig = Rig::started();
    rig.handle.set_target(50);
    rig.list(INFLATE, &[500]);
    rig.driver.write(ACTUAL, 1);
    rig.driver.write(POISON, 1);
    rig.driver
        .offer(STATISTICS, &[Buffer(FREE_MEMORY, 10, Access::Readable)]);
    rig.driver.kick(STATISTICS);
    rig.driver.start(ALL, 64);
    let BalloonStatus {
        target_pages,
        actual_pages,
        given_up_pages,
        statistics,
        ..
    } = rig.status();
    assert_eq!((target_pages, actual_pages, given_up_pages), (50, 0, 0));
    assert_eq!(statistics, None);
    assert_eq!(rig.driver.read(POISON), 0);
    rig.list(INFLATE, &[501]);
    assert_eq!(rig.handle.given_up(), [range(501, 1)]);
}
