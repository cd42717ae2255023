//! Drivers that lie.

use devices::virtio::VirtioTransport;

use super::*;

/// Offers one request and expects that nothing is discarded, entered or returned for it.
fn expect_refused(queue: QueueIndex, buffers: &[Buffer]) {
    let mut rig = Rig::started();
    rig.driver.offer(queue, buffers);
    rig.driver.kick(queue);
    assert!(rig.needs_reset());
    assert_eq!(rig.driver.take_interrupt(), Some(0x2));
    assert_eq!(rig.discarded(), []);
    assert_eq!(rig.handle.given_up(), []);
    assert_eq!(rig.driver.take_used(queue), []);
    assert_eq!(rig.driver.transport.misbehaviour_count(), 1);
    rig.driver.start(ALL, 128);
    rig.list(INFLATE, &[900]);
    assert_eq!(rig.discarded(), [range(900, 1)]);
}

#[test]
fn list_that_is_no_list_of_pages_is_refused() {
    for queue in [INFLATE, DEFLATE] {
        for len_bytes in [1, 2, 3, 5, (16 << 10) + 4, 1 << 20] {
            expect_refused(queue, &[Buffer(FREE_MEMORY, len_bytes, Access::Readable)]);
        }
        expect_refused(queue, &[Buffer(FREE_MEMORY, 4, Access::Writable)]);
        let mixed = [
            Buffer(FREE_MEMORY, 4, Access::Readable),
            Buffer(FREE_MEMORY, 4, Access::Writable),
        ];
        expect_refused(queue, &mixed);
    }
}

#[test]
fn report_with_something_to_read_is_refused() {
    expect_refused(REPORTING, &[Buffer(512 << 12, 4096, Access::Readable)]);
}

#[test]
fn report_of_four_gibibytes_at_the_end_of_memory_is_refused() {
    expect_refused(REPORTING, &[Buffer(512 << 12, u32::MAX, Access::Writable)]);
    expect_refused(
        REPORTING,
        &[Buffer((1024 << 12) - 4096, 8192, Access::Writable)],
    );
}

#[test]
fn one_page_outside_memory_spoils_the_whole_list() {
    for page in [1024, 0xffff_ffff] {
        for queue in [INFLATE, DEFLATE] {
            let mut rig = Rig::started();
            rig.list(queue, &[500, 501, page]);
            assert!(rig.needs_reset());
            assert_eq!(rig.discarded(), []);
            assert_eq!(rig.handle.given_up(), []);
        }
    }
}

#[test]
fn list_of_duplicates_is_discarded_once() {
    let mut rig = Rig::started();
    rig.list(INFLATE, &[500; 4096]);
    assert_eq!(rig.discarded(), [range(500, 1)]);
    assert_eq!(rig.status().given_up_pages, 1);
}

#[test]
fn empty_list_is_returned_and_nothing_else() {
    let mut rig = Rig::started();
    rig.list(INFLATE, &[]);
    assert_eq!(rig.driver.take_used(INFLATE), [(0, 0)]);
    assert_eq!(rig.discarded(), []);
}

#[test]
fn inflating_the_queues_own_pages_hurts_only_the_guest() {
    let mut rig = Rig::started();
    rig.list(INFLATE, &(0..64).collect::<Vec<_>>());
    assert_eq!(rig.discarded(), [range(0, 64)]);
    rig.driver.kick(INFLATE);
    rig.driver.kick(STATISTICS);
    rig.driver.start(ALL, 128);
    rig.list(INFLATE, &[500]);
    assert_eq!(rig.discarded(), [range(500, 1)]);
}

#[test]
fn ten_thousand_random_requests_never_panic_nor_leave_memory() {
    let mut seed: u64 = 0x1234_5678_9abc_def1;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let mut rig = Rig::started();
    for _ in 0..10_000 {
        let queue = QueueIndex(u16::try_from(random() % 5).unwrap());
        match random() % 8 {
            0 => rig.driver.write(
                0x100 + random() % 16,
                u32::try_from(random() % 512).unwrap(),
            ),
            1 => rig.handle.request_statistics(),
            2 => rig
                .handle
                .set_target(u32::try_from(random() % 2048).unwrap()),
            3 => rig.driver.transport.pause(),
            _ if queue.0 < 4 => {
                let access = if random() % 2 == 0 {
                    Access::Readable
                } else {
                    Access::Writable
                };
                let address = (512 << 12) + random() % (520 << 12);
                let len_bytes = u32::try_from(random() % 64 * (random() % 512)).unwrap();
                rig.driver
                    .offer(queue, &[Buffer(address, len_bytes, access)]);
                let garbage = u32::try_from(random() % 1100).unwrap();
                drop(
                    rig.driver
                        .memory
                        .write_obj(garbage, GuestAddress(address & !3)),
                );
            }
            _ => {}
        }
        rig.driver.kick(queue);
        if random() % 4 == 0 {
            rig.driver.transport.resume();
        }
        if rig.needs_reset() {
            rig.driver.transport.resume();
            rig.driver.start(ALL, 32);
        }
    }
    let inside = |range: &PfnRange| range.end().0 <= 1024 && range.pages > 0;
    assert!(rig.discarded().iter().all(inside));
    assert!(rig.handle.given_up().iter().all(inside));
}
