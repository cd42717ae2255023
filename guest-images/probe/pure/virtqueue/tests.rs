//! Tests of a queue, in which the test plays the device.

use std::sync::atomic::Ordering::Relaxed;

use super::{Buffer, Writer};

const SIZE: usize = 8;

type Queue = super::Queue<SIZE>;

fn buffer(gpa: u64, writer: Writer) -> Buffer {
    Buffer {
        gpa,
        bytes: 0x1000,
        writer,
    }
}

fn descriptor(queue: &Queue, place: usize) -> [u64; 2] {
    [0, 1].map(|word| queue.descriptors[place][word].load(Relaxed))
}

#[test]
fn parts_lie_as_a_device_expects_them() {
    let queue = Queue::new();
    let [descriptors, available, used] = queue.parts().map(<*const ()>::addr);
    assert_eq!(descriptors % 16, 0);
    assert_eq!(available, descriptors + 16 * SIZE);
    assert!(used % 4 == 0 && used >= available + 4 + 2 * SIZE);
    let ring = |address: usize, start: usize| address - start;
    assert_eq!(ring((&raw const queue.available).addr(), available), 4);
    assert_eq!(ring((&raw const queue.used_index).addr(), used), 2);
}

#[test]
fn offer_chains_its_buffers_and_ends_the_last() {
    let queue = Queue::new();
    queue.silence();
    assert_eq!(queue.available_flags.load(Relaxed), 1);
    let buffers = [1, 2, 3].map(|page| buffer(page << 12, Writer::Device));
    queue.offer(0, buffers.into_iter());
    assert_eq!(descriptor(&queue, 0), [0x1000, 0x0001_0003_0000_1000]);
    assert_eq!(descriptor(&queue, 1), [0x2000, 0x0002_0003_0000_1000]);
    assert_eq!(descriptor(&queue, 2), [0x3000, 0x0000_0002_0000_1000]);
    queue.used_index.store(1, Relaxed);
    queue.offer(0, [buffer(0x5000, Writer::Driver)].into_iter());
    assert_eq!(descriptor(&queue, 0), [0x5000, 0x1000]);
}

#[test]
fn requests_beside_each_other_have_their_own_descriptors_and_come_back_in_any_order() {
    let queue = Queue::new();
    for first in [0, 3] {
        let buffers = [1, 2].map(|page| buffer(page << 12, Writer::Device));
        queue.offer(first, buffers.into_iter());
    }
    assert_eq!(descriptor(&queue, 3), [0x1000, 0x0004_0003_0000_1000]);
    assert_eq!(descriptor(&queue, 4), [0x2000, 0x0000_0002_0000_1000]);
    let heads = [0, 1].map(|place: usize| queue.available[place].load(Relaxed));
    assert_eq!(heads, [0, 3]);
    let mut seen = 0;
    assert_eq!(queue.take_used(&mut seen), None);
    // Identifier and length.
    queue.used[0].store(3 | 0x2001 << 32, Relaxed);
    queue.used[1].store(0x2001 << 32, Relaxed);
    queue.used_index.store(2, Relaxed);
    let taken = [(); 3].map(|()| queue.take_used(&mut seen));
    assert_eq!(taken, [Some(3), Some(0), None]);
}

#[test]
fn device_that_is_at_work_wants_no_notice() {
    let queue = Queue::new();
    assert!(queue.wants_notice());
    queue.used_flags.store(1, Relaxed);
    assert!(!queue.wants_notice());
}

#[test]
fn request_is_back_when_the_device_has_used_it_and_numbers_wrap() {
    let queue = Queue::new();
    assert!(queue.is_back());
    for number in 1..=u32::from(u16::MAX) + 3 {
        queue.offer(0, [buffer(0, Writer::Driver)].into_iter());
        assert!(!queue.is_back());
        let [low, high, ..] = number.to_le_bytes();
        let used = u16::from_le_bytes([low, high]);
        assert_eq!(queue.available_index.load(Relaxed), used);
        queue.used_index.store(used, Relaxed);
        assert!(queue.is_back());
    }
    assert!(queue.available.iter().all(|head| head.load(Relaxed) == 0));
}
