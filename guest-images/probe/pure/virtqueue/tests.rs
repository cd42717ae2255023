//! Tests of a queue, in which the test plays the device.

use std::sync::atomic::Ordering::Relaxed;

use super::{Buffer, Queue, SIZE, Writer};

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
    queue.offer(buffers.into_iter());
    assert_eq!(descriptor(&queue, 0), [0x1000, 0x0001_0003_0000_1000]);
    assert_eq!(descriptor(&queue, 1), [0x2000, 0x0002_0003_0000_1000]);
    assert_eq!(descriptor(&queue, 2), [0x3000, 0x0000_0002_0000_1000]);
    queue.used_index.store(1, Relaxed);
    queue.offer([buffer(0x5000, Writer::Driver)].into_iter());
    assert_eq!(descriptor(&queue, 0), [0x5000, 0x1000]);
}

#[test]
fn request_is_back_when_the_device_has_used_it_and_numbers_wrap() {
    let queue = Queue::new();
    assert!(queue.is_back());
    for number in 1..=u32::from(u16::MAX) + 3 {
        queue.offer([buffer(0, Writer::Driver)].into_iter());
        assert!(!queue.is_back());
        let [low, high, ..] = number.to_le_bytes();
        let used = u16::from_le_bytes([low, high]);
        assert_eq!(queue.available_index.load(Relaxed), used);
        queue.used_index.store(used, Relaxed);
        assert!(queue.is_back());
    }
    assert!(queue.available.iter().all(|head| head.load(Relaxed) == 0));
}
