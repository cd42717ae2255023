//! A client against sockets that answer, and sockets that do anything else.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};

use super::*;

/// A monitor that reads one request and sends these bytes.
fn monitor(answer: &'static [u8]) -> (SocketPath, tempfile::TempDir, JoinHandle<String>) {
    let directory = tempfile::tempdir().unwrap();
    let path = SocketPath::new(directory.path().join("web.sock")).unwrap();
    let listener = UnixListener::bind(path.as_path()).unwrap();
    let thread = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut request = String::new();
        BufReader::new(&stream).read_line(&mut request).unwrap();
        (&stream).write_all(answer).unwrap();
        request
    });
    (path, directory, thread)
}

fn call(answer: &'static [u8]) -> (Result<Value, ControlError>, Vec<u64>) {
    let (path, _directory, thread) = monitor(answer);
    let mut client = ControlClient::connect_to(&path).unwrap();
    let mut progress = Vec::new();
    let result = client.call(&Request::Info, |step| progress.push(step.pages_done));
    assert_eq!(thread.join().unwrap(), "{\"command\":\"info\"}\n");
    (result, progress)
}

#[test]
fn call_answered_returns_the_value_after_the_progress() {
    let (result, progress) = call(
        b"{\"progress\":{\"phase\":\"a\",\"round\":1,\"pages_done\":1,\"pages_total\":9,\"elapsed_ms\":0,\"rate_bytes_per_s\":0,\"remaining_bytes\":0,\"eta_ms\":null}}\n\
          {\"progress\":{\"phase\":\"a\",\"round\":1,\"pages_done\":5,\"pages_total\":9,\"elapsed_ms\":1,\"rate_bytes_per_s\":0,\"remaining_bytes\":0,\"eta_ms\":null}}\n\
          {\"ok\":{\"name\":\"web\"}}\n",
    );
    assert_eq!(result.unwrap(), json!({ "name": "web" }));
    assert_eq!(progress, [1, 5]);
}

#[test]
fn call_refused_carries_the_reasons_of_the_monitor() {
    let (result, _) =
        call(b"{\"error\":{\"message\":\"no\",\"causes\":[\"because\"],\"remedy\":\"wait\"}}\n");
    let Err(ControlError::Refused {
        command: "info",
        failure,
    }) = result
    else {
        panic!("{result:?}")
    };
    assert_eq!(
        (failure.message.as_str(), failure.remedy.as_deref()),
        ("no", Some("wait"))
    );
}

#[test]
fn call_to_something_else_is_an_error_that_says_so() {
    for answer in [
        b"HTTP/1.1 400\r\n".as_slice(),
        b"{}\n",
        b"{\"ok\":1,\"error\":2}\n",
        b"\0\n",
    ] {
        let (result, _) = call(answer);
        assert!(
            matches!(result, Err(ControlError::ResponseSyntax { .. })),
            "{result:?}"
        );
    }
    for answer in [b"".as_slice(), b"{\"ok\":{}}"] {
        let (result, _) = call(answer);
        assert!(
            matches!(result, Err(ControlError::Closed { .. })),
            "{result:?}"
        );
    }
}

#[test]
fn call_to_a_silent_monitor_ends_in_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = SocketPath::new(directory.path().join("web.sock")).unwrap();
    let _listener = UnixListener::bind(path.as_path()).unwrap();
    let mut client = ControlClient::connect_to(&path).unwrap();
    client
        .set_patience(Some(Duration::from_millis(20)))
        .unwrap();
    let result = client.call::<Value>(&Request::Info, |_| {});
    assert!(
        matches!(result, Err(ControlError::Silent { .. })),
        "{result:?}"
    );
}

#[test]
fn connection_to_no_monitor_or_a_dead_one_says_which() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("web.sock");
    let address: VmAddress = path.to_str().unwrap().parse().unwrap();
    let absent = ControlClient::connect(&address).unwrap_err();
    assert!(matches!(absent, ControlError::NoSocket { .. }));
    drop(UnixListener::bind(&path).unwrap());
    let dead = ControlClient::connect(&address).unwrap_err();
    assert!(matches!(dead, ControlError::Dead { .. }));
}

#[test]
fn connection_to_an_unknown_name_names_it() {
    let address: VmAddress = "surely-no-vm-has-this-name".parse().unwrap();
    let error = ControlClient::connect(&address).unwrap_err();
    assert!(
        error.to_string().contains("surely-no-vm-has-this-name"),
        "{error}"
    );
    assert!(error.remedy().is_some());
}
