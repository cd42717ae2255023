//! Connections that end in the middle, and bytes that change.

use std::io::{ErrorKind, Write};
use std::net::{Shutdown, TcpStream};
use std::num::NonZeroU64;

use super::{DEADLINE, Network, is_reset, ms, pattern, read, read_to_end, write_until_stuck};
use crate::relay::{Chance, ConnectionEnd, Cut, Direction, Effect, Plan, Rule, When};

/// Makes dropping a socket send a RST.
fn reset_on_drop(socket: &TcpStream) {
    let linger = Some(std::time::Duration::ZERO);
    rustix::net::sockopt::set_socket_linger(socket, linger).unwrap();
}

fn cut_at(byte: u64, how: Cut) -> Rule {
    let at = When::Byte(byte);
    Rule::new(Effect::Cut { at, how }).direction(Direction::ToServer)
}

#[test]
fn cut_by_reset_at_a_byte_lets_no_more_than_that_pass() {
    let network = Network::new(Plan::new(0).rule(cut_at(100_000, Cut::Reset)));
    let (mut client, server) = network.connect();
    client.write_all(&pattern(50_000)).unwrap();
    assert!(read(&server, 50_000) == pattern(50_000));
    let (_, error) = write_until_stuck(&client, DEADLINE);
    assert!(
        matches!(error, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
        "{error}"
    );
    let (bytes, end) = read_to_end(&server);
    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(bytes.len() <= 50_000);

    let stats = network.wait_until(|stats| stats.ended == 1);
    let connection = stats.connection(0).unwrap();
    assert_eq!(connection.end, Some(ConnectionEnd::Cut(Cut::Reset)));
    assert_eq!(connection.to_server.forwarded_bytes, 100_000);
    assert_eq!(connection.to_server.received_bytes, 100_000);
}

#[test]
fn cut_by_fin_at_a_byte_lets_just_those_before_pass() {
    for length in [100_000, 100_001, 300_000] {
        let network = Network::new(Plan::new(0).rule(cut_at(100_000, Cut::Fin)));
        let (mut client, server) = network.connect();
        let sent = pattern(length);
        client.write_all(&sent).unwrap();
        let (bytes, end) = read_to_end(&server);
        end.unwrap();
        assert!(bytes == sent[..100_000]);
        let (bytes, _) = read_to_end(&client);
        assert!(bytes.is_empty());
        let (_, error) = write_until_stuck(&client, DEADLINE);
        assert!(
            matches!(error, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
            "{error}"
        );
        let stats = network.wait_until(|stats| stats.ended == 1);
        assert_eq!(
            stats.connection(0).unwrap().end,
            Some(ConnectionEnd::Cut(Cut::Fin))
        );
    }
}

#[test]
fn cut_before_the_first_byte_and_after_a_time_needs_no_bytes() {
    for at in [When::Byte(0), When::After(ms(5))] {
        let how = Cut::Reset;
        let network = Network::new(Plan::new(0).rule(Effect::Cut { at, how }));
        let (client, server) = network.connect();
        assert!(is_reset(&client));
        assert!(is_reset(&server));
    }
}

#[test]
fn cut_of_one_connection_spares_the_others() {
    let network = Network::new(Plan::new(0).rule(cut_at(10, Cut::Reset).connection(1)));
    let pairs = [(); 3].map(|()| network.connect());
    for (index, (mut client, server)) in pairs.into_iter().enumerate() {
        client.write_all(&pattern(20)).unwrap();
        if index == 1 {
            assert!(is_reset(&client));
        } else {
            assert!(read(&server, 20) == pattern(20));
        }
    }
    network.wait_until(|stats| stats.cut == 1);
}

#[test]
fn cut_of_these_at_a_byte_of_one_connection_spares_it_and_the_others() {
    let rule = |connections| {
        let (at, how) = (When::Byte(10), Cut::Reset);
        Rule::new(Effect::CutThese {
            at,
            how,
            connections,
        })
        .direction(Direction::ToServer)
        .connection(1)
    };
    let network = Network::new(Plan::new(0).rule(rule(2..=3)));
    let mut pairs = [(); 5].map(|()| network.connect());
    pairs[1].0.write_all(&pattern(20)).unwrap();
    for (index, (client, server)) in pairs.iter_mut().enumerate() {
        match index {
            1 => assert!(read(server, 20) == pattern(20)),
            2 | 3 => assert!(is_reset(client) && is_reset(server)),
            _ => {
                client.write_all(&pattern(5)).unwrap();
                assert!(read(server, 5) == pattern(5));
            }
        }
    }
    network.wait_until(|stats| stats.cut == 2);

    // With itself among them, not a byte more passes.
    let network = Network::new(Plan::new(0).rule(rule(0..=u64::MAX)));
    let mut pairs = [(); 2].map(|()| network.connect());
    pairs[1].0.write_all(&pattern(20)).unwrap();
    for (client, server) in &pairs {
        assert!(is_reset(client) && is_reset(server));
    }
    let stats = network.wait_until(|stats| stats.cut == 2);
    assert_eq!(stats.connection(1).unwrap().to_server.forwarded_bytes, 10);
}

#[test]
fn cut_at_some_byte_is_at_the_same_byte_again() {
    let at = When::SomeByte(1..=90_000);
    let effect = Effect::Cut { at, how: Cut::Fin };
    let rule = Rule::new(effect).direction(Direction::ToServer);
    let forwarded = |seed| {
        let network = Network::new(Plan::new(seed).rule(rule.clone()));
        [(); 2].map(|()| {
            let (mut client, server) = network.connect();
            client.write_all(&pattern(100_000)).unwrap();
            read_to_end(&server).0.len()
        })
    };
    let first = forwarded(1);
    assert_ne!(first[0], first[1]);
    assert_eq!(first, forwarded(1));
    assert_ne!(first, forwarded(2));
}

#[test]
fn half_close_at_a_byte_ends_one_direction_and_the_sender_is_not_told() {
    let effect = Effect::HalfClose {
        at: When::Byte(1_000),
    };
    let rule = Rule::new(effect).direction(Direction::ToServer);
    let network = Network::new(Plan::new(0).rule(rule));
    let (mut client, mut server) = network.connect();
    let sent = pattern(3_000_000);
    client.write_all(&sent).unwrap();
    let (bytes, end) = read_to_end(&server);
    end.unwrap();
    assert!(bytes == sent[..1_000]);

    server.write_all(&sent[..70_000]).unwrap();
    assert!(read(&client, 70_000) == sent[..70_000]);
    client.shutdown(Shutdown::Write).unwrap();
    drop(server);
    assert!(read_to_end(&client).0.is_empty());
    let stats = network.wait_until(|stats| stats.ended == 1);
    let connection = stats.connection(0).unwrap();
    assert_eq!(connection.end, Some(ConnectionEnd::Finished));
    assert_eq!(connection.to_server.forwarded_bytes, 1_000);
    assert_eq!(connection.to_server.discarded_bytes, 2_999_000);
}

#[test]
fn flip_at_a_byte_inverts_one_bit_of_it() {
    let network = Network::new(Plan::new(9).rule(Effect::Flip { position: 77_777 }));
    let (mut client, server) = network.connect();
    let sent = pattern(100_000);
    client.write_all(&sent).unwrap();
    let arrived = read(&server, 100_000);
    for (position, (before, after)) in sent.iter().zip(&arrived).enumerate() {
        let bits = (before ^ after).count_ones();
        assert_eq!(bits, u32::from(position == 77_777), "byte {position}");
    }
    network.wait_until(|stats| stats.to_server.flipped_bits == 1);
}

#[test]
fn flips_by_chance_are_the_same_ones_again() {
    let bytes = NonZeroU64::new(1_000).unwrap();
    let arrived = |seed, piece| {
        let network = Network::new(Plan::new(seed).rule(Effect::FlipOneIn { bytes }));
        let (mut client, server) = network.connect();
        for piece in pattern(30_000).chunks(piece) {
            client.write_all(piece).unwrap();
        }
        read(&server, 30_000)
    };
    let first = arrived(4, 30_000);
    assert!(first != pattern(30_000));
    assert!(first == arrived(4, 999));
    assert!(first != arrived(5, 999));
}

#[test]
fn peer_that_resets_has_the_other_one_reset_too() {
    let network = Network::new(Plan::new(0).rule(Effect::Delay(ms(2))));
    let (client, server) = network.connect();
    reset_on_drop(&server);
    drop(server);
    assert!(is_reset(&client));
    let stats = network.wait_until(|stats| stats.ended == 1);
    assert_eq!(
        stats.connection(0).unwrap().end,
        Some(ConnectionEnd::PeerReset)
    );
}

#[test]
fn peer_that_closes_and_still_gets_bytes_has_the_sender_reset() {
    let network = Network::new(Plan::default());
    let (mut client, server) = network.connect();
    drop(server);
    assert!(read_to_end(&client).0.is_empty());
    // The server's kernel answers these with a RST, of which the relay learns afterwards.
    client.write_all(b"anybody there?").unwrap();
    let stats = network.wait_until(|stats| stats.ended == 1);
    assert_eq!(
        stats.connection(0).unwrap().end,
        Some(ConnectionEnd::PeerReset)
    );
    let (_, error) = write_until_stuck(&client, DEADLINE);
    assert!(
        matches!(error, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
        "{error}"
    );
}

#[test]
fn peer_that_resets_while_bytes_wait_has_the_sender_reset() {
    let network = Network::new(Plan::default());
    let (client, server) = network.connect();
    let (_, error) = write_until_stuck(&client, ms(100));
    assert_eq!(error, ErrorKind::WouldBlock);
    reset_on_drop(&server);
    drop(server);
    let (_, error) = write_until_stuck(&client, DEADLINE);
    assert!(
        matches!(error, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
        "{error}"
    );
    network.wait_until(|stats| stats.ended == 1);
}

#[test]
fn connections_cut_at_random_bytes_in_many_ways_all_end() {
    let ways = |chance: Chance, at| match chance.below(3) {
        0 => Effect::Cut { at, how: Cut::Fin },
        1 => Effect::Cut {
            at,
            how: Cut::Reset,
        },
        _ => Effect::HalfClose { at },
    };
    let plan = (0..60).fold(Plan::new(1), |plan, index| {
        let effect = ways(Chance::new(2).with(index), When::SomeByte(0..=200_000));
        plan.rule(Rule::new(effect).connection(index))
    });
    let network = Network::new(plan.rule(Effect::Jitter(ms(1))));
    for _ in 0..60 {
        let (client, server) = network.connect();
        std::thread::scope(|scope| {
            for mut socket in [&client, &server] {
                scope.spawn(move || {
                    // It may be cut at any point, and then this fails.
                    let _ = socket.write_all(&pattern(200_000));
                    let _ = socket.shutdown(Shutdown::Write);
                });
                scope.spawn(move || {
                    let (bytes, _) = read_to_end(socket);
                    assert!(bytes == pattern(200_000)[..bytes.len()]);
                });
            }
        });
    }
    assert_eq!(network.wait_until(|stats| stats.ended == 60).open(), 0);
}
