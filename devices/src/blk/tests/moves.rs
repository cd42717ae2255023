//! A disk that stops with requests waiting, and goes on elsewhere.

use super::*;
use crate::DeviceError;
use crate::virtio::{MmioTransport, VirtioTransport};

#[test]
fn disk_moved_with_requests_waiting_does_each_of_them_once() {
    with_each_engine(|| {
        let file = file();
        let mut driver = driver_of(disk(&file, Access::ReadWrite), ALL);
        for number in 0..16_u8 {
            let (header, data) = (
                HEADER + 32 * u64::from(number),
                DATA + 512 * u64::from(number),
            );
            driver.put(
                header,
                &[1, 0, 0, 0, 0, 0, 0, 0, number, 0, 0, 0, 0, 0, 0, 0],
            );
            driver.put(data, &[0xb0 + number; 512]);
            let status = STATUS + u64::from(number);
            let request = [
                readable(header, 16),
                readable(data, 512),
                writable(status, 1),
            ];
            driver.offer(QUEUE, &request);
        }
        // The thread is in the middle of them, or not yet, or done: nothing may depend on it.
        driver.kick(QUEUE);
        let counters = driver.transport.device().handle();
        let (mut driver, state) = driver.move_to(disk(&file, Access::ReadWrite));
        let there = driver.transport.device().handle();
        assert_eq!(counters.counters(), there.counters());
        let done_before = u64::from(state.queues[0].next_used);
        assert_eq!(done_before, counters.counters().writes);
        driver.transport.resume();
        assert_eq!(driver.wait_used(16), [1; 16]);
        assert_eq!(there.counters().writes, 16);
        for number in 0..16_u8 {
            assert_eq!(sector_of(&file, number.into()), [0xb0 + number; 512]);
            assert_eq!(driver.get(STATUS + u64::from(number), 1), [0]);
        }
    });
}

#[test]
fn disk_that_was_paused_takes_nothing_until_it_is_resumed() {
    with_each_engine(|| {
        let (file, mut driver) = started();
        driver.transport.pause();
        driver.put(DATA, &[0xcc; 512]);
        driver.ask(1, 4, &[readable(DATA, 512)]);
        driver.kick(QUEUE);
        let state = driver.transport.save().unwrap();
        assert_eq!(
            (state.queues[0].next_available, state.queues[0].next_used),
            (0, 0)
        );
        assert_eq!(sector_of(&file, 4), [4; 512]);
        driver.transport.resume();
        assert_eq!(driver.wait_used(1), [1]);
        assert_eq!(sector_of(&file, 4), [0xcc; 512]);
    });
}

#[test]
fn state_of_a_disk_of_another_size_is_refused() {
    let (file, mut driver) = started();
    driver.transport.pause();
    let state = driver.transport.save().unwrap();
    file.as_file().set_len(512 * 8).unwrap();
    let refused = MmioTransport::restore(
        disk(&file, Access::ReadWrite),
        driver.memory.clone(),
        driver.interrupt().try_clone().unwrap(),
        state,
    );
    let expected = DeviceError::SavedCapacity {
        found: SECTORS,
        expected: 8,
    };
    assert_eq!(refused.unwrap_err().to_string(), expected.to_string());
}

#[test]
fn state_of_a_driver_that_discards_is_refused_where_nothing_can_be() {
    let (file, mut driver) = started();
    driver.transport.pause();
    let state = driver.transport.save().unwrap();
    let image = DiskImage::open(file.path(), Access::ReadWrite).unwrap();
    let disk = Blk::new(image.without_discards(), DiskSerial::default());
    let line = driver.interrupt().try_clone().unwrap();
    let refused = MmioTransport::restore(disk, driver.memory.clone(), line, state);
    assert!(matches!(refused, Err(DeviceError::SavedFeatures { .. })));
}
