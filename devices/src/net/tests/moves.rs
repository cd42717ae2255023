//! Cards that pause, and that go on elsewhere.

use super::*;

#[test]
fn card_that_pauses_keeps_its_buffers_and_finds_the_frames_that_came() {
    let (mut driver, far) = started(MRG_RXBUF);
    for number in 0..4 {
        driver.offer(RECEIVE, &[writable(FREE_MEMORY + number * 0x1000, 2000)]);
    }
    driver.kick(RECEIVE);
    for round in 0..4_u8 {
        driver.transport.pause();
        let frame = [round + 1; 60];
        far.send(&with_header(&frame)).unwrap();
        std::thread::sleep(A_WHILE / 10);
        assert_eq!(driver.take_used(RECEIVE), []);
        driver.transport.resume();
        assert_eq!(driver.wait_used(RECEIVE, 1), [72]);
        let at = FREE_MEMORY + u64::from(round) * 0x1000;
        assert_eq!(driver.get(at + 12, 60), frame);
    }
}

#[test]
fn card_that_moves_goes_on_with_its_buffers_and_says_where_it_is() {
    let (mut driver, _left) = started(ANNOUNCE);
    driver.offer(RECEIVE, &[writable(FREE_MEMORY, 2000)]);
    driver.kick(RECEIVE);
    assert_eq!(driver.link_status(), LINK_UP);
    let (fresh, far) = card();
    let (mut driver, _) = driver.move_to(fresh);
    driver.transport.resume();
    for _ in 0..2 {
        let said = receive(&far);
        assert_eq!(said.len(), HEADER_BYTES + 60);
        assert_eq!(said[HEADER_BYTES + 6..][..6], mac().bytes());
    }
    far.send(&with_header(&frame(60))).unwrap();
    assert_eq!(driver.wait_used(RECEIVE, 1), [72]);
    // The driver is asked to say so as well, until it did.
    assert_eq!(driver.link_status(), LINK_UP | ANNOUNCED);
    let answer = FREE_MEMORY + 0x100;
    driver.put(FREE_MEMORY, &[3, 0]);
    driver.put(answer, &[0xff]);
    driver.offer(CONTROL, &[readable(FREE_MEMORY, 2), writable(answer, 1)]);
    driver.kick(CONTROL);
    assert_eq!(driver.wait_used(CONTROL, 1), [1]);
    assert_eq!(driver.get(answer, 1), [0]);
    assert_eq!(driver.link_status(), LINK_UP);
}

#[test]
fn frames_that_came_where_a_card_is_not_yet_are_none_of_its() {
    let (mut driver, _left) = started(0);
    for number in 0..2 {
        driver.offer(RECEIVE, &[writable(FREE_MEMORY + number * 0x1000, 2000)]);
    }
    let (fresh, far) = card();
    for _ in 0..5 {
        far.send(&with_header(&[1; 60])).unwrap();
    }
    let (mut driver, _) = driver.move_to(fresh);
    // What came since the driver has stopped is.
    far.send(&with_header(&[2; 60])).unwrap();
    driver.transport.resume();
    assert_eq!(driver.wait_used(RECEIVE, 1), [72]);
    assert_eq!(driver.get(FREE_MEMORY + 12, 60), [2; 60]);
    assert_eq!(driver.take_used(RECEIVE), []);
}

#[test]
fn driver_that_cannot_announce_itself_is_not_asked() {
    let (driver, _left) = started(0);
    let (fresh, far) = card();
    let (mut driver, _) = driver.move_to(fresh);
    driver.transport.resume();
    assert_eq!(receive(&far).len(), HEADER_BYTES + 60);
    assert_eq!(driver.link_status(), LINK_UP);
}

#[test]
fn card_that_only_pauses_says_nothing() {
    let (mut driver, far) = started(ANNOUNCE);
    driver.transport.pause();
    driver.transport.resume();
    far.set_read_timeout(Some(A_WHILE)).unwrap();
    assert!(far.recv(&mut [0; 100]).is_err());
    assert_eq!(driver.link_status(), LINK_UP);
}

#[test]
fn counters_move_and_a_card_of_another_address_is_refused() {
    use crate::virtio::VirtioDevice as _;

    let (mut driver, far) = started(0);
    driver.offer(TRANSMIT, &[readable(FREE_MEMORY, 72)]);
    driver.kick(TRANSMIT);
    receive(&far);
    driver.wait_until(|counters| counters.sent_frames == 1);
    let state = driver.transport.device().save();
    let (mut fresh, _far) = card();
    fresh.restore(state).unwrap();
    assert_eq!(fresh.handle().counters().sent_bytes, 60);
    let (near, _far) = UnixDatagram::pair().unwrap();
    let mut other = Net::new(Tap::of_socket(near.into()), MacAddress::local([2; 6]));
    let refused = other.restore(state).unwrap_err().to_string();
    assert!(refused.contains("52:54:00:12:34:56"), "{refused}");
}
