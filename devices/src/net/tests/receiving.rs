//! Frames for the driver.

use super::*;

/// The end of a header that says how many buffers a frame takes.
fn num_buffers(header: &[u8]) -> u16 {
    u16::from_le_bytes([header[10], header[11]])
}

#[test]
fn frame_fills_one_buffer_and_its_driver_is_interrupted() {
    let (mut driver, far) = started(0);
    driver.offer(
        RECEIVE,
        &[
            writable(FREE_MEMORY, 10),
            writable(FREE_MEMORY + 0x100, 1600),
        ],
    );
    driver.kick(RECEIVE);
    far.send(&with_header(&frame(1000))).unwrap();
    assert_eq!(driver.wait_used(RECEIVE, 1), [1012]);
    let header = [
        driver.get(FREE_MEMORY, 10),
        driver.get(FREE_MEMORY + 0x100, 2),
    ]
    .concat();
    assert_eq!(num_buffers(&header), 1);
    assert_eq!(driver.get(FREE_MEMORY + 0x102, 1000), frame(1000));
    driver.wait_until(|counters| counters.received_frames == 1);
    assert_eq!(driver.counters().received_bytes, 1000);
    assert_eq!(driver.take_interrupt(), Some(1));
}

#[test]
fn frame_waits_for_a_buffer() {
    let (mut driver, far) = started(0);
    far.send(&with_header(&frame(60))).unwrap();
    std::thread::sleep(A_WHILE);
    assert_eq!(driver.counters(), NetCounters::default());
    driver.offer(RECEIVE, &[writable(FREE_MEMORY, 1600)]);
    driver.kick(RECEIVE);
    assert_eq!(driver.wait_used(RECEIVE, 1), [72]);
}

#[test]
fn long_frame_takes_as_many_buffers_as_it_needs() {
    let (mut driver, far) = started(MRG_RXBUF);
    let places: Vec<u64> = (0..5).map(|number| FREE_MEMORY + number * 0x1000).collect();
    for at in &places {
        driver.offer(RECEIVE, &[writable(*at, 512)]);
    }
    driver.kick(RECEIVE);
    far.send(&with_header(&frame(1400))).unwrap();
    assert_eq!(driver.wait_used(RECEIVE, 3), [512, 512, 388]);
    let got = [0, 1, 2]
        .map(|number| driver.get(places[number], 512))
        .concat();
    assert_eq!(num_buffers(&got), 3);
    assert_eq!(got[HEADER_BYTES..1412], frame(1400));
    // What is left is too little for any frame, until there is more.
    far.send(&with_header(&frame(60))).unwrap();
    std::thread::sleep(A_WHILE);
    assert_eq!(driver.counters().received_frames, 1);
    driver.offer(RECEIVE, &[writable(FREE_MEMORY + 0x8000, 1024)]);
    driver.kick(RECEIVE);
    assert_eq!(driver.wait_used(RECEIVE, 1), [72]);
    assert_eq!(driver.get(places[3] + 12, 60), frame(60));
}

#[test]
fn segments_of_64_kib_come_to_a_driver_that_takes_them() {
    let (mut driver, far) = started(MRG_RXBUF | GUEST_CSUM | GUEST_TSO4);
    for number in 0..4 {
        driver.offer(RECEIVE, &[writable(FREE_MEMORY + number * 0x8000, 0x8000)]);
    }
    driver.kick(RECEIVE);
    far.send(&with_header(&frame(65_000))).unwrap();
    assert_eq!(driver.wait_used(RECEIVE, 2), [0x8000, 65_012 - 0x8000]);
    assert_eq!(driver.get(FREE_MEMORY + 12, 65_000), frame(65_000));
}

#[test]
fn frame_that_does_not_fit_is_dropped_and_its_buffer_taken_for_the_next() {
    let (mut driver, far) = started(0);
    driver.offer(RECEIVE, &[writable(FREE_MEMORY, 100)]);
    driver.kick(RECEIVE);
    far.send(&with_header(&frame(89))).unwrap();
    driver.wait_until(|counters| counters.receive_drops == 1);
    far.send(&with_header(&frame(88))).unwrap();
    assert_eq!(driver.wait_used(RECEIVE, 1), [100]);
    assert_eq!(driver.get(FREE_MEMORY + 12, 88), frame(88));
}

#[test]
fn what_is_written_is_marked_as_dirty_and_nothing_else() {
    use vm_memory::bitmap::Bitmap as _;
    use vm_memory::{GuestMemoryBackend as _, GuestMemoryRegion as _};

    let (mut driver, far) = started(0);
    let region = driver.memory.iter().next().unwrap().bitmap();
    assert!(!region.dirty_at(usize::try_from(FREE_MEMORY).unwrap()));
    driver.offer(RECEIVE, &[writable(FREE_MEMORY, 0x3000)]);
    driver.kick(RECEIVE);
    far.send(&with_header(&frame(5000))).unwrap();
    driver.wait_used(RECEIVE, 1);
    let region = driver.memory.iter().next().unwrap().bitmap();
    let is_dirty =
        |page: u64| region.dirty_at(usize::try_from(FREE_MEMORY + page * 0x1000).unwrap());
    assert_eq!([0, 1, 2].map(is_dirty), [true, true, false]);
}
