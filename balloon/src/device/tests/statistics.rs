//! The statistics queue: one buffer, mostly held by the device.

use super::*;
use crate::{Reason, SelfBallooningSettings};

/// Offers the statistics buffer with a free memory of `free_bytes`, as after boot or a request.
fn send(rig: &mut Rig, free_bytes: u64) {
    let mut entry = [0; 10];
    entry[0] = 4;
    entry[2..].copy_from_slice(&free_bytes.to_le_bytes());
    rig.driver
        .memory
        .write_slice(&entry, GuestAddress(FREE_MEMORY))
        .unwrap();
    rig.driver
        .offer(STATISTICS, &[Buffer(FREE_MEMORY, 10, Access::Readable)]);
    rig.driver.kick(STATISTICS);
}

fn free_bytes(rig: &Rig) -> Option<u64> {
    rig.status().statistics?.free_bytes
}

#[test]
fn first_statistics_are_read_and_their_buffer_is_held() {
    let mut rig = Rig::started();
    assert_eq!(rig.status().statistics, None);
    send(&mut rig, 4096);
    assert_eq!(free_bytes(&rig), Some(4096));
    assert_eq!(rig.driver.take_used(STATISTICS), []);
}

#[test]
fn request_returns_the_buffer_and_the_next_one_brings_new_numbers() {
    let mut rig = Rig::started();
    send(&mut rig, 1);
    for round in 2..300 {
        rig.handle.request_statistics();
        assert_eq!(rig.driver.run_events(), 1);
        assert_eq!(rig.driver.take_used(STATISTICS).len(), 1);
        assert_eq!(rig.driver.take_interrupt(), Some(0x1));
        send(&mut rig, round);
        assert_eq!(free_bytes(&rig), Some(round));
    }
}

#[test]
fn requests_while_the_guest_still_works_on_one_are_one() {
    let mut rig = Rig::started();
    send(&mut rig, 1);
    for _ in 0..3 {
        rig.handle.request_statistics();
    }
    rig.driver.run_events();
    assert_eq!(rig.driver.take_used(STATISTICS).len(), 1);
    rig.handle.request_statistics();
    rig.handle.request_statistics();
    rig.driver.run_events();
    send(&mut rig, 2);
    assert_eq!(rig.driver.take_used(STATISTICS).len(), 1);
    send(&mut rig, 3);
    assert_eq!(rig.driver.take_used(STATISTICS), []);
    assert_eq!(free_bytes(&rig), Some(3));
}

#[test]
fn statistics_with_the_event_index_are_kicked_every_time() {
    let mut rig = Rig::new();
    rig.driver.start(ALL | 1 << 29, 128);
    for round in 1..10 {
        // avail_event, behind the used ring of queue 2: the driver must kick for the next entry.
        let used_ring = 0x1000 + 2 * 0x3000 + 0x2000;
        let event = GuestAddress(used_ring + 4 + 8 * 128);
        assert_eq!(rig.driver.memory.read_obj::<u16>(event).unwrap(), round - 1);
        send(&mut rig, u64::from(round));
        rig.handle.request_statistics();
        rig.driver.run_events();
        assert_eq!(rig.driver.take_used(STATISTICS).len(), 1);
    }
}

#[test]
fn buffer_of_one_byte_or_one_mebibyte_is_read_within_bounds() {
    for len_bytes in [1, 1 << 20] {
        let mut rig = Rig::started();
        rig.driver.offer(
            STATISTICS,
            &[Buffer(FREE_MEMORY, len_bytes, Access::Readable)],
        );
        rig.driver.kick(STATISTICS);
        assert!(!rig.needs_reset());
        assert!(rig.status().statistics.is_some());
    }
}

#[test]
fn second_buffer_while_one_is_held_needs_a_reset() {
    let mut rig = Rig::started();
    send(&mut rig, 1);
    send(&mut rig, 2);
    assert!(rig.needs_reset());
}

#[test]
fn pages_taken_out_because_the_guest_lacks_memory_are_made_ready_and_others_are_not() {
    let mut rig = Rig::started();
    rig.list(INFLATE, &[500, 501, 502, 503]);
    rig.driver.write(ACTUAL, 200);
    rig.handle.set_target(200);
    rig.handle
        .set_self_ballooning(Some(SelfBallooningSettings::default()));
    // What is to stay free are 128 pages.
    send(&mut rig, 64 << 12);
    let change = rig.handle.poll().unwrap();
    assert_eq!((change.target_pages, change.reason), (136, Reason::Free));
    rig.list(DEFLATE, &[501, 502]);
    assert_eq!(rig.prepared(), [range(501, 2)]);
    rig.handle.set_target(0);
    rig.list(DEFLATE, &[503]);
    assert_eq!(rig.prepared(), []);
}
