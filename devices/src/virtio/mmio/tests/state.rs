//! Saving, restoring, and states that nobody saved.

use super::{Diarist, Diary, Entry, driver, started};
use crate::virtio::fake_driver::{Access, Buffer, FREE_MEMORY};
use crate::virtio::{MmioTransport, QueueIndex, TransportState, VirtioTransport};
use crate::{BusDevice, DeviceError, Interrupt};

const QUEUE: QueueIndex = QueueIndex(0);
const REQUEST: [Buffer; 1] = [Buffer(FREE_MEMORY, 16, Access::Readable)];

#[test]
fn running_device_cannot_be_saved() {
    let (driver, _) = started();
    assert!(matches!(
        driver.transport.save(),
        Err(DeviceError::SaveWhileRunning { .. })
    ));
}

#[test]
fn saved_state_holds_every_register() {
    let (mut driver, _) = started();
    driver.transport.write(0x100, &[9; 8]);
    driver.offer(QUEUE, &REQUEST);
    driver.kick(QUEUE);
    driver.write(0x014, 1);
    driver.transport.pause();
    let state = driver.transport.save().unwrap();
    let TransportState {
        device_type,
        status,
        device_features_sel,
        driver_features_sel,
        driver_features,
        queue_sel,
        interrupt_status,
        config_generation,
        queues,
        device,
    } = state;
    assert_eq!((device_type, status), (42, 0xf));
    assert_eq!(
        (device_features_sel, driver_features_sel, queue_sel),
        (1, 0, 1)
    );
    assert_eq!(driver_features, 0x1_0000_0008);
    assert_eq!((interrupt_status, config_generation), (1, 0));
    assert_eq!(device, [9; 8]);
    assert_eq!(queues.len(), 2);
    assert_eq!((queues[0].size, queues[0].ready), (8, true));
    assert_eq!((queues[0].next_available, queues[0].next_used), (1, 1));
    assert_eq!(queues[0].descriptor_table, 0x1000);
    assert_eq!(queues[0].available_ring, 0x2000);
    assert_eq!(queues[0].used_ring, 0x3000);
    assert_eq!((queues[1].next_available, queues[1].next_used), (0, 0));
}

#[test]
fn restored_device_serves_what_was_offered_before_and_after() {
    let (mut driver, _) = started();
    driver.offer(QUEUE, &REQUEST);
    driver.kick(QUEUE);
    driver.transport.pause();
    driver.offer(QUEUE, &REQUEST);
    let fresh = Diarist::default();
    let diary = fresh.diary.clone();
    let (mut driver, _) = driver.move_to(fresh);
    assert!(
        diary.lock().unwrap().is_empty(),
        "neither started nor stopped before it resumes"
    );
    driver.transport.resume();
    driver.run_events();
    driver.offer(QUEUE, &REQUEST);
    driver.kick(QUEUE);
    assert_eq!(driver.take_used(QUEUE).len(), 3);
    assert!(matches!(diary.lock().unwrap()[..], [Entry::Started { .. }]));
}

#[test]
fn device_in_every_stage_of_its_set_up_survives_a_move() {
    let steps: [fn(&mut super::FakeDriver<Diarist>); 6] = [
        |_| {},
        |driver| driver.write(0x070, 0x3),
        |driver| assert_eq!(driver.negotiate(0), 0xb),
        |driver| {
            driver.negotiate(1 << 29);
            driver.set_up_queue(QUEUE, 4);
        },
        |driver| driver.start(1 << 29, 8),
        |driver| {
            driver.start(0, 8);
            driver.offer_head(QUEUE, 99);
            driver.kick(QUEUE);
        },
    ];
    for step in steps {
        let (mut driver, _) = driver();
        step(&mut driver);
        let (mut driver, _) = driver.move_to(Diarist::default());
        driver.transport.resume();
        driver.start(0, 8);
    }
}

/// Saves a running device, lets `damage` change the state, and restores it.
fn restore_damaged(damage: impl Fn(&mut TransportState)) -> (Result<(), DeviceError>, Diary) {
    let (mut driver, diary) = started();
    driver.transport.pause();
    let mut state = driver.transport.save().unwrap();
    damage(&mut state);
    let interrupt = Interrupt::new().unwrap();
    let restored = MmioTransport::restore(Diarist::default(), driver.memory, interrupt, state);
    (restored.map(drop), diary)
}

#[test]
fn state_that_no_device_had_is_refused() {
    let refused: [fn(&mut TransportState); 18] = [
        |state| state.device_type = 4,
        |state| state.status = 0x5,
        |state| state.status = 0x100,
        |state| state.driver_features = 1 << 33,
        |state| state.driver_features = 0,
        |state| state.interrupt_status = 4,
        |state| state.queues.truncate(1),
        |state| state.queues.push(state.queues[0]),
        |state| state.queues[0].size = 0,
        |state| state.queues[0].size = 3,
        |state| state.queues[0].size = 16,
        |state| state.queues[0].descriptor_table = u64::MAX - 15,
        |state| state.queues[0].descriptor_table += 1,
        |state| state.queues[0].available_ring = 4 << 20,
        |state| state.queues[0].used_ring += 2,
        |state| state.queues[0].next_available = 9,
        |state| state.queues[0].next_used = 1,
        |state| state.device.truncate(7),
    ];
    for (number, damage) in refused.into_iter().enumerate() {
        assert!(restore_damaged(damage).0.is_err(), "damage number {number}");
    }
    assert!(restore_damaged(|_| {}).0.is_ok());
}
