//! The answer to one request, which may be given on the event loop at once or later by another thread.

use std::io::{self, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;
use vmm_sys_util::eventfd::EventFd;

use super::{Failure, Progress, Response};

/// A client's end of the conversation, shared by the server, which reads, and the [`Reply`], which writes.
#[derive(Debug)]
pub(super) struct Peer {
    /// In non-blocking mode.
    pub(super) stream: UnixStream,
    /// A reply is outstanding: the next request waits.
    busy: AtomicBool,
}

impl Peer {
    pub(super) fn new(stream: UnixStream) -> Arc<Self> {
        Arc::new(Self {
            stream,
            busy: AtomicBool::new(false),
        })
    }

    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }
}

/// The one who answers a request: any number of [`progress`](Self::progress) lines, then one of
/// [`ok`](Self::ok) and [`error`](Self::error), on any thread. If it is dropped without, the client is told so.
#[derive(Debug)]
pub struct Reply {
    peer: Arc<Peer>,
    /// Tells the server that the client's next request may be read.
    done: Arc<EventFd>,
    /// How long the final line may wait for a client that does not read.
    patience: Duration,
    /// The rest of a progress line that went out in part.
    unsent: Vec<u8>,
    finished: bool,
}

impl Reply {
    pub(super) fn new(peer: Arc<Peer>, done: Arc<EventFd>) -> Self {
        peer.busy.store(true, Ordering::Release);
        Self {
            peer,
            done,
            patience: Duration::ZERO,
            unsent: Vec::new(),
            finished: false,
        }
    }

    /// Lets the final line wait that long for a client that reads slowly; for threads other than the
    /// event loop's, which must not wait at all.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Tells the client how far the work has come. Never waits: a line that does not fit is left out.
    pub fn progress(&mut self, progress: &Progress) {
        let stalled = self.send_unsent(Duration::ZERO).is_err();
        if !stalled && self.unsent.is_empty() {
            let line = to_line(&Response::<()>::Progress(progress.clone()));
            let sent = write_some(&self.peer.stream, &line);
            if sent > 0 {
                self.unsent = line[sent..].to_vec();
            }
        }
    }

    /// Ends the request well.
    pub fn ok(mut self, value: &impl Serialize) {
        self.finish(&Response::Ok(value));
    }

    /// Ends the request with the reasons of a failure.
    pub fn error(mut self, failure: Failure) {
        self.finish(&Response::<()>::Error(failure));
    }

    fn finish(&mut self, response: &Response<impl Serialize>) {
        self.finished = true;
        self.unsent.extend_from_slice(&to_line(response));
        if let Err(error) = self.send_unsent(self.patience) {
            log::debug!("a client did not take its answer: {error}");
            // Half a line was perhaps sent, so nothing that follows could be understood.
            // The peer may have gone already, and then there is nothing to shut down.
            let _gone = self.peer.stream.shutdown(Shutdown::Both);
        }
        self.peer.busy.store(false, Ordering::Release);
        // The counter cannot overflow: the server resets it, and each request adds one.
        let _full = self.done.write(1);
    }

    /// Writes all that is left of earlier lines, waiting for the client at most `patience`.
    fn send_unsent(&mut self, patience: Duration) -> io::Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let sent = write_some(&self.peer.stream, &self.unsent);
            self.unsent.drain(..sent);
            if self.unsent.is_empty() {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            wait_writable(&self.peer.stream, left)?;
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if !self.finished {
            self.finish(&Response::<()>::Error(Failure {
                message: "the monitor ended the request without an answer".to_owned(),
                causes: Vec::new(),
                remedy: None,
            }));
        }
    }
}

fn to_line(response: &Response<impl Serialize>) -> Vec<u8> {
    let mut line = serde_json::to_vec(response)
        .expect("an answer has only text keys and fields that serialize without fail");
    line.push(b'\n');
    line
}

/// Writes as much as fits now; nothing if the client's buffer is full or the client has gone.
fn write_some(stream: &UnixStream, bytes: &[u8]) -> usize {
    let mut stream = stream;
    let mut sent = 0;
    while sent < bytes.len() {
        match stream.write(&bytes[sent..]) {
            Ok(0) => break,
            Ok(count) => sent += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    sent
}

/// Waits until there is room for more, or fails when the client has gone or the time is over.
fn wait_writable(stream: &UnixStream, timeout: Duration) -> io::Result<()> {
    let timeout = Timespec::try_from(timeout).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut fds = [PollFd::from_borrowed_fd(stream.as_fd(), PollFlags::OUT)];
    poll(&mut fds, Some(&timeout))?;
    let events = fds[0].revents();
    if events.intersects(PollFlags::HUP | PollFlags::ERR) {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
