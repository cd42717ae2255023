//! Literal bytes of proofs and the exchange with every byte of it changed, replayed and reflected.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::proof::{Side, Transcript};
use super::*;
use crate::error::{Error, Result};
use crate::link::{FrameReader, FrameWriter, Link, Patience};
use crate::stop::Stop;
use crate::wire::{Access, Attach, PREAMBLE_BYTES, Preamble, Purpose, Role, SessionId};

const SECRET: &[u8; 16] = b"sixteen bytes!!!";

fn key() -> Key {
    Key::new(SECRET.to_vec()).unwrap()
}

fn subject() -> Subject {
    Subject::attach(Attach {
        session: SessionId([3; 16]),
        role: Role::Background,
        lap: 5,
    })
}

fn transcript() -> Transcript {
    Transcript {
        subject: subject(),
        source: Nonce([0xaa; 32]),
        destination: Nonce([0xbb; 32]),
    }
}

fn hmac(bytes: &[u8]) -> [u8; 32] {
    let mac = Hmac::<Sha256>::new_from_slice(SECRET).unwrap();
    mac.chain_update(bytes).finalize().into_bytes().into()
}

#[test]
fn proof_covers_its_literal_bytes() {
    let bytes = [
        &b"skiffmov proof\0\0"[..],
        // destination, version 3, attach, session, background, lap 5
        &[2, 0],
        &[3, 0, 0, 0],
        &[2, 0],
        &[3; 16],
        &[2, 0],
        &[5, 0],
        &[0xaa; 32],
        &[0xbb; 32],
    ]
    .concat();
    assert_eq!(bytes.len(), 108);
    let tag = key().prove(Side::Destination, &transcript());
    assert_eq!(tag.0, hmac(&bytes));
    let session = [&b"skiffmov session"[..], &[0xaa; 32], &[0xbb; 32]].concat();
    assert_eq!(key().session(&transcript()).bytes(), hmac(&session));
}

#[test]
fn hmac_is_that_of_rfc_4231() {
    // Test case 2 has a key of 4 bytes, shorter than ours may be, so this is the bare algorithm.
    let mac = Hmac::<Sha256>::new_from_slice(b"Jefe").unwrap();
    let tag = mac.chain_update(b"what do ya want for nothing?").finalize();
    let begins = [0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e];
    assert_eq!(tag.into_bytes()[..8], begins);
}

#[test]
fn proof_of_anything_else_is_none() {
    let (key, right) = (key(), transcript());
    let tag = key.prove(Side::Source, &right);
    assert!(key.proves(Side::Source, &right, tag));
    assert!(!key.proves(Side::Destination, &right, tag));
    let other = Key::new(b"sixteen bytes!!?".to_vec()).unwrap();
    assert!(!other.proves(Side::Source, &right, tag));
    let wrong = [
        Transcript {
            source: right.destination,
            destination: right.source,
            ..right
        },
        Transcript {
            subject: Subject::new(Purpose::Attach),
            ..right
        },
        Transcript {
            subject: Subject::attach(Attach {
                session: SessionId([3; 16]),
                role: Role::Urgent,
                lap: 5,
            }),
            ..right
        },
        Transcript {
            subject: Subject::attach(Attach {
                session: SessionId([4; 16]),
                role: Role::Background,
                lap: 5,
            }),
            ..right
        },
        Transcript {
            subject: Subject::attach(Attach {
                session: SessionId([3; 16]),
                role: Role::Background,
                lap: 4,
            }),
            ..right
        },
    ];
    for wrong in &wrong {
        assert!(!key.proves(Side::Source, wrong, tag), "{wrong:?}");
    }
    for bit in 0..TAG_BYTES * 8 {
        let mut tampered = tag;
        tampered.0[bit / 8] ^= 1 << (bit % 8);
        assert!(!key.proves(Side::Source, &right, tampered), "bit {bit}");
    }
}

#[test]
fn key_out_of_bounds_is_refused_and_never_shown() {
    assert!(matches!(
        Key::new(vec![1; 15]),
        Err(Error::KeySize { length_bytes: 15 })
    ));
    assert!(Key::new(vec![1; MAX_KEY_BYTES]).is_ok());
    assert!(Key::new(vec![1; MAX_KEY_BYTES + 1]).is_err());
    assert_eq!(format!("{:?}", key()), "Key(..)");
}

/// Writes a key file with this content and mode, and reads it.
fn read(name: &str, content: &[u8], mode: u32) -> Result<Key> {
    let path = std::env::temp_dir().join(format!("skiff-key-{}-{name}", std::process::id()));
    std::fs::write(&path, content).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    let key = Key::read(&path);
    std::fs::remove_file(path).unwrap();
    key
}

#[test]
fn key_file_is_read_without_its_line_end() {
    for (name, end) in [("bare", ""), ("lf", "\n"), ("crlf", "\r\n")] {
        let content = [&SECRET[..], end.as_bytes()].concat();
        assert_eq!(read(name, &content, 0o600).unwrap().bytes(), SECRET);
    }
    let two_lines = [&SECRET[..], b"\n\n"].concat();
    let read = read("two", &two_lines, 0o400).unwrap();
    assert_eq!(read.bytes(), [&SECRET[..], b"\n"].concat());
}

#[test]
fn key_file_open_to_others_too_long_or_no_file_is_refused() {
    for mode in [0o640, 0o604, 0o620, 0o602] {
        let error = read(&format!("mode{mode:o}"), SECRET, mode).unwrap_err();
        let exposed = matches!(error, Error::KeyExposed { mode: found, .. } if found == mode);
        assert!(exposed, "{error}");
        assert!(error.remedy().unwrap().starts_with("chmod 600 "));
    }
    let longest = [&[7; MAX_KEY_BYTES][..], b"\r\n"].concat();
    assert!(read("longest", &longest, 0o600).is_ok());
    let error = read("long", &[7; 1 << 20], 0o600).unwrap_err();
    assert!(matches!(error, Error::KeySize { .. }), "{error}");
    let error = read("short", b"fifteen bytes!!\n", 0o600).unwrap_err();
    assert!(
        matches!(error, Error::KeySize { length_bytes: 15 }),
        "{error}"
    );
    for path in ["/nonexistent/key", "/dev/null", "/"] {
        let error = Key::read(&PathBuf::from(path)).unwrap_err();
        assert!(matches!(error, Error::KeyRead { .. }), "{error}");
    }
}

/// The ends of a parley over a connection of their own.
struct End {
    reader: FrameReader,
    writer: FrameWriter,
}

impl End {
    fn new(stream: TcpStream) -> Self {
        let peer = stream.peer_addr().unwrap();
        let link = Link::new(stream, peer, Stop::new().unwrap()).unwrap();
        Self {
            reader: FrameReader::new(link.clone()),
            writer: FrameWriter::new(link),
        }
    }

    fn parley(&mut self) -> Parley<'_> {
        Parley {
            reader: &mut self.reader,
            writer: &mut self.writer,
            patience: Patience::whole(Duration::from_millis(200)),
        }
    }

    fn source(mut self, key: Option<&Key>) -> Result<Option<Key>> {
        let mut parley = self.parley();
        let preamble = Preamble::new(Purpose::Migrate, Access::of(key));
        parley.writer.preamble(preamble, parley.patience)?;
        parley.as_source(key, Subject::new(Purpose::Migrate))
    }

    fn destination(mut self, key: Option<&Key>) -> Result<Option<Key>> {
        let mut parley = self.parley();
        let theirs = parley.reader.same_version(parley.patience)?;
        parley.answer(theirs, key)?;
        parley.session_key(key, Subject::new(theirs.purpose))
    }
}

fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (one, listener.accept().unwrap().0)
}

/// What both ends make of the exchange.
fn exchange(source: Option<&Key>, destination: Option<&Key>) -> [Result<Option<Key>>; 2] {
    let (one, other) = connection();
    thread::scope(|scope| {
        let destination = scope.spawn(|| End::new(other).destination(destination));
        [End::new(one).source(source), destination.join().unwrap()]
    })
}

#[test]
fn both_ends_with_the_same_key_get_the_same_session_key_each_time_another() {
    let keys: Vec<_> = (0..2)
        .map(|_| {
            let [source, destination] =
                exchange(Some(&key()), Some(&key())).map(|end| end.unwrap().unwrap());
            assert_eq!(source.bytes(), destination.bytes());
            source
        })
        .collect();
    assert_ne!(keys[0].bytes(), keys[1].bytes());
}

#[test]
fn ends_that_do_not_agree_are_told_so_at_once_and_both() {
    let (key, other) = (key(), Key::new(vec![7; 20]).unwrap());
    let [source, destination] = exchange(Some(&key), Some(&other)).map(Result::unwrap_err);
    assert!(matches!(source, Error::KeysDiffer { .. }), "{source}");
    assert!(matches!(destination, Error::KeysDiffer { .. }));
    let [source, destination] = exchange(None, Some(&key)).map(Result::unwrap_err);
    assert!(matches!(source, Error::KeyWanted { .. }), "{source}");
    assert!(matches!(destination, Error::KeyAbsent { .. }));
    let [source, destination] = exchange(Some(&key), None).map(Result::unwrap_err);
    assert!(matches!(source, Error::KeyAbsent { .. }), "{source}");
    assert!(matches!(destination, Error::KeyWanted { .. }));
    assert!(exchange(None, None).into_iter().all(|end| end.is_ok()));
}

/// Bytes that the source says in a whole exchange: preamble, challenge, proof.
const SAID: usize = PREAMBLE_BYTES + 2 * (8 + 32);

/// Passes `bytes` on, with one bit of one of them changed.
fn pass(mut from: TcpStream, mut to: TcpStream, flip: Option<usize>) -> Vec<u8> {
    let mut passed = Vec::new();
    let mut byte = [0];
    while let Ok(1) = from.read(&mut byte) {
        passed.push(byte[0]);
        byte[0] ^= u8::from(flip == Some(passed.len() - 1));
        if to.write_all(&byte).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
    passed
}

/// Who sends the byte that is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Source,
    Destination,
}

/// What both ends make of an exchange in which that byte was changed.
fn tamper(key: &Key, from: From, at: usize) -> [Result<Option<Key>>; 2] {
    let ((one, near), (far, other)) = (connection(), connection());
    thread::scope(|scope| {
        let (near2, far2) = (near.try_clone().unwrap(), far.try_clone().unwrap());
        let flip = |side| (from == side).then_some(at);
        scope.spawn(move || pass(near, far, flip(From::Source)));
        scope.spawn(move || pass(far2, near2, flip(From::Destination)));
        let destination = scope.spawn(|| End::new(other).destination(Some(key)));
        let source = End::new(one).source(Some(key));
        [source, destination.join().unwrap()]
    })
}

#[test]
fn every_byte_of_the_exchange_that_is_changed_fails_it() {
    let (key, bytes) = (key(), (0..SAID).collect::<Vec<_>>());
    let check = |from, at| {
        let [source, destination] = tamper(&key, from, at);
        // Whoever receives the changed byte, or what comes of it, fails. The destination's proof
        // is the last word, so it is content by then.
        assert!(source.is_err(), "{from:?} {at}");
        let is_last = from == From::Destination && at >= SAID - 40;
        assert_eq!(destination.is_err(), !is_last, "{from:?} {at}");
    };
    // Some of them end in silence, so a few at a time.
    thread::scope(|scope| {
        for some in bytes.chunks(SAID / 8) {
            scope.spawn(|| some.iter().for_each(|&at| check(From::Source, at)));
            scope.spawn(|| some.iter().for_each(|&at| check(From::Destination, at)));
        }
    });
}

#[test]
fn replay_of_a_whole_exchange_is_no_proof() {
    let key = key();
    let ((one, near), (far, other)) = (connection(), connection());
    let recorded = thread::scope(|scope| {
        let (near2, far2) = (near.try_clone().unwrap(), far.try_clone().unwrap());
        let recorder = scope.spawn(move || pass(near, far, None));
        scope.spawn(move || pass(far2, near2, None));
        let destination = scope.spawn(|| End::new(other).destination(Some(&key)));
        End::new(one).source(Some(&key)).unwrap();
        destination.join().unwrap().unwrap();
        recorder.join().unwrap()
    });
    assert_eq!(recorded.len(), SAID);
    let (mut replayer, other) = connection();
    replayer.write_all(&recorded).unwrap();
    drop(replayer.shutdown(std::net::Shutdown::Write));
    let error = End::new(other).destination(Some(&key)).unwrap_err();
    assert!(matches!(error, Error::KeysDiffer { .. }), "{error}");
}

#[test]
fn reflection_of_what_an_end_says_is_no_proof() {
    let key = key();
    let (one, mut mirror) = connection();
    let reflector = thread::spawn(move || {
        // The source's own words, its proof too.
        let mut said = [0; SAID - 40];
        mirror.read_exact(&mut said).unwrap();
        said[12] = 0;
        mirror.write_all(&said).unwrap();
        let mut proof = [0; 40];
        mirror.read_exact(&mut proof).unwrap();
        mirror.write_all(&proof).unwrap();
    });
    let error = End::new(one).source(Some(&key)).unwrap_err();
    assert!(matches!(error, Error::KeysDiffer { .. }), "{error}");
    reflector.join().unwrap();
}

#[test]
fn frame_too_long_for_a_stranger_is_refused_before_it_is_received() {
    let (mut one, other) = connection();
    one.write_all(&Preamble::new(Purpose::Migrate, Access::Key).encode())
        .unwrap();
    // A Hello of 1 MiB, which is one that may come later.
    one.write_all(&[1, 0, 0, 0, 0, 0, 0x10, 0]).unwrap();
    let error = End::new(other).destination(Some(&key())).unwrap_err();
    assert!(matches!(error, Error::Unexpected { .. }), "{error}");
}
