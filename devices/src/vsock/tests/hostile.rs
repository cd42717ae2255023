//! Guests and programs that do what they must not.

use super::*;

/// DEVICE_NEEDS_RESET among the others.
const BROKEN: u32 = 0x4f;

#[test]
fn program_that_says_anything_else_is_sent_away() {
    let guest = Guest::boot();
    for words in [
        "GET / HTTP/1.1\r\n\r\n",
        "CONNECT\n",
        "CONNECT -1\n",
        "CONNECT 4294967295\n",
        "CONNECT 4294967296\n",
        "CONNECT 12345678901234567890",
        "\n",
    ] {
        let mut program = guest.program();
        program.write_all(words.as_bytes()).unwrap();
        assert!(has_ended(&mut program), "{words}");
    }
    drop(guest.program());
    guest.wait_refused(8);
}

#[test]
fn program_may_say_its_port_in_pieces() {
    let mut guest = Guest::boot();
    let mut program = guest.program();
    for piece in ["CON", "NECT 1", "7\nmore"] {
        program.write_all(piece.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    let asked = guest.expect(REQUEST);
    assert_eq!(asked.guest_port, 17);
    guest.say(&Packet::new(asked.host_port, 17, RESPONSE));
    assert_eq!(guest.expect(DATA).data, b"more");
}

#[test]
fn guest_that_does_not_answer_loses_the_connection() {
    let mut guest = Guest::boot();
    let mut program = guest.program();
    program.write_all(b"CONNECT 5\n").unwrap();
    let asked = guest.expect(REQUEST);
    assert!(has_ended(&mut program));
    let reset = guest.expect(RESET);
    assert_eq!((reset.host_port, reset.guest_port), (asked.host_port, 5));
}

#[test]
fn guest_that_sends_more_than_there_is_room_for_loses_the_connection() {
    let mut guest = Guest::boot();
    let (_program, host_port) = guest.connected(5);
    let piece = Packet::new(host_port, 5, DATA).with_data(&vec![1; 1 << 16]);
    for _ in 0..64 {
        guest.say(&piece);
        guest.used.extend(guest.driver.take_used(RECEIVE));
        if !guest.used.is_empty() && guest.hear().operation == RESET {
            return;
        }
    }
    panic!("nobody minds");
}

#[test]
fn packet_that_makes_no_sense_is_refused_or_ignored_and_the_device_goes_on() {
    let mut guest = Guest::boot();
    let whole = Packet::new(7, 99, DATA).with_data(b"abc").bytes();
    let changed = |at: usize, byte: u8| {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        bytes
    };
    // Too short, of another guest, to another guest: nobody could be told.
    for ignored in [&whole[..43], &[], &changed(0, 4), &changed(8, 3)] {
        guest.send(ignored);
    }
    // Of unknown use, no stream, of another length, of no connection.
    for refused in [
        changed(30, 0),
        changed(30, 9),
        changed(28, 2),
        changed(24, 9),
        changed(24, 1),
        whole.clone(),
        changed(30, 2),
    ] {
        guest.send(&refused);
        let reset = guest.expect(RESET);
        assert_eq!((reset.host_port, reset.guest_port), (7, 99));
    }
    guest.say(&Packet::new(7, 99, RESET));
    guest.connected(5);
}

#[test]
fn request_for_a_connection_that_is_there_ends_it() {
    let mut guest = Guest::boot();
    let (mut program, host_port) = guest.connected(5);
    guest.say(&Packet::new(host_port, 5, REQUEST));
    assert!(has_ended(&mut program));
    guest.expect(RESET);
}

#[test]
fn buffer_that_can_hold_nothing_breaks_the_device() {
    for (buffer, operation) in [
        (Buffer(FREE_MEMORY, 43, Use::Writable), DATA),
        (Buffer(FREE_MEMORY, 100, Use::Readable), DATA),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let mut driver = FakeDriver::new(device(&directory), FakeDriver::<Vsock>::small_memory());
        driver.start(0, 16);
        driver.offer(RECEIVE, &[buffer]);
        driver.kick(RECEIVE);
        let mut guest = Guest {
            driver,
            directory,
            used: std::collections::VecDeque::new(),
        };
        // The answer to it has no place.
        guest.say(&Packet::new(7, 99, operation));
        let began = Instant::now();
        while guest.driver.read(0x70) != BROKEN {
            assert!(began.elapsed() < PATIENCE);
            std::thread::yield_now();
        }
    }
}

#[test]
fn program_for_which_there_is_no_room_is_sent_away_and_the_others_stay() {
    let guest = Guest::boot();
    let mut programs: Vec<_> = (0..256).map(|_| guest.program()).collect();
    assert!(has_ended(&mut guest.program()));
    programs[0].set_nonblocking(true).unwrap();
    let waiting = programs[0].read(&mut [0]).unwrap_err();
    assert_eq!(waiting.kind(), std::io::ErrorKind::WouldBlock);
    guest.wait_refused(1);
}
