//! Who may connect: keys that agree, differ or are missing, and strangers in numbers.

use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::time::Duration;

use migration::{
    CancelToken, DestinationOptions, Failure, Key, MigrationError as Error, Progress, Report,
    SourceOptions, Streams, Timeouts, Trust, migrate, probe,
};

use crate::machine::{FakeSource, Waiting, can_receive, options_to};
use crate::memory::Memory;
use crate::peer::{
    ATTACH, CHALLENGE, HELLO, MIGRATE, PROOF, Peer, REFUSE, TO_ATTACH, attach, destination, hello,
    relay_until_accept,
};

fn trust(key: Option<&[u8]>) -> Trust {
    Trust {
        key: key.map(|bytes| Key::new(bytes.to_vec()).unwrap()),
        tls: None,
    }
}

const KEY: &[u8] = b"a key that both ends have";
const OTHER: &[u8] = b"a key that nobody else has";

fn waiting(key: Option<&[u8]>) -> Waiting {
    Waiting::start_with(DestinationOptions {
        trust: trust(key),
        ..DestinationOptions::default()
    })
}

fn migrate_to(waiting: &Waiting, key: Option<&[u8]>) -> Result<Report, Box<Failure>> {
    let options = SourceOptions {
        trust: trust(key),
        streams: Some(Streams::new(3).unwrap()),
        ..options_to(waiting.address)
    };
    let vm = FakeSource::new(Memory::filled(500));
    let cancel = CancelToken::new().unwrap();
    let result = migrate(&vm, &options, &|_: &Progress| {}, &cancel);
    assert_eq!(vm.runs(), result.is_err());
    result
}

#[test]
fn move_with_the_same_key_at_both_ends_completes() {
    if !can_receive() {
        return;
    }
    let waiting = waiting(Some(KEY));
    migrate_to(&waiting, Some(KEY)).unwrap();
    assert!(waiting.join().unwrap().outcome.is_ok());
}

/// One end's error, and the other's words.
type Case = (
    Option<&'static [u8]>,
    Option<&'static [u8]>,
    fn(&Error) -> bool,
    &'static str,
);

#[test]
fn keys_that_do_not_agree_are_told_at_both_ends_and_the_guest_stays() {
    let cases: [Case; 3] = [
        (
            Some(OTHER),
            Some(KEY),
            |error| matches!(error, Error::KeysDiffer { .. }),
            "differ",
        ),
        (
            None,
            Some(KEY),
            |error| matches!(error, Error::KeyWanted { .. }),
            "has no key",
        ),
        (
            Some(KEY),
            None,
            |error| matches!(error, Error::KeyAbsent { .. }),
            "wants a key: give --key FILE",
        ),
    ];
    for (source, destination, is_told, words) in cases {
        let waiting = waiting(destination);
        let failure = migrate_to(&waiting, source).unwrap_err();
        assert!(is_told(&failure.error), "{:?}", failure.error);
        assert!(failure.report.downtime_ms == 0.0);
        let told = waiting.rejection(|_| true);
        assert!(told.contains(words), "{told}");
        assert_eq!(waiting.watch.made.load(Ordering::SeqCst), 0);
        waiting.stop.cancel();
        assert!(waiting.join().is_err());
    }
}

#[test]
fn probe_needs_the_key_too() {
    let waiting = waiting(Some(KEY));
    let address = waiting.address.to_string();
    let timeouts = Timeouts::default();
    let error = probe(&address, &timeouts, &trust(None)).unwrap_err();
    assert!(matches!(error, Error::KeyWanted { .. }), "{error}");
    assert!(probe(&address, &timeouts, &trust(Some(KEY))).is_ok());
    waiting.stop.cancel();
    assert!(waiting.join().is_err());
}

#[test]
fn page_connection_of_a_known_session_needs_the_session_key() {
    if !can_receive() {
        return;
    }
    let waiting = waiting(Some(KEY));
    let target = waiting.address;
    // The thief sits on the path, and sees the session's number before the source does.
    let (address, relay) = destination(move |listener| {
        let (near, _) = listener.accept().unwrap();
        let far = TcpStream::connect(target).unwrap();
        let (session, ends) = relay_until_accept(near, far);
        let mut thief = Peer::connect_with_key(target, TO_ATTACH);
        thief.frame(ATTACH, &attach(&session, 1, 0));
        thief.frame(CHALLENGE, &[9; 32]);
        thief.skip_preamble();
        let theirs = thief.expect(CHALLENGE);
        thief.frame(PROOF, &theirs);
        // Refusal::KeysDiffer
        assert_eq!(thief.expect(REFUSE), [7]);
        drop(ends);
    });
    let options = SourceOptions {
        trust: trust(Some(KEY)),
        ..options_to(address)
    };
    let vm = FakeSource::new(Memory::filled(50));
    let cancel = CancelToken::new().unwrap();
    migrate(&vm, &options, &|_: &Progress| {}, &cancel).unwrap_err();
    assert!(vm.runs());
    relay.join().unwrap();
    migrate_to(&waiting, Some(KEY)).unwrap();
    assert!(waiting.join().unwrap().outcome.is_ok());
}

#[test]
fn hello_without_proof_makes_no_vm() {
    let waiting = waiting(Some(KEY));
    let mut stranger = Peer::connect_with_key(waiting.address, MIGRATE);
    stranger.frame(HELLO, &hello(0, 5));
    stranger.drain();
    assert_eq!(waiting.watch.made.load(Ordering::SeqCst), 0);
    waiting.stop.cancel();
    assert!(waiting.join().is_err());
}

#[test]
fn half_open_strangers_in_numbers_do_not_keep_a_source_out() {
    if !can_receive() {
        return;
    }
    for key in [None, Some(KEY)] {
        let waiting = waiting(key);
        let silent: Vec<_> = (0..300)
            .map(|_| TcpStream::connect(waiting.address).unwrap())
            .collect();
        migrate_to(&waiting, key).unwrap();
        assert!(waiting.join().unwrap().outcome.is_ok());
        // The first of them were shown out.
        let mut byte = [0];
        silent[0]
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        assert!(!matches!(
            std::io::Read::read(&mut &silent[0], &mut byte),
            Ok(1)
        ));
    }
}
