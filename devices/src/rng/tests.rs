//! The entropy device behind its registers.

use vm_memory::GuestAddress;

use super::*;
use crate::virtio::fake_driver::{Access, Buffer, FREE_MEMORY, FakeDriver};
use crate::virtio::{GuestRange, VirtioTransport};

const QUEUE: QueueIndex = QueueIndex(0);

fn started() -> FakeDriver<Rng> {
    let mut driver = FakeDriver::new(Rng::default(), FakeDriver::<Rng>::small_memory());
    driver.start(0, 16);
    driver
}

fn writable(address: u64, len_bytes: u32) -> Buffer {
    Buffer(address, len_bytes, Access::Writable)
}

fn range(address: u64, len_bytes: u32) -> GuestRange {
    GuestRange {
        address: GuestAddress(address),
        len_bytes,
    }
}

fn zeroes(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == 0).count()
}

#[test]
fn request_of_64_bytes_is_filled_to_the_last() {
    let mut driver = started();
    driver.offer(QUEUE, &[writable(FREE_MEMORY, 64)]);
    driver.kick(QUEUE);
    assert_eq!(driver.take_used(QUEUE), [(0, 64)]);
    assert_eq!(driver.take_interrupt(), Some(1));
    assert!(zeroes(&driver.bytes(range(FREE_MEMORY, 64))) < 16);
    assert_eq!(zeroes(&driver.bytes(range(FREE_MEMORY + 64, 64))), 64);
}

#[test]
fn request_of_several_buffers_is_filled_across_pages() {
    let mut driver = started();
    let (first, second) = (FREE_MEMORY + 0x800, FREE_MEMORY + 0x10_000);
    driver.offer(
        QUEUE,
        &[
            writable(first, 0x1900),
            writable(second, 0),
            writable(second, 100),
        ],
    );
    driver.kick(QUEUE);
    assert_eq!(driver.take_used(QUEUE), [(0, 0x1900 + 100)]);
    for range in [range(first, 0x1900), range(second, 100)] {
        assert!(zeroes(&driver.bytes(range)) < range.len_bytes as usize / 16 + 10);
    }
    assert_eq!(zeroes(&driver.bytes(range(second + 100, 64))), 64);
}

#[test]
fn request_longer_than_the_limit_is_filled_up_to_it() {
    let mut driver = started();
    let (start, limit) = (1 << 20, 64 << 10);
    driver.offer(QUEUE, &[writable(start, 1 << 20), writable(start, 16)]);
    driver.kick(QUEUE);
    assert_eq!(driver.take_used(QUEUE), [(0, limit)]);
    assert_eq!(
        zeroes(&driver.bytes(range(start + u64::from(limit), 4096))),
        4096
    );
}

#[test]
fn two_requests_get_different_bytes() {
    let mut driver = started();
    driver.offer(QUEUE, &[writable(FREE_MEMORY, 32)]);
    driver.offer(QUEUE, &[writable(FREE_MEMORY + 32, 32)]);
    driver.kick(QUEUE);
    assert_eq!(driver.take_used(QUEUE).len(), 2);
    assert_ne!(
        driver.bytes(range(FREE_MEMORY, 32)),
        driver.bytes(range(FREE_MEMORY + 32, 32))
    );
}

#[test]
fn request_with_nothing_to_fill_or_something_to_read_is_returned_empty() {
    let mut driver = started();
    let readable = Buffer(FREE_MEMORY, 16, Access::Readable);
    driver.offer(QUEUE, &[readable]);
    driver.offer(QUEUE, &[readable, writable(FREE_MEMORY, 16)]);
    driver.kick(QUEUE);
    assert_eq!(driver.take_used(QUEUE), [(0, 0), (1, 0)]);
    assert_eq!(zeroes(&driver.bytes(range(FREE_MEMORY, 16))), 16);
    assert_eq!(driver.read(0x070), 0xf);
}

#[test]
fn ring_refilled_many_times_wraps_and_goes_on() {
    let mut driver = started();
    for _ in 0..(1 << 16) / 16 + 1 {
        for _ in 0..16 {
            driver.offer(QUEUE, &[writable(FREE_MEMORY, 1)]);
        }
        driver.kick(QUEUE);
        assert_eq!(driver.take_used(QUEUE).len(), 16);
    }
}

#[test]
fn filled_pages_are_marked_dirty() {
    use vm_memory::bitmap::Bitmap;
    use vm_memory::{GuestMemoryBackend, GuestMemoryRegion};
    let mut driver = started();
    driver.offer(QUEUE, &[writable(0x20_0ffe, 4)]);
    driver.kick(QUEUE);
    let region = driver.memory.find_region(GuestAddress(0)).unwrap();
    let dirty = |address| region.bitmap().dirty_at(address);
    assert!(dirty(0x20_0000) && dirty(0x20_1000) && !dirty(0x20_2000));
}

#[test]
fn device_moved_with_a_request_waiting_serves_it_there() {
    let mut driver = started();
    driver.offer(QUEUE, &[writable(FREE_MEMORY, 64)]);
    let (mut driver, state) = driver.move_to(Rng::default());
    assert_eq!(state.device, []);
    driver.transport.resume();
    driver.run_events();
    assert_eq!(driver.take_used(QUEUE), [(0, 64)]);
}
