//! Frames of the driver.

use super::*;

#[test]
fn frame_in_pieces_arrives_whole_and_is_counted() {
    let (mut driver, far) = started(0);
    let bytes = with_header(&frame(1000));
    driver.put(FREE_MEMORY, &bytes);
    let pieces = [(0, 5), (5, 7), (12, 800), (812, 200)];
    let buffers = pieces.map(|(at, len)| readable(FREE_MEMORY + at, len));
    driver.offer(TRANSMIT, &buffers);
    driver.kick(TRANSMIT);
    assert_eq!(receive(&far), bytes);
    assert_eq!(driver.wait_used(TRANSMIT, 1), [0]);
    driver.wait_until(|counters| counters.sent_frames == 1);
    assert_eq!(driver.counters().sent_bytes, 1000);
}

#[test]
fn frames_arrive_in_the_order_in_which_they_were_sent() {
    let (mut driver, far) = started(0);
    let mut sent = 0;
    for round in 0..40_u8 {
        for number in 0..8 {
            let at = FREE_MEMORY + 0x1000 * u64::from(number);
            driver.put(at, &with_header(&[round * 6 + number; 60]));
            driver.offer(TRANSMIT, &[readable(at, 72)]);
        }
        driver.kick(TRANSMIT);
        for number in 0..8 {
            assert_eq!(receive(&far)[HEADER_BYTES..], [round * 6 + number; 60]);
        }
        sent += driver.wait_used(TRANSMIT, 8).len();
    }
    assert_eq!(sent, 320);
}

#[test]
fn frame_that_is_none_is_dropped_and_the_next_one_sent() {
    let (mut driver, far) = started(0);
    driver.offer(TRANSMIT, &[readable(FREE_MEMORY, 25)]);
    driver.offer(TRANSMIT, &[readable(FREE_MEMORY, 70_000)]);
    driver.offer(
        TRANSMIT,
        &[readable(FREE_MEMORY, 64), writable(FREE_MEMORY, 64)],
    );
    driver.put(FREE_MEMORY, &with_header(&frame(14)));
    driver.offer(TRANSMIT, &[readable(FREE_MEMORY, 26)]);
    driver.kick(TRANSMIT);
    assert_eq!(receive(&far), with_header(&frame(14)));
    assert_eq!(driver.wait_used(TRANSMIT, 4), [0; 4]);
    driver.wait_until(|counters| counters.sent_frames == 1);
    assert_eq!(driver.counters().send_drops, 3);
}

#[test]
fn frames_into_a_cable_that_is_cut_are_dropped() {
    let (mut driver, far) = started(0);
    drop(far);
    driver.offer(TRANSMIT, &[readable(FREE_MEMORY, 72)]);
    driver.kick(TRANSMIT);
    assert_eq!(driver.wait_used(TRANSMIT, 1), [0]);
    driver.wait_until(|counters| counters.send_drops == 1);
}
