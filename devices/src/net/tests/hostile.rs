//! Drivers that do what they must not.

use super::*;
use crate::virtio::fake_driver::Descriptor;

/// DEVICE_NEEDS_RESET among the others.
const BROKEN: u32 = 0x4f;

fn wait_until_broken(driver: &mut FakeDriver<Net>) {
    let began = Instant::now();
    while driver.read(0x70) != BROKEN {
        assert!(began.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
}

#[test]
fn buffer_that_cannot_be_filled_breaks_the_device() {
    for features in [0, MRG_RXBUF] {
        for buffers in [
            &[writable(FREE_MEMORY, 11)][..],
            &[readable(FREE_MEMORY, 2000)],
            &[readable(FREE_MEMORY, 2000), writable(FREE_MEMORY, 2000)],
        ] {
            let (mut driver, _far) = started(features);
            driver.offer(RECEIVE, buffers);
            driver.kick(RECEIVE);
            wait_until_broken(&mut driver);
        }
    }
}

#[test]
fn frame_for_a_buffer_in_more_pieces_than_the_kernel_takes_is_whole_or_dropped() {
    let (mut driver, far) = started(0);
    let table = FREE_MEMORY;
    for at in 0..1024 {
        let flags = if at < 1023 { 3 } else { 2 };
        let data = FREE_MEMORY + 0x1_0000 + u64::from(at);
        let descriptor = Descriptor::new(data, 1, flags, at + 1);
        driver.write_raw_descriptor(table + 16 * u64::from(at), descriptor);
    }
    // VIRTQ_DESC_F_INDIRECT.
    driver.write_descriptor(RECEIVE, 0, Descriptor::new(table, 16 * 1024, 4, 0));
    driver.offer_head(RECEIVE, 0);
    driver.kick(RECEIVE);
    far.send(&with_header(&frame(1012))).unwrap();
    driver.wait_until(|counters| counters.receive_drops == 1);
    far.send(&with_header(&frame(1011))).unwrap();
    assert_eq!(driver.wait_used(RECEIVE, 1), [1023]);
    assert_eq!(driver.get(FREE_MEMORY + 0x1_0000 + 12, 1011), frame(1011));
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
        wait_until_broken(&mut driver);
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
