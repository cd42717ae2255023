//! Drivers that do what they must not.

use super::*;

/// DEVICE_NEEDS_RESET among the others.
const BROKEN: u32 = 0x4f;

#[test]
fn buffers_that_cannot_be_filled_come_back_empty() {
    for features in [0, MRG_RXBUF] {
        let (mut driver, far) = started(features);
        driver.offer(RECEIVE, &[writable(FREE_MEMORY, 11)]);
        driver.offer(RECEIVE, &[readable(FREE_MEMORY, 2000)]);
        driver.offer(
            RECEIVE,
            &[readable(FREE_MEMORY, 2000), writable(FREE_MEMORY, 2000)],
        );
        driver.offer(RECEIVE, &[writable(FREE_MEMORY, 2000)]);
        driver.kick(RECEIVE);
        far.send(&with_header(&frame(60))).unwrap();
        assert_eq!(driver.wait_used(RECEIVE, 4), [0, 0, 0, 72]);
    }
}

#[test]
fn command_that_is_none_is_refused_and_one_without_a_place_for_an_answer_ignored() {
    let (mut driver, _far) = started(ANNOUNCE);
    driver.put(FREE_MEMORY, &[3, 1, 9, 9]);
    let answer = FREE_MEMORY + 0x100;
    for command in [readable(FREE_MEMORY, 2), readable(FREE_MEMORY, 1)] {
        driver.put(answer, &[0xff]);
        driver.offer(CONTROL, &[command, writable(answer, 1)]);
        driver.kick(CONTROL);
        assert_eq!(driver.wait_used(CONTROL, 1), [1]);
        assert_eq!(driver.get(answer, 1), [1]);
    }
    driver.offer(CONTROL, &[readable(FREE_MEMORY, 2)]);
    driver.kick(CONTROL);
    assert_eq!(driver.wait_used(CONTROL, 1), [0]);
}

#[test]
fn broken_queue_breaks_the_device_until_it_is_reset() {
    for queue in [RECEIVE, TRANSMIT, CONTROL] {
        let (mut driver, far) = started(0);
        driver.offer(queue, &[readable(u64::MAX - 5, 4)]);
        driver.kick(queue);
        let began = Instant::now();
        while driver.read(0x70) != BROKEN {
            assert!(began.elapsed() < PATIENCE, "{queue:?}");
        }
        driver.start(0, 16);
        driver.put(FREE_MEMORY, &with_header(&frame(60)));
        driver.offer(TRANSMIT, &[readable(FREE_MEMORY, 72)]);
        driver.kick(TRANSMIT);
        assert_eq!(receive(&far), with_header(&frame(60)));
    }
}

#[test]
fn driver_that_sets_up_one_queue_has_one() {
    let (card, far) = card();
    let mut driver = FakeDriver::new(card, FakeDriver::<Net>::small_memory());
    driver.negotiate(0);
    assert!(driver.set_up_queue(TRANSMIT, 16));
    driver.write(0x70, 0xf);
    far.send(&with_header(&frame(60))).unwrap();
    driver.put(FREE_MEMORY, &with_header(&frame(60)));
    driver.offer(TRANSMIT, &[readable(FREE_MEMORY, 72)]);
    driver.kick(TRANSMIT);
    assert_eq!(receive(&far), with_header(&frame(60)));
}
