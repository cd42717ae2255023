//! Links that go up and down.

use super::*;
use crate::net::link::switch::LinkSwitch;

/// A card with a link that the test sets, and the other end of its cable.
fn card_with_link(link: &LinkSwitch) -> (Net, UnixDatagram) {
    let (near, far) = UnixDatagram::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    let tap = Tap::of_socket_with_link(near.into(), link.clone());
    (Net::new(tap, mac()), far)
}

fn started_with_link(features: u64, link: &LinkSwitch) -> FakeDriver<Net> {
    let (card, _far) = card_with_link(link);
    let mut driver = FakeDriver::new(card, FakeDriver::<Net>::small_memory());
    driver.start(features, 16);
    driver
}

impl FakeDriver<Net> {
    /// Waits until the card shows that, which is no news to the driver.
    fn wait_shown(&self, link: Link) {
        let began = Instant::now();
        while self.transport.device().handle().shown_link() != link {
            assert!(began.elapsed() < PATIENCE, "the link is not {link}");
            std::thread::yield_now();
        }
    }
}

#[test]
fn driver_that_wants_to_know_is_told_of_each_change() {
    let link = LinkSwitch::new(Link::Up);
    let mut driver = started_with_link(STATUS, &link);
    assert_eq!(driver.link_status(), LINK_UP);
    for (next, status) in [(Link::Down, 0), (Link::Up, LINK_UP), (Link::Down, 0)] {
        let generation = driver.read(CONFIG_GENERATION);
        link.set(next);
        assert_eq!(driver.wait_status(), status);
        assert_ne!(driver.read(CONFIG_GENERATION), generation);
        assert_eq!(driver.transport.device().handle().link(), next);
    }
}

#[test]
fn change_that_is_taken_back_is_no_news() {
    let link = LinkSwitch::new(Link::Up);
    let mut driver = started_with_link(STATUS, &link);
    link.set(Link::Up);
    std::thread::sleep(A_WHILE);
    assert_eq!(driver.take_interrupt(), None);
}

#[test]
fn driver_without_the_feature_is_told_nothing() {
    let link = LinkSwitch::new(Link::Up);
    let mut driver = started_with_link(0, &link);
    link.set(Link::Down);
    driver.wait_shown(Link::Down);
    std::thread::sleep(A_WHILE / 10);
    assert_eq!(driver.take_interrupt(), None);
}

#[test]
fn link_that_is_down_at_first_is_found_down_by_the_driver() {
    let link = LinkSwitch::new(Link::Down);
    let mut driver = started_with_link(STATUS, &link);
    assert_eq!(driver.link_status(), 0);
    assert_eq!(driver.take_interrupt(), None);
    link.set(Link::Up);
    assert_eq!(driver.wait_status(), LINK_UP);
}

#[test]
fn change_while_the_card_does_not_run_is_told_when_it_does() {
    let link = LinkSwitch::new(Link::Up);
    let (card, _far) = card_with_link(&link);
    let mut driver = FakeDriver::new(card, FakeDriver::<Net>::small_memory());
    link.set(Link::Down);
    assert_eq!(driver.link_status(), LINK_UP);
    driver.start(STATUS, 16);
    assert_eq!(driver.wait_status(), 0);
    driver.transport.pause();
    link.set(Link::Up);
    assert_eq!(driver.link_status(), 0);
    driver.transport.resume();
    assert_eq!(driver.wait_status(), LINK_UP);
    driver.transport.pause();
    driver.transport.resume();
    assert_eq!(driver.take_interrupt(), None);
}

#[test]
fn driver_that_moves_is_told_of_the_link_there_whatever_it_was() {
    for (here, there, status) in [
        (Link::Up, Link::Down, 0),
        (Link::Down, Link::Up, LINK_UP),
        (Link::Down, Link::Down, 0),
    ] {
        let driver = started_with_link(STATUS, &LinkSwitch::new(here));
        let (fresh, _far) = card_with_link(&LinkSwitch::new(there));
        let (mut driver, _) = driver.move_to(fresh);
        driver.transport.resume();
        assert_eq!(driver.wait_status(), status, "{here} to {there}");
    }
}

#[test]
fn card_that_moved_says_where_it_is_once_more_when_its_link_comes_up() {
    let driver = started_with_link(ANNOUNCE, &LinkSwitch::new(Link::Up));
    let link = LinkSwitch::new(Link::Down);
    let (fresh, far) = card_with_link(&link);
    let (mut driver, _) = driver.move_to(fresh);
    driver.transport.resume();
    // What is said into a link that is down gets lost; a socket is no such link.
    for _ in 0..5 {
        receive(&far);
    }
    link.set(Link::Up);
    for _ in 0..5 {
        assert_eq!(receive(&far)[HEADER_BYTES + 6..][..6], mac().bytes());
    }
    assert_eq!(driver.link_status(), LINK_UP | ANNOUNCED);
}

#[test]
fn frames_go_on_beside_a_link_that_changes() {
    let link = LinkSwitch::new(Link::Up);
    let (card, far) = card_with_link(&link);
    let mut driver = FakeDriver::new(card, FakeDriver::<Net>::small_memory());
    driver.start(STATUS | MRG_RXBUF, 16);
    for (number, next) in (0..).zip([Link::Down, Link::Up].repeat(4)) {
        link.set(next);
        let at = FREE_MEMORY + number * 0x1000;
        driver.offer(RECEIVE, &[writable(at, 2000)]);
        driver.kick(RECEIVE);
        far.send(&with_header(&frame(60))).unwrap();
        assert_eq!(driver.wait_used(RECEIVE, 1), [72]);
        driver.offer(TRANSMIT, &[readable(at, 72)]);
        driver.kick(TRANSMIT);
        assert_eq!(receive(&far).len(), 72);
    }
}
