//! Cards that may do only so much.

use std::num::NonZeroU64;

use super::*;
use crate::RateLimit;

/// 8 Mb/s: 50 ms for each of these frames.
const BITS_PER_S: u64 = 8_000_000;
const FRAME_BYTES: u32 = 50_000;

/// What 8 of them take at least, of which the last is not paid for: less a burst of a tenth of a second.
const LEAST: Duration = Duration::from_millis(7 * 50 - 100);

fn limited() -> (FakeDriver<Net>, UnixDatagram) {
    let (card, far) = card();
    let card = card.with_limit(RateLimit {
        bits_per_s: NonZeroU64::new(BITS_PER_S),
        requests_per_s: None,
    });
    let mut driver = FakeDriver::new(card, FakeDriver::<Net>::small_memory());
    driver.start(0, 16);
    (driver, far)
}

#[test]
fn frames_beyond_the_limit_wait_their_turn_to_be_sent() {
    let (mut driver, far) = limited();
    for _ in 0..8 {
        driver.offer(TRANSMIT, &[readable(FREE_MEMORY, FRAME_BYTES)]);
    }
    let began = Instant::now();
    driver.kick(TRANSMIT);
    for _ in 0..8 {
        receive(&far);
    }
    assert!(began.elapsed() >= LEAST, "{:?}", began.elapsed());
}

#[test]
fn frames_beyond_the_limit_wait_in_the_interface_to_be_received() {
    let (mut driver, far) = limited();
    for _ in 0..8 {
        driver.offer(RECEIVE, &[writable(FREE_MEMORY, 0xf000)]);
    }
    let began = Instant::now();
    driver.kick(RECEIVE);
    let bytes = vec![1; FRAME_BYTES as usize];
    for _ in 0..8 {
        far.send(&bytes).unwrap();
    }
    assert_eq!(driver.wait_used(RECEIVE, 8), [FRAME_BYTES; 8]);
    assert!(began.elapsed() >= LEAST, "{:?}", began.elapsed());
}
