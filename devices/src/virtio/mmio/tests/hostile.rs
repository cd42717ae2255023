//! Drivers that do what they must not.

use super::{Diarist, Entry, driver, started};
use crate::BusDevice;
use crate::virtio::fake_driver::{Descriptor, FREE_MEMORY, FakeDriver};
use crate::virtio::{QueueIndex, VirtioTransport};

const QUEUE: QueueIndex = QueueIndex(0);
const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

#[test]
fn access_of_an_odd_size_or_place_is_refused_and_counted() {
    let (mut driver, _) = driver();
    let mut data = [0xaa; 16];
    for (offset, len) in [
        (0x000, 1),
        (0x000, 8),
        (0x001, 4),
        (0x070, 2),
        (0x0fe, 4),
        (0x070, 0),
    ] {
        driver.transport.read(offset, &mut data[..len]);
        assert!(data[..len].iter().all(|byte| *byte == 0));
        driver.transport.write(offset, &data[..len]);
    }
    driver.write(0x000, 1);
    driver.read(0x050);
    assert_eq!(driver.transport.misbehaviour_count(), 14);
    assert_eq!(driver.read(0x070), 0);
}

#[test]
fn status_out_of_order_is_refused() {
    let (mut driver, diary) = driver();
    for status in [0x2, 0x4, 0x8, 0xf0, 0x5, 0xffff_ffff] {
        driver.write(0x070, status);
        assert_eq!(driver.read(0x070), 0);
    }
    assert_eq!(driver.transport.misbehaviour_count(), 6);
    assert!(diary.lock().unwrap().is_empty());
}

#[test]
fn features_that_were_not_offered_are_not_ok() {
    let (mut driver, _) = driver();
    assert_eq!(driver.negotiate(1 << 5), 0x3);
    assert_eq!(driver.negotiate(1 << 40), 0x3);
    assert_eq!(driver.negotiate(Diarist::FEATURE), 0xb);
}

#[test]
fn legacy_driver_is_not_ok() {
    let (mut driver, _) = driver();
    for status in [0x1, 0x3, 0xb] {
        driver.write(0x070, status);
    }
    assert_eq!(driver.read(0x070), 0x3);
    driver.write(0x070, 0xf);
    assert_eq!(driver.read(0x070), 0x3);
}

#[test]
fn features_written_after_they_were_agreed_on_change_nothing() {
    let (mut driver, diary) = driver();
    driver.negotiate(0);
    driver.write(0x024, 0);
    driver.write(0x020, 0x8);
    driver.write(0x070, 0xf);
    assert!(matches!(
        diary.lock().unwrap().last(),
        Some(Entry::Started {
            features: 0x1_0000_0000,
            ..
        })
    ));
}

#[test]
fn queue_written_too_early_too_late_or_twice_is_refused() {
    let (mut driver, _) = driver();
    assert!(
        !driver.set_up_queue(QUEUE, 8),
        "before features are agreed on"
    );
    driver.negotiate(0);
    assert!(driver.set_up_queue(QUEUE, 8));
    let refused = driver.transport.misbehaviour_count();
    driver.write(0x044, 1);
    driver.write(0x080, 0x2000);
    driver.write(0x038, 4);
    driver.write(0x070, 0xf);
    driver.write(0x030, 1);
    driver.write(0x044, 1);
    assert_eq!(driver.transport.misbehaviour_count(), refused + 4);
    assert_eq!(driver.read(0x070), 0xf);
}

#[test]
fn queue_size_that_is_no_power_of_two_is_refused() {
    let (mut driver, _) = driver();
    driver.negotiate(0);
    let before = driver.transport.misbehaviour_count();
    for size in [0, 3, 0x1_0000, u32::MAX] {
        driver.write(0x038, size);
    }
    assert_eq!(driver.transport.misbehaviour_count(), before + 4);
}

/// Tries to make queue 0 ready with one register changed.
fn set_up_with(register: u64, value: u32) -> FakeDriver<Diarist> {
    let (mut driver, _) = driver();
    driver.negotiate(0);
    assert!(driver.set_up_queue(QUEUE, 8));
    driver.write(0x044, 0);
    for (register, value) in [(0x080, 0x1000), (0x090, 0x2000), (0x0a0, 0x3000)] {
        driver.write(register, value);
    }
    driver.write(register, value);
    driver.write(0x044, 1);
    driver
}

#[test]
fn queue_outside_memory_or_misaligned_needs_a_reset() {
    for (register, value) in [
        (0x038, 16),
        (0x080, 0x1008),
        (0x080, 0x0040_0000),
        (0x080, 0x003f_fff0),
        (0x084, 1),
        (0x090, 0x2001),
        (0x094, 0xffff_ffff),
        (0x0a0, 0x3002),
        (0x0a4, 0x8000_0000),
    ] {
        let mut driver = set_up_with(register, value);
        assert_eq!(driver.read(0x044), 0, "register {register:#x} = {value:#x}");
        assert_eq!(driver.read(0x070), 0x4b);
        driver.write(0x070, 0xf);
        assert_eq!(driver.read(0x070), 0x4f);
        driver.start(0, 8);
    }
    assert_eq!(set_up_with(0x038, 4).read(0x044), 1);
}

/// Offers one broken request and expects the device to give up, but to survive.
fn expect_needs_reset(make: impl Fn(&mut FakeDriver<Diarist>)) {
    let (mut driver, diary) = started();
    make(&mut driver);
    driver.kick(QUEUE);
    assert_eq!(driver.read(0x070), 0x4f);
    assert_eq!(driver.take_interrupt(), Some(0x2));
    assert_eq!(driver.take_used(QUEUE), []);
    assert_eq!(diary.lock().unwrap().as_slice(), [Entry::Stopped]);
    assert_eq!(driver.transport.misbehaviour_count(), 1);
    driver.kick(QUEUE);
    driver.start(0, 8);
}

fn expect_needs_reset_for(descriptors: &[Descriptor]) {
    expect_needs_reset(|driver| {
        for (at, descriptor) in (0..).zip(descriptors) {
            driver.write_descriptor(QUEUE, at, *descriptor);
        }
        driver.offer_head(QUEUE, 0);
    });
}

#[test]
fn broken_descriptor_chain_needs_a_reset() {
    let good = FREE_MEMORY;
    let loops = [
        Descriptor::new(good, 16, NEXT, 1),
        Descriptor::new(good, 16, NEXT, 0),
    ];
    expect_needs_reset_for(&loops);
    expect_needs_reset_for(&[Descriptor::new(good, 16, NEXT, 8)]);
    expect_needs_reset_for(&[Descriptor::new(4 << 20, 1, 0, 0)]);
    expect_needs_reset_for(&[Descriptor::new((4 << 20) - 8, 16, WRITE, 0)]);
    expect_needs_reset_for(&[Descriptor::new(u64::MAX, u32::MAX, WRITE, 0)]);
    let backwards = [
        Descriptor::new(good, 16, NEXT | WRITE, 1),
        Descriptor::new(good, 16, 0, 0),
    ];
    expect_needs_reset_for(&backwards);
}

#[test]
fn broken_indirect_table_needs_a_reset() {
    expect_needs_reset_for(&[Descriptor::new(FREE_MEMORY, 15, INDIRECT, 0)]);
    expect_needs_reset_for(&[Descriptor::new(FREE_MEMORY, 0, INDIRECT, 0)]);
    expect_needs_reset_for(&[Descriptor::new(1 << 40, 16, INDIRECT, 0)]);
    // An indirect table in an indirect table: the ring's own first descriptor.
    expect_needs_reset_for(&[Descriptor::new(0x1000, 16, INDIRECT, 0)]);
    // A table of 4095 descriptors, each of which leads to the next: longer than any request.
    expect_needs_reset(|driver| {
        let table = FREE_MEMORY;
        for at in 0..4095_u16 {
            let address = table + 16 * u64::from(at);
            driver.write_raw_descriptor(address, Descriptor::new(0, 1, NEXT, at + 1));
        }
        driver.write_descriptor(QUEUE, 0, Descriptor::new(table, 4095 * 16, INDIRECT, 0));
        driver.offer_head(QUEUE, 0);
    });
}

#[test]
fn broken_available_ring_needs_a_reset() {
    expect_needs_reset(|driver| driver.offer_head(QUEUE, 8));
    expect_needs_reset(|driver| driver.offer_head(QUEUE, 0xffff));
    expect_needs_reset(|driver| driver.write_available_index(QUEUE, 9));
    expect_needs_reset(|driver| driver.write_available_index(QUEUE, 0xffff));
}

/// A small generator (xorshift64) so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.next() % choices.len() as u64).unwrap()]
    }
}

#[test]
fn ten_thousand_random_accesses_never_panic() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut driver, _) = driver();
    let mut starts = 0;
    for round in 0..10_000 {
        let offset = random.next() % 0x110;
        let value = random.pick(&[0, 1, 2, 3, 8, 0xb, 0xf, 0x1000, 0x4000, u32::MAX]);
        match round % 20 {
            0 => {
                let mut data = [0; 9];
                let len = random.pick(&[0, 1, 2, 3, 4, 8, 9]);
                driver.transport.write(offset, &data[..len]);
                driver.transport.read(offset, &mut data[..len]);
            }
            1..=3 => driver.write(random.pick(&[0x30, 0x38, 0x44, 0x50, 0x70, 0x80]), value),
            4 => assert!(driver.read(0x070) <= 0xff),
            5 => driver.transport.pause(),
            6 => driver.transport.resume(),
            7 if random.next().is_multiple_of(4) => {
                driver.negotiate(random.pick(&[0, 8, 1 << 29]));
                driver.set_up_queue(QUEUE, 8);
                driver.write(0x70, 0xf);
            }
            8 => {
                let address = FREE_MEMORY - 0x18000 + random.next() % 0x6000;
                driver.write_raw_descriptor(
                    address & !15,
                    Descriptor::new(
                        random.next() % (5 << 20),
                        u32::try_from(random.next() % 0x2000).unwrap(),
                        u16::try_from(random.next() % 8).unwrap(),
                        u16::try_from(random.next() % 10).unwrap(),
                    ),
                );
            }
            _ => driver.write(offset & !3, value),
        }
        starts += usize::from(driver.transport.is_running);
        // A driver that keeps adding requests could keep the device busy for ever.
        for index in 0..2 {
            driver.transport.queue_event(QueueIndex(index));
        }
    }
    assert!(starts > 100, "the device ran {starts} times");
    driver.transport.resume();
    driver.start(0, 8);
}
