//! What arrives, when, and how much is held meanwhile.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::num::NonZeroU64;
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_send_buffer_size;

use super::{
    DEADLINE, Network, is_reset, ms, nowhere, pattern, read, read_to_end, write_until_stuck,
};
use crate::relay::{ConnectionEnd, Direction, Effect, FlowStats, Plan, Relay, Rule, When};

fn rate(bits_per_s: u64) -> Effect {
    Effect::Rate {
        bits_per_s: NonZeroU64::new(bits_per_s).unwrap(),
    }
}

/// Sends much both ways at the same time and checks every byte.
fn exchange(plan: Plan, length: usize) -> Duration {
    let network = Network::new(plan);
    let (client, server) = network.connect();
    let sent = pattern(length);
    let started = Instant::now();
    thread::scope(|scope| {
        for mut socket in [&client, &server] {
            let sent = &sent;
            scope.spawn(move || {
                socket.write_all(sent).unwrap();
                socket.shutdown(Shutdown::Write).unwrap();
            });
        }
        for socket in [&client, &server] {
            let (bytes, end) = read_to_end(socket);
            end.unwrap();
            assert!(
                bytes == sent,
                "{} of {length} bytes, or others",
                bytes.len()
            );
        }
    });
    let took = started.elapsed();
    let stats = network.wait_until(|stats| stats.ended == 1);
    let bytes = u64::try_from(length).unwrap();
    let flow = FlowStats {
        received_bytes: bytes,
        forwarded_bytes: bytes,
        ..FlowStats::default()
    };
    let connection = stats.connection(0).unwrap();
    assert_eq!(connection.end, Some(ConnectionEnd::Finished));
    assert_eq!((connection.to_server, connection.to_client), (flow, flow));
    took
}

#[test]
fn relay_without_rules_forwards_every_byte_both_ways() {
    exchange(Plan::default(), 8_000_000);
    exchange(Plan::default(), 0);
}

#[test]
fn relay_with_delay_jitter_and_rate_keeps_bytes_and_order() {
    let plan = Plan::new(5)
        .rule(Effect::Delay(ms(3)))
        .rule(Effect::Jitter(ms(2)))
        .rule(rate(1_000_000_000));
    let took = exchange(plan, 2_000_000);
    assert!(took >= ms(16 + 3 - 1), "{took:?}");
}

#[test]
fn relay_with_a_rate_shares_it_among_connections() {
    let network = Network::new(Plan::new(0).rule(rate(100_000_000)));
    let pairs = [(); 4].map(|()| network.connect());
    let sent = pattern(125_000);
    let started = Instant::now();
    thread::scope(|scope| {
        for (mut client, server) in pairs {
            scope.spawn({
                let sent = &sent;
                move || client.write_all(sent).unwrap()
            });
            scope.spawn(move || read(&server, 125_000));
        }
    });
    let took = started.elapsed();
    assert!(took >= ms(40 - 1), "{took:?}");
}

#[test]
fn byte_that_is_delayed_comes_later_and_its_answer_as_well() {
    let to_server = Rule::new(Effect::Delay(ms(20))).direction(Direction::ToServer);
    let to_client = Rule::new(Effect::Delay(ms(10))).direction(Direction::ToClient);
    let network = Network::new(Plan::new(0).rule(to_server).rule(to_client));
    let (mut client, mut server) = network.connect();
    let started = Instant::now();
    client.write_all(b"?").unwrap();
    assert_eq!(read(&server, 1), b"?");
    assert!(started.elapsed() >= ms(20));
    server.write_all(b"!").unwrap();
    assert_eq!(read(&client, 1), b"!");
    assert!(started.elapsed() >= ms(30));
}

#[test]
fn byte_at_a_stall_waits_and_those_before_do_not() {
    let stall = Effect::Stall {
        at: When::Byte(1_000),
        lasting: ms(50),
    };
    let network = Network::new(Plan::new(0).rule(stall));
    let (mut client, server) = network.connect();
    let sent = pattern(3_000);
    let started = Instant::now();
    client.write_all(&sent).unwrap();
    let mut arrived = read(&server, 1_000);
    let stats = network.wait_until(|stats| stats.to_server.forwarded_bytes >= 1_000);
    let in_time = started.elapsed() < ms(50);
    assert!(
        !in_time || stats.to_server.forwarded_bytes == 1_000,
        "{stats:?}"
    );
    arrived.extend(read(&server, 2_000));
    assert!(started.elapsed() >= ms(50));
    assert!(arrived == sent);
}

#[test]
fn plan_that_replaces_a_stall_lets_the_bytes_go() {
    let for_ever = Effect::Stall {
        at: When::After(Duration::ZERO),
        lasting: Duration::MAX,
    };
    let network = Network::new(Plan::new(0).rule(for_ever));
    let (mut client, server) = network.connect();
    let sent = pattern(100_000);
    client.write_all(&sent).unwrap();
    let stats = network.wait_until(|stats| stats.to_server.received_bytes == 100_000);
    assert_eq!(stats.to_server.forwarded_bytes, 0);
    network.relay.set_plan(Plan::default());
    assert!(read(&server, 100_000) == sent);
}

#[test]
fn sender_is_stuck_when_the_receiver_reads_nothing() {
    let slow = Plan::new(0)
        .rule(rate(1_000_000_000))
        .rule(Effect::Delay(ms(2)));
    for (plan, window_bytes) in [(Plan::default(), 256 << 10), (slow, 250_000 + (64 << 10))] {
        let network = Network::new(plan);
        let (client, _server) = network.connect();
        set_socket_send_buffer_size(&client, 64 << 10).unwrap();
        // The patience covers the time that the kernel takes to fill the buffers.
        let (taken_bytes, _) = write_until_stuck(&client, ms(200));
        let flow = network.relay.stats().to_server;
        assert!(
            flow.received_bytes - flow.forwarded_bytes <= window_bytes,
            "{flow:?}"
        );
        // The rest is in the kernel. It doubles both bounds, 64 KiB for the client's socket and
        // 128 KiB for the relay's, and counts more than just the bytes.
        let in_kernel_bytes = taken_bytes - flow.received_bytes;
        assert!(in_kernel_bytes <= 1 << 20, "{taken_bytes} taken, {flow:?}");
    }
}

#[test]
fn client_of_a_server_that_is_not_there_is_reset() {
    let relay = Relay::start(nowhere(), Plan::default()).unwrap();
    let client = TcpStream::connect(relay.address()).unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    assert!(is_reset(&client));
    let stats = relay
        .wait_until(DEADLINE, |stats| stats.ended == 1)
        .unwrap();
    assert_eq!(
        stats.connection(0).unwrap().end,
        Some(ConnectionEnd::NoServer)
    );
}
