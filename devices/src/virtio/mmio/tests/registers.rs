//! Literal registers: what Linux's virtio_mmio reads and writes while it probes a device.

use super::{Diarist, Entry, driver, started};
use crate::BusDevice;

#[test]
fn identification_registers_read_as_a_modern_device_of_its_type() {
    let (mut driver, _) = driver();
    assert_eq!(driver.read(0x000).to_le_bytes(), *b"virt");
    assert_eq!(driver.read(0x004), 2);
    assert_eq!(driver.read(0x008), 42);
    assert_eq!(driver.read(0x00c).to_le_bytes(), *b"SKIF");
}

#[test]
fn device_features_offer_version_1_indirect_event_index_and_the_devices_own() {
    let (mut driver, _) = driver();
    driver.write(0x014, 0);
    assert_eq!(driver.read(0x010), 0x3000_0008);
    driver.write(0x014, 1);
    assert_eq!(driver.read(0x010), 0x0000_0001);
    driver.write(0x014, 2);
    assert_eq!(driver.read(0x010), 0);
}

#[test]
fn probe_step_by_step_starts_the_device() {
    let (mut driver, diary) = driver();
    for (register, value) in [
        (0x070, 0),
        (0x070, 0x1),
        (0x070, 0x3),
        (0x024, 1),
        (0x020, 0x1),
        (0x024, 0),
        (0x020, 0x8),
        (0x070, 0xb),
    ] {
        driver.write(register, value);
    }
    assert_eq!(driver.read(0x070), 0xb);

    driver.write(0x030, 1);
    assert_eq!(driver.read(0x044), 0);
    assert_eq!(driver.read(0x034), 64);
    for (register, value) in [
        (0x038, 16),
        (0x080, 0x10000),
        (0x084, 0),
        (0x090, 0x11000),
        (0x094, 0),
        (0x0a0, 0x12000),
        (0x0a4, 0),
        (0x044, 1),
    ] {
        driver.write(register, value);
    }
    assert_eq!(driver.read(0x044), 1);
    driver.write(0x070, 0xf);
    assert_eq!(driver.read(0x070), 0xf);
    let features = (1 << 32) | Diarist::FEATURE;
    assert_eq!(
        diary.lock().unwrap().as_slice(),
        [
            Entry::Reset,
            Entry::Started {
                features,
                queues: vec![1]
            }
        ]
    );
    assert!(driver.take_interrupt().is_none());
}

#[test]
fn queue_that_does_not_exist_has_no_size() {
    let (mut driver, _) = driver();
    for index in [2, 0x1_0000, u32::MAX] {
        driver.write(0x030, index);
        assert_eq!(driver.read(0x034), 0);
        assert_eq!(driver.read(0x044), 0);
    }
}

#[test]
fn shared_memory_registers_read_all_ones() {
    let (mut driver, _) = driver();
    driver.write(0x0ac, 0);
    for register in [0x0b0, 0x0b4, 0x0b8, 0x0bc] {
        assert_eq!(driver.read(register), u32::MAX);
    }
}

#[test]
fn configuration_space_is_read_and_written_in_any_size() {
    let (mut driver, _) = driver();
    driver.transport.write(0x100, &[1, 2, 3, 4]);
    driver.transport.write(0x106, &[7, 8]);
    driver.transport.write(0x104, &[5]);
    let mut data = [0xaa; 8];
    driver.transport.read(0x100, &mut data);
    assert_eq!(data, [1, 2, 3, 4, 5, 0, 7, 8]);
    driver.transport.read(0x107, &mut data[..2]);
    assert_eq!(data[..2], [8, 0]);
}

#[test]
fn configuration_change_is_announced_with_a_new_generation() {
    let (mut driver, _) = started();
    let generation = driver.read(0x0fc);
    driver.transport.signals.config_changed();
    assert_ne!(driver.read(0x0fc), generation);
    assert_eq!(driver.take_interrupt(), Some(0x2));
    assert_eq!(driver.read(0x060), 0);
}

#[test]
fn acknowledging_one_cause_leaves_the_other() {
    let (mut driver, _) = started();
    driver.transport.signals.config_changed();
    driver.transport.signals.used_buffers();
    assert_eq!(driver.read(0x060), 0x3);
    driver.write(0x064, 0x1);
    assert_eq!(driver.read(0x060), 0x2);
}
