//! Sockets that are free, in use, stale, or no sockets.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use super::*;

fn socket_path(directory: &tempfile::TempDir) -> SocketPath {
    SocketPath::new(directory.path().join("skiff/web.sock")).unwrap()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn socket_bound_is_private_and_removed_with_its_owner() {
    let directory = tempfile::tempdir().unwrap();
    let path = socket_path(&directory);
    let socket = ControlSocket::bind(path.clone()).unwrap();
    assert_eq!(mode(path.as_path()), 0o600);
    assert_eq!(mode(path.directory()), 0o700);
    assert!(UnixStream::connect(path.as_path()).is_ok());
    drop(socket);
    assert!(!path.as_path().exists());
}

#[test]
fn socket_of_a_living_monitor_is_left_alone_and_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = socket_path(&directory);
    let _living = ControlSocket::bind(path.clone()).unwrap();
    let error = ControlSocket::bind(path.clone()).unwrap_err();
    assert!(matches!(error, ControlError::NameInUse { .. }));
    assert!(error.to_string().contains("skiff/web.sock"));
    assert!(!remove_if_dead(&path).unwrap());
    assert!(UnixStream::connect(path.as_path()).is_ok());
}

#[test]
fn socket_of_a_dead_monitor_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = socket_path(&directory);
    create_directory(path.directory()).unwrap();
    drop(UnixListener::bind(path.as_path()).unwrap());
    assert!(path.as_path().exists());
    let _socket = ControlSocket::bind(path.clone()).unwrap();
    assert!(UnixStream::connect(path.as_path()).is_ok());
}

#[test]
fn socket_dead_or_absent_is_gone_after_removal() {
    let directory = tempfile::tempdir().unwrap();
    let path = socket_path(&directory);
    create_directory(path.directory()).unwrap();
    drop(UnixListener::bind(path.as_path()).unwrap());
    assert!(remove_if_dead(&path).unwrap());
    assert!(!path.as_path().exists());
    assert!(remove_if_dead(&path).unwrap());
}

#[test]
fn socket_replaced_by_a_successor_outlives_its_first_owner() {
    let directory = tempfile::tempdir().unwrap();
    let path = socket_path(&directory);
    let first = ControlSocket::bind(path.clone()).unwrap();
    std::fs::remove_file(path.as_path()).unwrap();
    let _second = ControlSocket::bind(path.clone()).unwrap();
    drop(first);
    assert!(UnixStream::connect(path.as_path()).is_ok());
}

#[test]
fn file_that_is_no_socket_is_never_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = SocketPath::new(directory.path().join("notes.sock")).unwrap();
    std::fs::write(path.as_path(), "precious").unwrap();
    let error = ControlSocket::bind(path.clone()).unwrap_err();
    assert!(matches!(error, ControlError::NotASocket { .. }));
    assert_eq!(std::fs::read(path.as_path()).unwrap(), b"precious");
}

#[test]
fn directory_that_cannot_be_made_is_an_error_with_a_remedy() {
    let path = SocketPath::new("/nonexistent/skiff/web.sock".into()).unwrap();
    let error = ControlSocket::bind(path).unwrap_err();
    assert!(matches!(error, ControlError::CreateDirectory { .. }));
    assert!(error.remedy().unwrap().contains("--api"));
}

#[test]
fn directory_that_stays_locked_is_an_error_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let _held = DirectoryLock::take(directory.path()).unwrap();
    let path = SocketPath::new(directory.path().join("web.sock")).unwrap();
    let error = ControlSocket::bind(path).unwrap_err();
    assert!(matches!(error, ControlError::DirectoryBusy { .. }));
}
