//! Pages that the guest names when it is asked to.

use devices::virtio::VirtioTransport;

use super::*;
use crate::Hints;

const HINTS: QueueIndex = QueueIndex(3);
const REPORTING_AFTER_HINTS: QueueIndex = QueueIndex(4);
const ALL_AND_HINTS: u64 = ALL | 0x8;

const CONFIG_CHANGED: Option<u32> = Some(0x2);
const STOP: u32 = 0;
const DONE: u32 = 1;

fn started() -> Rig {
    let mut rig = Rig::of(Balloon::with_hinting);
    rig.driver.start(ALL_AND_HINTS, 128);
    rig
}

/// A balloon whose driver has been asked and has begun to answer.
fn naming() -> Rig {
    let mut rig = started();
    rig.handle.ask_for_hints();
    assert_eq!(rig.driver.take_interrupt(), CONFIG_CHANGED);
    let id = rig.driver.read(HINT_COMMAND);
    rig.say(id);
    rig.driver.take_interrupt();
    rig
}

impl Rig {
    /// Sends a command id.
    fn say(&mut self, id: u32) {
        self.list(HINTS, &[id]);
    }

    /// Names `pages` from page `first` on.
    fn name(&mut self, first: u64, pages: u32) {
        let buffer = Buffer(first << 12, pages << 12, Access::Writable);
        self.driver.offer(HINTS, &[buffer]);
        self.driver.kick(HINTS);
    }

    fn named(&self) -> Vec<PfnRange> {
        self.handle.take_hints().pages
    }

    fn is_complete(&self) -> bool {
        self.handle.take_hints().is_complete
    }
}

#[test]
fn hinting_is_offered_only_where_it_is_asked_for() {
    assert_eq!(Rig::new().driver.read(0x010), 0x3000_0037);
    let mut rig = Rig::of(Balloon::with_hinting);
    assert_eq!(rig.driver.read(0x010), 0x3000_003f);
    let mut plain = Rig::of(|balloon| balloon.without_reporting().with_hinting());
    assert_eq!(plain.driver.read(0x010), 0x3000_001f);
}

#[test]
fn pages_named_between_the_id_and_stop_are_hints_and_nothing_is_discarded() {
    let mut rig = naming();
    assert!(rig.driver.read(HINT_COMMAND) > DONE);
    assert_eq!(rig.driver.take_used(HINTS).len(), 1);
    rig.name(600, 4);
    rig.name(500, 2);
    rig.name(602, 3);
    let expected = Hints {
        pages: vec![range(500, 2), range(600, 5)],
        is_complete: false,
    };
    assert_eq!(rig.handle.take_hints(), expected);
    assert_eq!(rig.driver.take_used(HINTS).len(), 3);
    rig.name(700, 1);
    rig.say(STOP);
    let last = Hints {
        pages: vec![range(700, 1)],
        is_complete: true,
    };
    assert_eq!(rig.handle.take_hints(), last);
    rig.name(701, 1);
    assert_eq!(rig.named(), []);
    assert_eq!(rig.discarded(), []);
    assert_eq!(rig.handle.given_up(), []);
    assert!(!rig.needs_reset());
}

#[test]
fn id_and_pages_in_one_request_are_taken_in_this_order() {
    let mut rig = started();
    rig.handle.ask_for_hints();
    let id = rig.driver.read(HINT_COMMAND);
    rig.driver
        .memory
        .write_obj(id, GuestAddress(FREE_MEMORY))
        .unwrap();
    let buffers = [
        Buffer(FREE_MEMORY, 4, Access::Readable),
        Buffer((500 << 12) + 1, 3 << 12, Access::Writable),
        Buffer(600 << 12, 100, Access::Writable),
    ];
    rig.driver.offer(HINTS, &buffers);
    rig.driver.kick(HINTS);
    assert_eq!(rig.named(), [range(501, 2)]);
}

#[test]
fn pages_named_under_no_id_or_another_are_not_taken() {
    let mut rig = started();
    rig.name(500, 1);
    rig.say(2);
    rig.name(500, 1);
    assert!(rig.is_complete());
    rig.handle.ask_for_hints();
    let id = rig.driver.read(HINT_COMMAND);
    for other in [STOP, DONE, id - 1, id + 1, u32::MAX] {
        rig.say(other);
        rig.name(500, 1);
        assert_eq!(rig.handle.take_hints(), Hints::default());
        rig.say(id);
        rig.say(id + 7);
        rig.name(500, 1);
        assert_eq!(rig.handle.take_hints(), Hints::default());
    }
    rig.say(id);
    rig.name(501, 1);
    // Those of the first asking are none of the second's.
    rig.handle.ask_for_hints();
    assert_ne!(rig.driver.read(HINT_COMMAND), id);
    rig.name(502, 1);
    rig.say(id);
    rig.name(503, 1);
    assert_eq!(rig.handle.take_hints(), Hints::default());
}

#[test]
fn driver_keeps_its_pages_from_stop_to_release() {
    let mut rig = naming();
    rig.name(500, 1);
    rig.driver.take_interrupt();
    rig.handle.stop_hints();
    assert_eq!(rig.driver.take_interrupt(), CONFIG_CHANGED);
    assert_eq!(rig.driver.read(HINT_COMMAND), STOP);
    rig.name(501, 1);
    assert_eq!((rig.named(), rig.is_complete()), (vec![], true));
    rig.driver.transport.pause();
    rig.driver.transport.resume();
    rig.driver.take_interrupt();
    assert_eq!(rig.driver.read(HINT_COMMAND), STOP);
    rig.handle.release_hints();
    assert_eq!(rig.driver.take_interrupt(), CONFIG_CHANGED);
    assert_eq!(rig.driver.read(HINT_COMMAND), DONE);
    rig.handle.release_hints();
    rig.handle.stop_hints();
    assert_eq!(rig.driver.take_interrupt(), None);
    assert_eq!(rig.driver.read(HINT_COMMAND), DONE);
}

#[test]
fn guest_that_is_not_able_or_relies_on_poison_is_not_asked() {
    let mut without = Rig::of(Balloon::with_hinting);
    without.driver.start(ALL, 128);
    let mut poisoned = started();
    poisoned.driver.write(POISON, 0xaaaa_aaaa);
    let mut paused = started();
    paused.driver.transport.pause();
    for rig in [&mut without, &mut poisoned, &mut paused] {
        rig.handle.ask_for_hints();
        assert!(rig.is_complete());
        assert_eq!(rig.driver.read(HINT_COMMAND), DONE);
        assert_eq!(rig.driver.take_interrupt(), None);
    }
    let mut late = naming();
    late.driver.write(POISON, 1);
    late.name(500, 1);
    assert_eq!(late.named(), []);
}

#[test]
fn moves_at_any_moment_of_hinting_end_it_and_release_what_was_named() {
    for moment in 0..4 {
        let mut rig = started();
        rig.handle.ask_for_hints();
        let id = rig.driver.read(HINT_COMMAND);
        if moment >= 1 {
            rig.say(id);
            rig.name(500, 1);
        }
        if moment >= 2 {
            rig.handle.stop_hints();
        }
        rig.driver.transport.pause();
        if moment == 3 {
            rig.handle.release_hints();
        }
        // Available, and not served before the move.
        rig.name(501, 1);
        let mut rig = rig.moved();
        assert!(rig.is_complete());
        rig.driver.take_interrupt();
        rig.driver.transport.resume();
        assert_eq!(rig.driver.take_interrupt(), CONFIG_CHANGED, "{moment}");
        assert_eq!(rig.driver.read(HINT_COMMAND), DONE, "{moment}");
        rig.driver.run_events();
        rig.name(502, 1);
        assert_eq!(rig.named(), [], "{moment}");
        rig.handle.ask_for_hints();
        let next = rig.driver.read(HINT_COMMAND);
        assert!(next > id, "{moment}: {next} after {id}");
        rig.say(next);
        rig.name(503, 1);
        assert_eq!(rig.named(), [range(503, 1)], "{moment}");
        assert_eq!(rig.discarded(), []);
    }
}

#[test]
fn stop_and_start_in_the_middle_of_hinting_lose_nothing() {
    let mut rig = naming();
    rig.name(500, 1);
    rig.driver.transport.pause();
    rig.name(501, 1);
    rig.driver.transport.resume();
    rig.driver.run_events();
    rig.name(502, 1);
    assert_eq!(rig.named(), [range(500, 3)]);
}

#[test]
fn reset_ends_hinting_and_no_id_comes_twice() {
    let mut rig = naming();
    let id = rig.driver.read(HINT_COMMAND);
    rig.name(500, 1);
    rig.driver.start(ALL_AND_HINTS, 64);
    assert_eq!(rig.driver.read(HINT_COMMAND), DONE);
    assert_eq!((rig.named(), rig.is_complete()), (vec![], true));
    rig.handle.ask_for_hints();
    assert_eq!(rig.driver.read(HINT_COMMAND), id + 1);
}

#[test]
fn ids_begin_again_after_the_last_one() {
    let mut rig = started();
    rig.handle.lock().hinting = crate::hinting::Hinting::restored(DONE, u32::MAX);
    rig.handle.ask_for_hints();
    assert_eq!(rig.driver.read(HINT_COMMAND), 2);
}

#[test]
fn hints_of_the_wrong_form_are_refused() {
    for buffer in [
        Buffer(FREE_MEMORY, 3, Access::Readable),
        Buffer(FREE_MEMORY, 5, Access::Readable),
        Buffer(FREE_MEMORY, 1 << 20, Access::Readable),
        Buffer(512 << 12, u32::MAX, Access::Writable),
        Buffer((1024 << 12) - 4096, 8192, Access::Writable),
        Buffer(1 << 40, 4096, Access::Writable),
    ] {
        let mut rig = naming();
        rig.name(500, 1);
        rig.driver.take_used(HINTS);
        rig.driver.offer(HINTS, &[buffer]);
        rig.driver.kick(HINTS);
        assert!(rig.needs_reset());
        assert_eq!(rig.driver.transport.misbehaviour_count(), 1);
        assert_eq!(rig.driver.take_used(HINTS), []);
        assert_eq!(rig.named(), [range(500, 1)]);
    }
}

#[test]
fn all_of_memory_named_without_end_is_held_once() {
    let mut rig = naming();
    for _ in 0..1000 {
        rig.name(0, 1024);
        rig.driver.take_used(HINTS);
    }
    assert_eq!(rig.named(), [range(0, 1024)]);
    assert!(!rig.needs_reset());
}

#[test]
fn reports_beside_hints_have_their_own_queue() {
    let mut rig = naming();
    let buffer = Buffer(700 << 12, 4096, Access::Writable);
    rig.driver.offer(REPORTING_AFTER_HINTS, &[buffer]);
    rig.driver.kick(REPORTING_AFTER_HINTS);
    assert_eq!(rig.discarded(), [range(700, 1)]);
    assert_eq!(rig.named(), []);
}
