//! The relay's end of the world: where it listens, and the thread that accepts connections.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::net::{SocketFlags, bind, getsockname, sockopt};

use super::bell::wait;
use super::connection;
use super::hub::{Admission, Hub};
use super::socket::unconnected;

/// How long to wait when the system refuses what it should give. Our choice: no busy loop, and no
/// long pause in a test.
const PAUSE: Duration = Duration::from_millis(10);

/// An address that stays ours while nobody listens there.
#[derive(Debug)]
pub(super) struct Door {
    /// Bound, but not listening. Linux lets another socket of ours, also with SO_REUSEADDR, listen
    /// at the same port, but gives the port to nobody who just asks for any.
    _reservation: OwnedFd,
    address: SocketAddr,
}

impl Door {
    /// Reserves an address; port 0 stands for any.
    pub(super) fn at(address: SocketAddr) -> io::Result<Self> {
        let reservation = unconnected(address, SocketFlags::empty())?;
        sockopt::set_socket_reuseaddr(&reservation, true)?;
        bind(&reservation, &address)?;
        let address = SocketAddr::try_from(getsockname(&reservation)?)?;
        Ok(Self {
            _reservation: reservation,
            address,
        })
    }

    /// The address, with its port.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens; the standard library sets SO_REUSEADDR.
    pub(super) fn open(&self) -> io::Result<TcpListener> {
        let listener = TcpListener::bind(self.address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    }
}

/// Accepts connections and starts their threads until the relay stops: the body of a thread.
pub(super) fn attend(hub: &Arc<Hub>, door: &Door, target: SocketAddr) {
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    loop {
        hub.door_bell.hear();
        let (finished, running) = threads.into_iter().partition(JoinHandle::is_finished);
        threads = running;
        join(finished);
        let attended = match hub.admission() {
            Admission::Stop => break,
            Admission::Crowded => rest(hub, None),
            Admission::RefuseUntil(time) => rest(hub, Some(time.saturating_sub(hub.now()))),
            Admission::Reopen => door.open().map(|listener| hub.opened(listener)),
            Admission::Open(listener) => accept(hub, &listener, target).map(|thread| {
                threads.extend(thread);
            }),
        };
        if let Err(error) = attended {
            log::warn!("relay: cannot accept connections, trying again: {error}");
            thread::sleep(PAUSE);
        }
    }
    join(threads);
}

fn join(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        if thread.join().is_err() {
            log::error!("relay: the thread of a connection panicked");
        }
    }
}

/// Waits for the bell, or until the time is up.
fn rest(hub: &Hub, at_most: Option<Duration>) -> io::Result<()> {
    wait(&mut [PollFd::new(&hub.door_bell, PollFlags::IN)], at_most)
}

/// Waits for a connection and starts its thread, unless the bell rings before.
fn accept(
    hub: &Arc<Hub>,
    listener: &TcpListener,
    target: SocketAddr,
) -> io::Result<Option<JoinHandle<()>>> {
    let mut fds = [
        PollFd::new(&hub.door_bell, PollFlags::IN),
        PollFd::new(listener, PollFlags::IN),
    ];
    wait(&mut fds, None)?;
    if fds[1].revents().is_empty() {
        return Ok(None);
    }
    match listener.accept() {
        Ok((client, _)) => start(hub, client, target).map(Some),
        // The client has gone again, or the door was closed meanwhile.
        Err(error) if is_passing(error.kind()) => Ok(None),
        Err(error) => Err(error),
    }
}

fn start(hub: &Arc<Hub>, client: TcpStream, target: SocketAddr) -> io::Result<JoinHandle<()>> {
    let membership = hub.enter()?;
    thread::Builder::new()
        .name(format!("relay-{}", membership.index()))
        .spawn(move || connection::serve(membership, client, target))
}

/// Whether an accept that failed says nothing about the next one.
fn is_passing(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::WouldBlock
            | io::ErrorKind::Interrupted
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::InvalidInput
    )
}
