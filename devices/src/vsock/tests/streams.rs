//! Connections from either side, and how they end.

use std::net::Shutdown;

use super::*;

#[test]
fn program_that_names_a_port_talks_with_the_guest_until_that_ends_it() {
    let mut guest = Guest::boot();
    let (mut program, host_port) = guest.connected(1234);
    assert_eq!(host_port, 1 << 30);
    program.write_all(b"from the host").unwrap();
    let heard = guest.expect(DATA);
    assert_eq!((heard.host_port, heard.guest_port), (host_port, 1234));
    assert_eq!(heard.data, b"from the host");
    guest.say(&Packet::new(host_port, 1234, DATA).with_data(b"from the guest"));
    assert_eq!(read(&mut program, 14), b"from the guest");
    guest.say(&Packet {
        flags: 3,
        ..Packet::new(host_port, 1234, SHUTDOWN)
    });
    assert!(has_ended(&mut program));
    guest.expect(RESET);
    let counters = VsockCounters {
        connections: 1,
        received_bytes: 13,
        sent_bytes: 14,
        refused: 0,
    };
    assert_eq!(guest.counters(), counters);
}

#[test]
fn guest_that_connects_reaches_the_program_that_listens_until_that_goes() {
    let mut guest = Guest::boot();
    let listener = UnixListener::bind(guest.path("_7")).unwrap();
    guest.say(&Packet::new(7, 99, REQUEST));
    let answer = guest.expect(RESPONSE);
    assert_eq!((answer.host_port, answer.guest_port), (7, 99));
    assert_eq!(answer.room_bytes, 1 << 16);
    let (mut program, _) = listener.accept().unwrap();
    guest.say(&Packet::new(7, 99, DATA).with_data(b"hello"));
    assert_eq!(read(&mut program, 5), b"hello");
    program.write_all(b"last words").unwrap();
    drop(program);
    assert_eq!(guest.expect(DATA).data, b"last words");
    let end = loop {
        let heard = guest.expect(SHUTDOWN);
        // Whether it is all gone may only be seen a moment later.
        if heard.flags == 3 {
            break heard;
        }
    };
    assert_eq!((end.host_port, end.guest_port), (7, 99));
    guest.say(&Packet::new(7, 99, RESET));
    // Nothing is left of it.
    guest.say(&Packet::new(7, 99, DATA).with_data(b"x"));
    guest.expect(RESET);
}

#[test]
fn port_on_which_nobody_listens_is_refused() {
    let mut guest = Guest::boot();
    guest.say(&Packet::new(8, 99, REQUEST));
    let answer = guest.expect(RESET);
    assert_eq!((answer.host_port, answer.guest_port), (8, 99));
    assert_eq!(guest.counters().refused, 1);
    let mut program = guest.program();
    program.write_all(b"CONNECT 5\n").unwrap();
    let asked = guest.expect(REQUEST);
    guest.say(&Packet::new(asked.host_port, 5, RESET));
    assert!(has_ended(&mut program));
}

#[test]
fn guest_is_sent_what_it_has_room_for_and_the_rest_when_it_has_taken_that() {
    let mut guest = Guest::boot();
    let listener = UnixListener::bind(guest.path("_7")).unwrap();
    let with_room = |operation, taken_bytes| Packet {
        room_bytes: 10,
        taken_bytes,
        ..Packet::new(7, 99, operation)
    };
    guest.say(&with_room(REQUEST, 0));
    guest.expect(RESPONSE);
    let (mut program, _) = listener.accept().unwrap();
    program.write_all(b"0123456789abcdefghijklmno").unwrap();
    assert_eq!(guest.expect(DATA).data, b"0123456789");
    guest.say(&with_room(CREDIT_UPDATE, 7));
    assert_eq!(guest.expect(DATA).data, b"abcdefg");
    guest.say(&with_room(CREDIT_UPDATE, 17));
    assert_eq!(guest.expect(DATA).data, b"hijklmno");
}

#[test]
fn bytes_that_a_program_does_not_take_wait_and_arrive_whole() {
    let mut guest = Guest::boot();
    let (mut program, host_port) = guest.connected(5);
    let piece: Vec<u8> = (0..=255).cycle().take(1 << 15).collect();
    let (mut sent, mut room) = (0_u32, 1_u32 << 16);
    let mut taken = 0;
    // Until neither the socket nor the device has room.
    while sent - taken + (1 << 15) <= room {
        guest.say(&Packet::new(host_port, 5, DATA).with_data(&piece));
        sent += 1 << 15;
        guest.say(&Packet::new(host_port, 5, CREDIT_REQUEST));
        let update = loop {
            let heard = guest.expect(CREDIT_UPDATE);
            let is_last = guest.used.is_empty();
            if is_last {
                break heard;
            }
        };
        (room, taken) = (update.room_bytes, update.taken_bytes);
    }
    let mut received = vec![0; sent as usize];
    program.read_exact(&mut received).unwrap();
    assert!(received.chunks(1 << 15).all(|chunk| chunk == piece));
    // There is room again, and the guest hears of it.
    while taken != sent {
        taken = guest.expect(CREDIT_UPDATE).taken_bytes;
    }
}

#[test]
fn side_that_has_said_all_still_hears() {
    let mut guest = Guest::boot();
    let (mut program, host_port) = guest.connected(5);
    program.shutdown(Shutdown::Write).unwrap();
    assert_eq!(guest.expect(SHUTDOWN).flags, 2);
    guest.say(&Packet::new(host_port, 5, DATA).with_data(b"an answer"));
    assert_eq!(read(&mut program, 9), b"an answer");
    guest.say(&Packet {
        flags: 3,
        ..Packet::new(host_port, 5, SHUTDOWN)
    });
    assert!(has_ended(&mut program));
    guest.expect(RESET);

    let (mut program, host_port) = guest.connected(6);
    guest.say(&Packet {
        flags: 2,
        ..Packet::new(host_port, 6, SHUTDOWN)
    });
    assert!(has_ended(&mut program));
    program.write_all(b"still here").unwrap();
    assert_eq!(guest.expect(DATA).data, b"still here");
}

#[test]
fn many_connections_share_the_queue() {
    let mut guest = Guest::boot();
    let mut programs: Vec<_> = (0..20).map(|port| guest.connected(port)).collect();
    let said: Vec<u8> = (0..200_000_u32).map(|at| at.to_le_bytes()[0]).collect();
    std::thread::scope(|scope| {
        for (program, _) in &mut programs {
            scope.spawn(|| program.write_all(&said).unwrap());
        }
        let mut heard = vec![Vec::new(); 20];
        while heard.iter().any(|bytes| bytes.len() < said.len()) {
            let packet = guest.expect(DATA);
            let of_one = &mut heard[packet.guest_port as usize];
            of_one.extend(packet.data);
            guest.say(&Packet {
                taken_bytes: u32::try_from(of_one.len()).unwrap(),
                ..Packet::new(packet.host_port, packet.guest_port, CREDIT_UPDATE)
            });
        }
        assert!(heard.iter().all(|bytes| *bytes == said));
    });
}
