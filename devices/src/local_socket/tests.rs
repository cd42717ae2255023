//! Sockets that are free, in use, dead, or none.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use super::*;

#[test]
fn socket_is_private_and_there_as_long_as_its_file_is_owned() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let (listener, file) = listen(&path).unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let _program = connect(&path).unwrap();
    accept(&listener).unwrap();
    let error = accept(&listener).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    drop(file);
    assert!(!path.exists());
}

#[test]
fn successor_keeps_the_place_when_its_predecessor_goes() {
    let directory = tempfile::tempdir().unwrap();
    let (path, beside) = (directory.path().join("s"), directory.path().join("t"));
    let (_, predecessor) = listen(&path).unwrap();
    let (listener, mut successor) = listen(&beside).unwrap();
    successor.take_place(&path).unwrap();
    assert!(!beside.exists());
    drop(predecessor);
    let _program = connect(&path).unwrap();
    accept(&listener).unwrap();
    drop(successor);
    assert!(!path.exists());
}

#[test]
fn occupant_is_told_from_what_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    assert_eq!(Occupant::of(&path).unwrap(), Occupant::Nobody);
    let living = UnixListener::bind(&path).unwrap();
    assert_eq!(Occupant::of(&path).unwrap(), Occupant::Alive);
    drop(living);
    assert_eq!(Occupant::of(&path).unwrap(), Occupant::Dead);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "precious").unwrap();
    assert_eq!(Occupant::of(&path).unwrap(), Occupant::NoSocket);
    assert_eq!(fs::read(&path).unwrap(), b"precious");
}

#[test]
fn directory_locked_by_another_is_given_up_in_time() {
    let directory = tempfile::tempdir().unwrap();
    let held = DirectoryLock::take(directory.path()).unwrap();
    let started = Instant::now();
    let error = DirectoryLock::take(directory.path()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert!(started.elapsed() < LOCK_PATIENCE * 3);
    drop(held);
    DirectoryLock::take(directory.path()).unwrap();
}
