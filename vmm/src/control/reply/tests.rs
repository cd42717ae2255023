//! Answers to clients that read, read late, do not read, or are gone.

use std::io::{BufRead, BufReader, Read};
use std::thread;

use super::*;

fn reply() -> (Reply, UnixStream) {
    let (server, client) = UnixStream::pair().unwrap();
    server.set_nonblocking(true).unwrap();
    let done = Arc::new(EventFd::new(libc::EFD_NONBLOCK).unwrap());
    (Reply::new(Peer::new(server), done), client)
}

fn progress(pages_done: u64) -> Progress {
    Progress {
        phase: "transfer".into(),
        round: 0,
        pages_done,
        pages_total: 100_000,
        elapsed_ms: 1,
        rate_bytes_per_s: 0,
        remaining_bytes: 0,
        eta_ms: None,
    }
}

fn lines(client: UnixStream) -> Vec<Response> {
    BufReader::new(client)
        .lines()
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect()
}

#[test]
fn reply_with_progress_arrives_in_order_and_frees_the_client() {
    let (mut reply, client) = reply();
    let (peer, done) = (Arc::clone(&reply.peer), Arc::clone(&reply.done));
    assert!(peer.is_busy());
    reply.progress(&progress(1));
    reply.ok(&"moved");
    assert!(!peer.is_busy());
    assert_eq!(done.read().unwrap(), 1);
    drop(peer);
    assert_eq!(
        lines(client),
        [
            Response::Progress(progress(1)),
            Response::Ok("moved".into())
        ]
    );
}

#[test]
fn reply_dropped_without_answer_tells_the_client() {
    let (reply, client) = reply();
    drop(reply);
    assert!(
        matches!(&lines(client)[..], [Response::Error(failure)] if failure.message.contains("without an answer"))
    );
}

#[test]
fn reply_to_a_stuck_client_drops_progress_and_ends_in_time() {
    let (mut reply, client) = reply();
    for pages_done in 0..20_000 {
        reply.progress(&progress(pages_done));
    }
    let started = Instant::now();
    reply.with_patience(Duration::from_millis(20)).ok(&"moved");
    assert!(started.elapsed() < Duration::from_secs(5));
    let mut received = Vec::new();
    let mut client = client;
    client.read_to_end(&mut received).unwrap();
    assert!(!received.is_empty());
}

#[test]
fn reply_to_a_slow_client_arrives_whole() {
    let (mut reply, client) = reply();
    for pages_done in 0..20_000 {
        reply.progress(&progress(pages_done));
    }
    let report = "r".repeat(1 << 20);
    let expected = Response::Ok(report.as_str().into());
    let reader = thread::spawn(move || lines(client));
    reply.with_patience(Duration::from_secs(20)).ok(&report);
    let lines = reader.join().unwrap();
    assert_eq!(lines.last(), Some(&expected));
    assert!(lines.len() < 20_000);
}

#[test]
fn reply_to_a_client_that_has_gone_is_given_up() {
    let (mut reply, client) = reply();
    drop(client);
    reply.progress(&progress(1));
    let started = Instant::now();
    reply.with_patience(Duration::from_secs(20)).ok(&"moved");
    assert!(started.elapsed() < Duration::from_secs(5));
}
