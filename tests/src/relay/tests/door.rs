//! Who gets in, and what happens to those inside when the relay is told so.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{DEADLINE, Network, is_reset, ms, read, read_to_end};
use crate::relay::hub::MAX_OPEN;
use crate::relay::{ConnectionEnd, Cut, Effect, Plan, Relay, RelayError, Rule, When};

/// Connects again and again until it is not refused any more.
fn connect_at_last(relay: &Relay) -> TcpStream {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match TcpStream::connect(relay.address()) {
            Ok(client) => return client,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
                assert!(Instant::now() < deadline);
            }
        }
    }
}

fn is_refused(relay: &Relay) -> bool {
    let error = TcpStream::connect(relay.address()).err();
    error.is_some_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

#[test]
fn refusal_for_a_time_passes_and_spares_those_inside() {
    let network = Network::new(Plan::default());
    let (mut old, server) = network.connect();
    let started = Instant::now();
    network.relay.refuse_for(ms(50));
    let mut client = connect_at_last(&network.relay);
    assert!(started.elapsed() >= ms(50));

    let (new_server, _) = network.server.accept().unwrap();
    client.write_all(b"new").unwrap();
    assert_eq!(read(&new_server, 3), b"new");
    old.write_all(b"old").unwrap();
    assert_eq!(read(&server, 3), b"old");
}

#[test]
fn refusal_for_ever_is_in_force_at_once_and_does_not_delay_the_drop() {
    let network = Network::new(Plan::default());
    network.relay.refuse_for(Duration::MAX);
    assert!(is_refused(&network.relay));
    drop(network.relay);
}

#[test]
fn refusal_after_a_cut_begins_before_the_cut_is_felt() {
    let cut = |how| {
        let at = When::Byte(1);
        let rule = Rule::new(Effect::Cut { at, how });
        Plan::new(0).rule(rule.connection(0))
    };
    for how in [Cut::Reset, Cut::Fin] {
        let network = Network::new(cut(how).rule(Effect::RefuseAfterCut(Duration::MAX)));
        let (mut client, server) = network.connect();
        client.write_all(b"x").unwrap();
        let _ = read_to_end(&server);
        assert!(is_refused(&network.relay));

        let network = Network::new(cut(how).rule(Effect::RefuseAfterCut(ms(30))));
        let (mut client, server) = network.connect();
        let started = Instant::now();
        client.write_all(b"x").unwrap();
        let _ = read_to_end(&server);
        let _client = connect_at_last(&network.relay);
        assert!(started.elapsed() >= ms(30));
        assert_eq!(network.wait_until(|stats| stats.accepted == 2).cut, 1);
    }
}

#[test]
fn cut_all_returns_when_all_are_cut_and_lets_others_come() {
    for how in [Cut::Reset, Cut::Fin] {
        let network = Network::new(Plan::new(0).rule(Effect::Delay(ms(1))));
        let pairs = [(); 3].map(|()| network.connect());
        assert_eq!(network.relay.cut_all(how), 3);
        let stats = network.relay.stats();
        assert_eq!((stats.cut, stats.open()), (3, 0));
        for (client, server) in &pairs {
            for socket in [client, server] {
                assert_eq!(is_reset(socket), how == Cut::Reset);
            }
        }
        assert_eq!(network.relay.cut_all(how), 0);
        let (mut client, server) = network.connect();
        client.write_all(b"again").unwrap();
        assert_eq!(read(&server, 5), b"again");
    }
}

#[test]
fn connection_beyond_the_limit_waits_for_another_one_to_end() {
    let network = Network::new(Plan::default());
    let mut pairs: Vec<_> = (0..MAX_OPEN).map(|_| network.connect()).collect();
    let mut client = TcpStream::connect(network.relay.address()).unwrap();
    client.write_all(b"last").unwrap();
    drop(pairs.pop());
    let (last, _) = network.server.accept().unwrap();
    assert_eq!(read(&last, 4), b"last");
    let stats = network.relay.stats();
    assert_eq!((stats.accepted, stats.ended), (MAX_OPEN as u64 + 1, 1));
}

#[test]
fn relay_that_is_dropped_leaves_nothing_open() {
    let network = Network::new(Plan::new(0).rule(Effect::Stall {
        at: When::Byte(0),
        lasting: Duration::MAX,
    }));
    let (mut client, server) = network.connect();
    client.write_all(b"lost").unwrap();
    let address = network.relay.address();
    drop(network.relay);
    assert!(is_reset(&client));
    assert!(is_reset(&server));
    let error = TcpStream::connect(address).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn listen_at_an_address_in_use_fails() {
    let network = Network::new(Plan::default());
    let taken = network.relay.address();
    let error = Relay::listen(taken, taken, Plan::default()).unwrap_err();
    assert!(matches!(error, RelayError::Listen { address, .. } if address == taken));
}

#[test]
fn wait_for_what_never_comes_ends_with_the_statistics() {
    let network = Network::new(Plan::default());
    let _pair = network.connect();
    let error = network
        .relay
        .wait_until(ms(1), |stats| stats.accepted == 2)
        .unwrap_err();
    let RelayError::NotReached { stats, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(stats.accepted, 1);
    assert_eq!(stats.connection(0).unwrap().end, None::<ConnectionEnd>);
}
