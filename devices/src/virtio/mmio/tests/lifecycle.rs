//! When the device runs, and what happens to kicks meanwhile.

use super::{Entry, driver, started};
use crate::virtio::fake_driver::{Access, Buffer, FREE_MEMORY};
use crate::virtio::{QueueIndex, VirtioTransport};

const QUEUE: QueueIndex = QueueIndex(0);
const OTHER: QueueIndex = QueueIndex(1);
const REQUEST: [Buffer; 1] = [Buffer(FREE_MEMORY, 16, Access::Readable)];

#[test]
fn request_kicked_through_its_register_comes_back_with_an_interrupt() {
    let (mut driver, _) = started();
    let head = driver.offer(QUEUE, &REQUEST);
    driver.kick(QUEUE);
    assert_eq!(driver.take_used(QUEUE), [(u32::from(head), 0)]);
    assert_eq!(driver.take_interrupt(), Some(0x1));
}

#[test]
fn more_requests_than_a_turn_are_served_in_several() {
    let (mut driver, _) = started();
    for _ in 0..8 {
        driver.offer(QUEUE, &REQUEST);
    }
    driver.write(0x050, 0);
    assert_eq!(driver.run_events(), 2);
    assert_eq!(driver.take_used(QUEUE).len(), 8);
}

#[test]
fn paused_device_serves_nothing_until_it_resumes() {
    let (mut driver, diary) = started();
    driver.transport.pause();
    assert_eq!(diary.lock().unwrap().as_slice(), [Entry::Stopped]);
    driver.offer(QUEUE, &REQUEST);
    driver.kick(QUEUE);
    assert_eq!(driver.take_used(QUEUE), []);
    driver.transport.resume();
    driver.run_events();
    assert_eq!(driver.take_used(QUEUE).len(), 1);
}

#[test]
fn resume_repeats_an_interrupt_nobody_acknowledged() {
    let (mut driver, _) = started();
    driver.offer(QUEUE, &REQUEST);
    driver.kick(QUEUE);
    driver.interrupt().event().read().unwrap();
    driver.transport.pause();
    driver.transport.resume();
    assert_eq!(driver.take_interrupt(), Some(0x1));
    driver.transport.pause();
    driver.transport.resume();
    assert_eq!(driver.take_interrupt(), None);
}

#[test]
fn driver_ok_while_paused_starts_the_device_at_resume() {
    let (mut driver, diary) = driver();
    driver.transport.pause();
    driver.negotiate(0);
    assert!(driver.set_up_queue(QUEUE, 8));
    driver.write(0x070, 0xf);
    assert_eq!(diary.lock().unwrap().as_slice(), [Entry::Reset]);
    driver.transport.resume();
    assert_eq!(diary.lock().unwrap().len(), 2);
}

#[test]
fn reset_stops_the_device_and_forgets_everything_but_misbehaviour() {
    let (mut driver, diary) = started();
    driver.transport.signals.config_changed();
    driver.write(0x050, 7);
    driver.write(0x070, 0);
    assert_eq!(
        diary.lock().unwrap().as_slice(),
        [Entry::Stopped, Entry::Reset]
    );
    for register in [0x060, 0x070, 0x0fc, 0x044] {
        assert_eq!(driver.read(register), 0);
    }
    assert_eq!(driver.transport.misbehaviour_count(), 1);
    driver.start(0, 4);
}

#[test]
fn queue_given_up_while_running_leaves_the_others_going() {
    let (mut driver, diary) = started();
    driver.offer(OTHER, &REQUEST);
    driver.kick(OTHER);
    driver.write(0x030, 0);
    driver.write(0x044, 0);
    assert_eq!(driver.read(0x044), 0);
    let features = (1 << 32) | (1 << 3);
    assert_eq!(
        diary.lock().unwrap().as_slice(),
        [
            Entry::Stopped,
            Entry::Started {
                features,
                queues: vec![1]
            }
        ]
    );
    driver.offer(OTHER, &REQUEST);
    driver.kick(OTHER);
    assert_eq!(driver.take_used(OTHER).len(), 2);
}

#[test]
fn driver_that_fails_stops_the_device() {
    let (mut driver, diary) = started();
    driver.write(0x070, 0x8f);
    assert_eq!(diary.lock().unwrap().as_slice(), [Entry::Stopped]);
    assert_eq!(driver.read(0x070), 0x8f);
}

#[test]
fn event_index_suppresses_the_interrupts_the_driver_does_not_want() {
    let (mut driver, _) = driver();
    driver.start(1 << 29, 8);
    // used_event, behind the available ring: "not before entry 2".
    driver.write_used_event(QUEUE, 2);
    for is_wanted in [false, false, true, false] {
        driver.offer(QUEUE, &REQUEST);
        driver.kick(QUEUE);
        assert_eq!(driver.take_interrupt().is_some(), is_wanted);
    }
    assert_eq!(driver.take_used(QUEUE).len(), 4);
}
