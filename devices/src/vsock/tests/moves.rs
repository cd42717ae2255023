//! Guests that pause, start anew, and go on elsewhere.

use super::*;

#[test]
fn connection_waits_while_the_guest_is_paused() {
    let mut guest = Guest::boot();
    let (mut program, host_port) = guest.connected(5);
    guest.driver.transport.pause();
    program.write_all(b"while it sleeps").unwrap();
    guest.driver.transport.resume();
    assert_eq!(guest.expect(DATA).data, b"while it sleeps");
    guest.say(&Packet::new(host_port, 5, DATA).with_data(b"awake"));
    assert_eq!(read(&mut program, 5), b"awake");
}

#[test]
fn connection_ends_on_both_sides_when_the_guest_goes_on_elsewhere() {
    let mut guest = Guest::boot();
    let (mut program, _) = guest.connected(5);
    let event = Buffer(EVENTS, 4, Use::Writable);
    let counters = guest.counters();
    let fresh = device(&guest.directory);
    let (driver, _) = guest.driver.move_to(fresh);
    let mut guest = Guest { driver, ..guest };
    assert!(has_ended(&mut program));
    guest.driver.transport.device().handle().settle_in();
    guest.driver.transport.resume();
    // It hears of it as soon as it can.
    guest.driver.offer(EVENT, &[event]);
    guest.driver.kick(EVENT);
    let began = Instant::now();
    let told = loop {
        let told = guest.driver.take_used(EVENT);
        if !told.is_empty() {
            break told;
        }
        assert!(began.elapsed() < PATIENCE);
        std::thread::yield_now();
    };
    assert_eq!(told, [(0, 4)]);
    let address = vm_memory::GuestAddress(EVENTS);
    let reset = GuestRange {
        address,
        len_bytes: 4,
    };
    assert_eq!(guest.driver.bytes(reset), [0; 4]);
    assert_eq!(guest.counters(), counters);
    // Programs find it at the same path.
    guest.connected(6);
    assert_eq!(guest.counters().connections, 2);
}

#[test]
fn driver_that_starts_anew_has_no_connections() {
    let mut guest = Guest::boot();
    let (mut program, _) = guest.connected(5);
    guest.driver.start(0, 16);
    assert!(has_ended(&mut program));
}

#[test]
fn guest_of_another_address_is_refused() {
    use crate::virtio::VirtioDevice as _;

    let guest = Guest::boot();
    let listener = VsockListener::beside(&guest.path("-other")).unwrap();
    let mut other = Vsock::new("4".parse().unwrap(), listener).unwrap();
    let state = guest.driver.transport.device().save();
    let refused = other.restore(state).unwrap_err().to_string();
    assert_eq!(refused, "saved socket device is of the guest 3, not 4");
    let mut space = [0xff; 8];
    other.read_config(0, &mut space);
    assert_eq!(u64::from_le_bytes(space), 4);
}
