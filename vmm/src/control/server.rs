//! The monitor's end of the control socket, on its event loop.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Instant;

use event_manager::{EventOps, Events, MutEventSubscriber};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::lines::LineBuffer;
use super::reply::Peer;
use super::{ControlSocket, Failure, Reply, Request, SocketPath};

/// Connections at a time; one more takes the place of the one that has been idle the longest. Our choice.
pub const MAX_CLIENTS: usize = 32;

/// The longest request; our choice: some hundred times what any request takes.
const MAX_REQUEST_BYTES: usize = 64 << 10;

/// Bytes read from a client at a time.
const READ_BYTES: usize = 4096;

/// Reads from one client before the other clients and the devices have their turn.
const READS_PER_TURN: usize = 16;

/// What a monitor does when it is asked.
pub trait ControlHandler {
    /// Works on a request. Called on the event loop, so it must be quick; a request that takes time
    /// moves its reply to another thread and returns.
    fn handle(&mut self, request: Request, reply: Reply);
}

/// Accepts clients, reads their requests line by line without ever waiting, and hands each to the handler.
/// A client's next request is read only when its last one is answered.
#[derive(Debug)]
pub struct ControlServer<H> {
    socket: ControlSocket,
    handler: H,
    clients: BTreeMap<RawFd, Client>,
    /// Written by each reply when it is complete.
    done: Arc<EventFd>,
}

#[derive(Debug)]
struct Client {
    peer: Arc<Peer>,
    lines: LineBuffer,
    last_heard: Instant,
    /// The client will send nothing more; it is dropped when all it sent is answered.
    at_end: bool,
    /// Not polled for input, because a reply is outstanding.
    parked: bool,
}

/// Whether a client is still served.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Stay,
    Leave,
}

impl<H: ControlHandler> ControlServer<H> {
    /// Serves the socket with the handler, once it is added to an event manager.
    ///
    /// # Errors
    /// If the process has no file descriptor left.
    pub fn new(socket: ControlSocket, handler: H) -> io::Result<Self> {
        let done = Arc::new(EventFd::new(EFD_NONBLOCK)?);
        Ok(Self {
            socket,
            handler,
            clients: BTreeMap::new(),
            done,
        })
    }

    /// Where it listens.
    pub fn path(&self) -> &SocketPath {
        self.socket.path()
    }

    /// The handler.
    pub fn handler_mut(&mut self) -> &mut H {
        &mut self.handler
    }

    fn listener_fd(&self) -> RawFd {
        self.socket.as_fd().as_raw_fd()
    }

    /// Takes all waiting connections.
    fn accept(&mut self, ops: &mut EventOps) {
        loop {
            let stream = match self.socket.accept() {
                Ok(stream) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    log::debug!("cannot accept a control connection: {error}");
                    self.drop_idlest(ops);
                    return;
                }
            };
            if self.clients.len() >= MAX_CLIENTS && !self.drop_idlest(ops) {
                let peer = Peer::new(stream);
                Reply::new(peer, Arc::clone(&self.done)).error(Failure {
                    message: format!("{MAX_CLIENTS} clients already wait for this VM"),
                    causes: Vec::new(),
                    remedy: Some("try again when one of them is done".to_owned()),
                });
                continue;
            }
            let fd = stream.as_raw_fd();
            if let Err(error) = ops.add(Events::new_raw(fd, EventSet::IN)) {
                log::warn!("cannot serve a control connection: {error}");
                continue;
            }
            self.clients.insert(
                fd,
                Client {
                    peer: Peer::new(stream),
                    lines: LineBuffer::new(MAX_REQUEST_BYTES),
                    last_heard: Instant::now(),
                    at_end: false,
                    parked: false,
                },
            );
        }
    }

    /// Makes room by dropping the client that has waited for nothing the longest; false if all are being served.
    fn drop_idlest(&mut self, ops: &mut EventOps) -> bool {
        let idlest = self
            .clients
            .iter()
            .filter(|(_, client)| !client.peer.is_busy())
            .min_by_key(|(_, client)| client.last_heard)
            .map(|(fd, _)| *fd);
        idlest.is_some_and(|fd| {
            self.forget(fd, ops);
            true
        })
    }

    /// Stops polling a client and closes this end, except for a reply that still holds it.
    fn forget(&mut self, fd: RawFd, ops: &mut EventOps) {
        if let Err(error) = ops.remove(Events::empty_raw(fd)) {
            log::warn!("cannot stop polling a control connection: {error}");
        }
        self.clients.remove(&fd);
    }

    /// Answers what the client has sent, and parks it while an answer is outstanding.
    fn serve(&mut self, fd: RawFd, ops: &mut EventOps) {
        let Some(client) = self.clients.get_mut(&fd) else {
            return;
        };
        let fate = client.converse(&mut self.handler, &self.done);
        let park = client.peer.is_busy();
        if fate == Fate::Leave {
            self.forget(fd, ops);
        } else if client.parked != park {
            client.parked = park;
            let interest = if park {
                EventSet::empty()
            } else {
                EventSet::IN
            };
            if let Err(error) = ops.modify(Events::new_raw(fd, interest)) {
                log::warn!("cannot go on with a control connection: {error}");
                self.forget(fd, ops);
            }
        }
    }

    /// Goes on with the clients whose answers have become complete.
    fn resume_parked(&mut self, ops: &mut EventOps) {
        // The counter only wakes the loop; what there is to do shows in the clients.
        let _count = self.done.read();
        let ready: Vec<RawFd> = self
            .clients
            .iter()
            .filter(|(_, client)| client.parked && !client.peer.is_busy())
            .map(|(fd, _)| *fd)
            .collect();
        for fd in ready {
            self.serve(fd, ops);
        }
    }
}

impl Client {
    /// Reads and answers until there is nothing to read, an answer is outstanding, or the turn is over.
    fn converse(&mut self, handler: &mut impl ControlHandler, done: &Arc<EventFd>) -> Fate {
        let mut chunk = [0; READ_BYTES];
        let mut reads = 0;
        while !self.peer.is_busy() {
            match self.lines.next_line() {
                Ok(Some(line)) => {
                    if self.answer(&line, handler, done) == Fate::Leave {
                        return Fate::Leave;
                    }
                    continue;
                }
                Ok(None) if self.at_end => return Fate::Leave,
                Ok(None) => {}
                Err(_) => {
                    self.refuse(
                        done,
                        format!("a request has more than {MAX_REQUEST_BYTES} bytes"),
                    );
                    return Fate::Leave;
                }
            }
            if reads == READS_PER_TURN {
                break;
            }
            reads += 1;
            let mut stream = &self.peer.stream;
            match stream.read(&mut chunk) {
                Ok(0) => self.at_end = true,
                Ok(count) => {
                    self.lines.extend(&chunk[..count]);
                    self.last_heard = Instant::now();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Fate::Leave,
            }
        }
        Fate::Stay
    }

    fn answer(&self, line: &[u8], handler: &mut impl ControlHandler, done: &Arc<EventFd>) -> Fate {
        if line.trim_ascii().is_empty() {
            return Fate::Stay;
        }
        match serde_json::from_slice(line) {
            Ok(request) => {
                handler.handle(
                    request,
                    Reply::new(Arc::clone(&self.peer), Arc::clone(done)),
                );
                Fate::Stay
            }
            Err(error) => {
                self.refuse(done, error.to_string());
                Fate::Leave
            }
        }
    }

    fn refuse(&self, done: &Arc<EventFd>, cause: String) {
        Reply::new(Arc::clone(&self.peer), Arc::clone(done)).error(Failure {
            message: "cannot understand the request".to_owned(),
            causes: vec![cause],
            remedy: Some(
                r#"send one JSON object per line, for example {"command":"info"}"#.to_owned(),
            ),
        });
    }
}

impl<H: ControlHandler> MutEventSubscriber for ControlServer<H> {
    fn process(&mut self, events: Events, ops: &mut EventOps) {
        let fd = events.fd();
        if fd == self.listener_fd() {
            self.accept(ops);
        } else if fd == self.done.as_raw_fd() {
            self.resume_parked(ops);
        } else if self.clients.get(&fd).is_some_and(|client| client.parked) {
            // A parked client is polled for nothing, so it has hung up.
            self.forget(fd, ops);
        } else {
            self.serve(fd, ops);
        }
    }

    fn init(&mut self, ops: &mut EventOps) {
        for fd in [self.listener_fd(), self.done.as_raw_fd()] {
            ops.add(Events::new_raw(fd, EventSet::IN))
                .expect("two new file descriptors can be polled");
        }
    }
}

#[cfg(test)]
mod tests;
