//! Configuration, inflating, deflating, reporting.

use super::*;

#[test]
fn device_offers_type_5_its_features_and_128_entries() {
    let mut rig = Rig::new();
    assert_eq!(rig.driver.read(0x008), 5);
    assert_eq!(rig.driver.read(0x010), 0x3000_0037);
    for queue in 0..5 {
        rig.driver.write(0x030, queue);
        assert_eq!(rig.driver.read(0x034), 128);
    }
}

#[test]
fn target_set_by_the_host_reaches_the_driver_with_an_interrupt() {
    let mut rig = Rig::started();
    rig.handle.set_target(0x1234);
    assert_eq!(rig.driver.take_interrupt(), Some(0x2));
    assert_eq!(rig.driver.read(NUM_PAGES), 0x1234);
    rig.driver.write(ACTUAL, 0x1200);
    assert_eq!(rig.driver.read(ACTUAL), 0x1200);
    assert_eq!(rig.driver.read(HINT_COMMAND), 1);
    let BalloonStatus {
        target_pages,
        actual_pages,
        ..
    } = rig.status();
    assert_eq!((target_pages, actual_pages), (0x1234, 0x1200));
}

#[test]
fn target_set_before_the_driver_is_there_or_while_paused_is_announced_later() {
    let mut rig = Rig::new();
    rig.handle.set_target(7);
    assert_eq!(rig.driver.take_interrupt(), None);
    rig.driver.start(ALL, 128);
    assert_eq!(rig.driver.take_interrupt(), Some(0x2));
    rig.driver.write(ACTUAL, 7);

    use devices::virtio::VirtioTransport;
    rig.driver.transport.pause();
    rig.handle.set_target(9);
    assert_eq!(rig.driver.take_interrupt(), None);
    rig.driver.transport.resume();
    assert_eq!(rig.driver.take_interrupt(), Some(0x2));
    assert_eq!(rig.driver.read(NUM_PAGES), 9);
}

#[test]
fn configuration_written_where_it_must_not_be_stays() {
    let mut rig = Rig::started();
    rig.handle.set_target(3);
    for (offset, value) in [(NUM_PAGES, 1), (HINT_COMMAND, 1), (0x110, 1), (0x106, 1)] {
        rig.driver.write(offset, value);
    }
    assert_eq!(rig.driver.read(NUM_PAGES), 3);
    assert_eq!(rig.status().actual_pages, 0);
}

#[test]
fn pages_inflated_in_any_order_are_discarded_as_ranges() {
    let mut rig = Rig::started();
    let pages: Vec<u32> = (500..628).rev().chain(700..828).collect();
    rig.driver
        .memory
        .write_slice(&[0xaa; 4096], GuestAddress(600 << 12))
        .unwrap();
    rig.list(INFLATE, &pages);
    assert_eq!(rig.driver.take_used(INFLATE), [(0, 0)]);
    assert_eq!(rig.driver.take_interrupt(), Some(0x1));
    assert_eq!(rig.discarded(), [range(500, 128), range(700, 128)]);
    assert_eq!(rig.handle.given_up(), [range(500, 128), range(700, 128)]);
    assert_eq!(rig.status().given_up_pages, 256);
    assert_eq!(rig.status().discarded_bytes, 256 << 12);
    assert_eq!(
        rig.driver
            .memory
            .read_obj::<u64>(GuestAddress(600 << 12))
            .unwrap(),
        0
    );
}

#[test]
fn pages_deflated_leave_the_ledger_and_are_not_discarded() {
    let mut rig = Rig::started();
    rig.list(INFLATE, &[500, 501, 502, 503]);
    rig.discarded();
    rig.list(DEFLATE, &[501, 900]);
    assert_eq!(rig.handle.given_up(), [range(500, 1), range(502, 2)]);
    assert_eq!(rig.discarded(), []);
    assert_eq!(rig.driver.take_used(DEFLATE).len(), 1);
}

#[test]
fn page_moved_by_balloon_compaction_changes_places_in_the_ledger() {
    let mut rig = Rig::started();
    rig.list(INFLATE, &[500]);
    rig.list(INFLATE, &[501]);
    rig.list(DEFLATE, &[500]);
    assert_eq!(rig.handle.given_up(), [range(501, 1)]);
}

#[test]
fn more_requests_than_a_turn_are_all_served() {
    let mut rig = Rig::started();
    for page in 0..20_u32 {
        let address = FREE_MEMORY + u64::from(page) * 4;
        rig.driver
            .memory
            .write_obj(600 + page, GuestAddress(address))
            .unwrap();
        rig.driver
            .offer(INFLATE, &[Buffer(address, 4, Access::Readable)]);
    }
    rig.driver.kick(INFLATE);
    assert_eq!(rig.handle.given_up(), [range(600, 20)]);
}

/// Reports 32 blocks of two pages, every other block.
fn report(rig: &mut Rig, queue: QueueIndex) {
    let blocks: Vec<Buffer> = (0..32)
        .map(|block| Buffer((512 + 4 * block) << 12, 0x2000, Access::Writable))
        .collect();
    rig.driver.offer(queue, &blocks);
    rig.driver.kick(queue);
    assert_eq!(rig.driver.take_used(queue), [(0, 0)]);
}

#[test]
fn report_of_32_blocks_is_discarded_and_not_entered_in_the_ledger() {
    let mut rig = Rig::started();
    report(&mut rig, REPORTING);
    let blocks: Vec<PfnRange> = (0..32).map(|block| range(512 + 4 * block, 2)).collect();
    assert_eq!(rig.discarded(), blocks);
    assert_eq!(rig.status().reported_bytes, 64 << 12);
    assert_eq!(rig.handle.given_up(), []);
}

#[test]
fn report_without_statistics_comes_on_queue_2() {
    let mut rig = Rig::new();
    assert_eq!(rig.driver.negotiate(REPORTING_ONLY), 0xb);
    for queue in 0..3 {
        assert!(rig.driver.set_up_queue(QueueIndex(queue), 64));
    }
    rig.driver.write(0x070, 0xf);
    report(&mut rig, QueueIndex(2));
    assert_eq!(rig.discarded().len(), 32);
}

#[test]
fn report_of_a_guest_that_poisons_free_pages_discards_nothing() {
    let mut rig = Rig::started();
    rig.driver.write(POISON, 0xaaaa_aaaa);
    report(&mut rig, REPORTING);
    assert_eq!(rig.discarded(), []);
    assert_eq!(rig.status().reported_bytes, 64 << 12);
    rig.driver.write(POISON, 0);
    report_again(&mut rig);
    assert_eq!(rig.discarded(), [range(512, 1)]);
}

fn report_again(rig: &mut Rig) {
    rig.driver
        .offer(REPORTING, &[Buffer(512 << 12, 4096, Access::Writable)]);
    rig.driver.kick(REPORTING);
}

#[test]
fn report_of_parts_of_pages_discards_whole_ones_only() {
    let mut rig = Rig::started();
    let blocks = [
        Buffer((512 << 12) + 1, 0x2fff, Access::Writable),
        Buffer(600 << 12, 0xfff, Access::Writable),
        Buffer(600 << 12, 0, Access::Writable),
    ];
    rig.driver.offer(REPORTING, &blocks);
    rig.driver.kick(REPORTING);
    assert_eq!(rig.discarded(), [range(513, 2)]);
}

#[test]
fn host_that_refuses_pages_is_counted_and_the_guest_goes_on() {
    let memory = FakeDriver::<Balloon>::small_memory();
    let balloon = Balloon::new(memory.clone(), Box::new(Unwilling));
    let handle = balloon.handle();
    let mut driver = FakeDriver::new(balloon, memory);
    driver.start(ALL, 128);
    driver.offer(REPORTING, &[Buffer(512 << 12, 4096, Access::Writable)]);
    driver.kick(REPORTING);
    assert_eq!(driver.take_used(REPORTING).len(), 1);
    let BalloonStatus {
        failed_discards,
        discarded_bytes,
        reported_bytes,
        ..
    } = handle.status();
    assert_eq!(
        (failed_discards, discarded_bytes, reported_bytes),
        (1, 0, 4096)
    );
}

#[test]
fn driver_without_features_inflates_all_the_same_but_promises_nothing() {
    let mut rig = Rig::new();
    assert_eq!(rig.driver.negotiate(0), 0xb);
    assert!(rig.driver.set_up_queue(INFLATE, 128) && rig.driver.set_up_queue(DEFLATE, 128));
    rig.driver.write(0x070, 0xf);
    rig.list(INFLATE, &[800]);
    rig.handle.request_statistics();
    assert_eq!(rig.driver.run_events(), 0);
    assert_eq!(rig.discarded(), [range(800, 1)]);
    assert_eq!(rig.handle.given_up(), []);
}

#[test]
fn balloon_without_reporting_offers_all_but_that() {
    let memory = FakeDriver::<Balloon>::small_memory();
    let balloon = || Balloon::new(memory.clone(), Box::new(Unwilling));
    let with = VirtioDevice::features(&balloon());
    let without = VirtioDevice::features(&balloon().without_reporting());
    assert_eq!(with & !without, crate::queues::PAGE_REPORTING);
    assert_eq!(without & !with, 0);
}
