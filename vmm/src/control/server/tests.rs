//! A server on a temporary socket, with clients that behave and clients that do not.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use event_manager::{EventManager, SubscriberOps};
use serde_json::json;

use super::*;
use crate::control::{Progress, Response};

/// Answers `info` at once, keeps the reply to `migrate` for the test, and drops that to `cancel`.
struct Handler {
    migrations: Sender<Reply>,
}

impl ControlHandler for Handler {
    fn handle(&mut self, request: Request, reply: Reply) {
        match request {
            Request::Migrate(_) => self.migrations.send(reply).unwrap(),
            Request::Cancel => drop(reply),
            request => reply.ok(&json!({ "command": request.command() })),
        }
    }
}

/// A server on a thread of its own, stopped and joined when dropped.
struct Fixture {
    path: SocketPath,
    migrations: Receiver<Reply>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    _directory: tempfile::TempDir,
}

fn serve() -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let path = SocketPath::new(directory.path().join("web.sock")).unwrap();
    let socket = ControlSocket::bind(path.clone()).unwrap();
    let (sender, migrations) = mpsc::channel();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let thread = thread::spawn(move || {
        let server = ControlServer::new(socket, Handler { migrations: sender }).unwrap();
        let mut manager = EventManager::new().unwrap();
        manager.add_subscriber(server);
        while !stopped.load(Ordering::Relaxed) {
            manager.run_with_timeout(10).unwrap();
        }
    });
    Fixture {
        path,
        migrations,
        stop,
        thread: Some(thread),
        _directory: directory,
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().unwrap().join();
        assert!(thread::panicking() || ended.is_ok());
        assert!(thread::panicking() || !self.path.as_path().exists());
    }
}

struct TestClient {
    lines: BufReader<UnixStream>,
}

impl Fixture {
    fn connect(&self) -> TestClient {
        let stream = UnixStream::connect(self.path.as_path()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        TestClient {
            lines: BufReader::new(stream),
        }
    }

    fn migration(&self) -> Reply {
        self.migrations
            .recv_timeout(Duration::from_secs(10))
            .unwrap()
    }
}

impl TestClient {
    fn send(&mut self, text: &str) {
        self.lines.get_mut().write_all(text.as_bytes()).unwrap();
    }

    fn receive(&mut self) -> Response {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn is_at_end(&mut self) -> bool {
        matches!(self.lines.fill_buf(), Ok([]))
    }

    fn asks(&mut self, command: &str) {
        self.send(&format!("{{\"command\":\"{command}\"}}\n"));
        assert_eq!(self.receive(), Response::Ok(json!({ "command": command })));
    }
}

const MIGRATE: &str = "{\"command\":\"migrate\",\"to\":\"node2:7000\"}\n";

#[test]
fn client_asking_twice_is_answered_twice() {
    let server = serve();
    let mut client = server.connect();
    client.asks("info");
    client.asks("pause");
}

#[test]
fn clients_at_once_are_each_answered() {
    let server = serve();
    let mut clients: Vec<_> = (0..8).map(|_| server.connect()).collect();
    for client in clients.iter_mut().rev() {
        client.asks("info");
    }
    for client in &mut clients {
        client.asks("resume");
    }
}

#[test]
fn client_sending_in_pieces_or_all_at_once_is_answered_in_order() {
    let server = serve();
    let mut client = server.connect();
    client.send("{\"comm");
    server.connect().asks("info");
    client.send("and\":\"pause\"}\n\n{\"command\":\"resume\"}\r\n{\"command\":\"stop\"}");
    assert_eq!(
        client.receive(),
        Response::Ok(json!({ "command": "pause" }))
    );
    assert_eq!(
        client.receive(),
        Response::Ok(json!({ "command": "resume" }))
    );
    client.send("\n");
    assert_eq!(client.receive(), Response::Ok(json!({ "command": "stop" })));
}

#[test]
fn client_sending_garbage_is_told_so_and_closed_while_others_go_on() {
    let server = serve();
    let mut good = server.connect();
    for garbage in [
        "GET / HTTP/1.1\r\n\r\n",
        "\u{7f}\0\n",
        "{\"command\":\"fly\"}\n",
        "[]\n",
    ] {
        let mut client = server.connect();
        client.send(garbage);
        let Response::Error(failure) = client.receive() else {
            panic!("{garbage} is answered")
        };
        assert!(failure.message.contains("cannot understand") && failure.remedy.is_some());
        assert!(client.is_at_end());
    }
    good.asks("info");
}

#[test]
fn client_sending_an_endless_line_is_told_so_and_closed() {
    let server = serve();
    let mut client = server.connect();
    let line = "x".repeat(MAX_REQUEST_BYTES + 1);
    client.send(&line);
    let Response::Error(failure) = client.receive() else {
        panic!("an endless line is answered")
    };
    assert!(failure.causes[0].contains("65536"));
    server.connect().asks("info");
}

#[test]
fn client_that_stops_sending_gets_its_answers_first() {
    let server = serve();
    let mut client = server.connect();
    client.send("{\"command\":\"info\"}\n{\"command\":\"pause\"}\n");
    client
        .lines
        .get_mut()
        .shutdown(std::net::Shutdown::Write)
        .unwrap();
    assert_eq!(client.receive(), Response::Ok(json!({ "command": "info" })));
    assert_eq!(
        client.receive(),
        Response::Ok(json!({ "command": "pause" }))
    );
    assert!(client.is_at_end());
}

#[test]
fn reply_on_another_thread_comes_with_progress_before_the_next_request() {
    let server = serve();
    let mut client = server.connect();
    client.send(MIGRATE);
    client.send("{\"command\":\"info\"}\n");
    let mut reply = server.migration();
    server.connect().asks("pause");
    let progress = Progress {
        phase: "transfer".into(),
        round: 0,
        pages_done: 1,
        pages_total: 2,
        elapsed_ms: 3,
        rate_bytes_per_s: 0,
        remaining_bytes: 0,
        eta_ms: None,
    };
    let sent = progress.clone();
    thread::spawn(move || {
        reply.progress(&sent);
        reply.ok(&json!({ "outcome": "completed" }));
    });
    assert_eq!(client.receive(), Response::Progress(progress));
    assert_eq!(
        client.receive(),
        Response::Ok(json!({ "outcome": "completed" }))
    );
    assert_eq!(client.receive(), Response::Ok(json!({ "command": "info" })));
}

#[test]
fn reply_dropped_by_the_handler_is_an_error_and_not_silence() {
    let server = serve();
    let mut client = server.connect();
    client.send("{\"command\":\"cancel\"}\n");
    assert!(matches!(client.receive(), Response::Error(_)));
    client.asks("info");
}

#[test]
fn client_gone_during_its_request_does_not_disturb_the_reply_or_others() {
    let server = serve();
    let mut client = server.connect();
    client.send(MIGRATE);
    let reply = server.migration();
    drop(client);
    server.connect().asks("info");
    reply.ok(&json!({ "outcome": "completed" }));
    server.connect().asks("info");
}

#[test]
fn clients_silent_give_way_to_newcomers_and_those_served_do_not() {
    let server = serve();
    let mut served = server.connect();
    served.send(MIGRATE);
    let reply = server.migration();
    let silent: Vec<_> = (0..MAX_CLIENTS + 8).map(|_| server.connect()).collect();
    server.connect().asks("info");
    reply.ok(&json!({ "outcome": "completed" }));
    assert_eq!(
        served.receive(),
        Response::Ok(json!({ "outcome": "completed" }))
    );
    let dropped = silent
        .into_iter()
        .take(4)
        .map(|mut client| client.is_at_end());
    assert!(dropped.into_iter().all(|at_end| at_end));
}

#[test]
fn clients_beyond_the_limit_are_refused_when_all_are_being_served() {
    let server = serve();
    let mut served: Vec<_> = (0..MAX_CLIENTS).map(|_| server.connect()).collect();
    let replies: Vec<_> = served
        .iter_mut()
        .map(|client| {
            client.send(MIGRATE);
            server.migration()
        })
        .collect();
    assert!(matches!(server.connect().receive(), Response::Error(_)));
    drop(replies);
    for client in &mut served {
        assert!(matches!(client.receive(), Response::Error(_)));
    }
    server.connect().asks("info");
}

#[test]
fn client_that_never_reads_is_dropped_and_does_not_block_others() {
    let server = serve();
    let stuck = server.connect();
    stuck
        .lines
        .get_ref()
        .set_write_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let many = "{\"command\":\"info\"}\n".repeat(40_000);
    // Fails when the server hangs up, or its own buffer is full: either way it has stopped reading.
    let _unsent = stuck.lines.get_ref().write_all(many.as_bytes());
    server.connect().asks("info");
}
