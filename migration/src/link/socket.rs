//! The connection itself: bytes in, bytes out, none of them waited for in vain.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use rustls::Connection;

use crate::error::{Error, Result};
use crate::link::records::{Records, Socket};
use crate::link::tcp;
use crate::stop::{Stop, Woken, wait};
use crate::wire::MAGIC;

/// Most bytes that wait in this kernel on a connection whose queue is kept short. Our choice: half a
/// millisecond of a gigabit link, so that the link never idles while a chunk is being read.
const MAX_UNSENT_BYTES: u32 = 64 << 10;

/// Pieces in which a connection's send buffer is filled. Our choice: a piece may lie beyond the
/// limit, and each is a call.
const PIECES: usize = 4;

/// How long to try to end TLS in order. Our choice: it is a short record.
const LAST_RECORD: Duration = Duration::from_millis(200);

/// How long a wait for the other end may last.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    /// Until some byte moves, each time anew.
    EachByte(Duration),
    /// For the whole of an exchange that must be over `since + limit`.
    Whole {
        /// When the exchange began.
        since: Instant,
        /// How long it may take.
        limit: Duration,
    },
    /// As long as the connection lives; something else watches over it.
    Endless,
}

impl Patience {
    /// The exchange that begins now may take `limit`.
    pub(crate) fn whole(limit: Duration) -> Self {
        Self::Whole {
            since: Instant::now(),
            limit,
        }
    }

    fn until(self) -> Option<Instant> {
        match self {
            Self::EachByte(limit) => Some(Instant::now() + limit),
            Self::Whole { since, limit } => Some(since + limit),
            Self::Endless => None,
        }
    }

    fn limit(self) -> Duration {
        match self {
            Self::EachByte(limit) | Self::Whole { limit, .. } => limit,
            Self::Endless => Duration::MAX,
        }
    }
}

/// One end of a connection. Clones share it: one thread may send while another receives.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    socket: Arc<Socket>,
    /// TLS, if the connection is encrypted.
    records: Option<Arc<Records>>,
    peer: SocketAddr,
    stop: Stop,
}

impl Link {
    /// Takes over a connection that exists.
    pub(crate) fn new(stream: TcpStream, peer: SocketAddr, stop: Stop) -> Result<Self> {
        let configure = || {
            stream.set_nonblocking(true)?;
            // An urgent page must not wait for an acknowledgement of the one before.
            stream.set_nodelay(true)
        };
        configure().map_err(|source| Error::ConfigureSocket { peer, source })?;
        Ok(Self::over(stream, peer, stop))
    }

    /// Takes over a connection that does not block.
    pub(crate) fn over(stream: TcpStream, peer: SocketAddr, stop: Stop) -> Self {
        let wire_bytes = AtomicU64::new(0);
        let piece_bytes = AtomicUsize::new(usize::MAX);
        Self {
            socket: Arc::new(Socket {
                stream,
                wire_bytes,
                piece_bytes,
            }),
            records: None,
            peer,
            stop,
        }
    }

    /// Connects to `peer`, giving up when `limit` is over or `stop` is raised.
    pub(crate) fn connect(peer: SocketAddr, limit: Duration, stop: Stop) -> Result<Self> {
        let failed = |errno: Errno| Error::Connect {
            peer,
            source: errno.into(),
        };
        let family = if peer.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket =
            rustix::net::socket_with(family, SocketType::STREAM, flags, None).map_err(failed)?;
        match rustix::net::connect(&socket, &peer) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(errno) => return Err(failed(errno)),
        }
        match wait(
            socket.as_fd(),
            PollFlags::OUT,
            &stop,
            Some(Instant::now() + limit),
        )? {
            Woken::Stopped => return Err(Error::Stopped),
            Woken::TimedOut => {
                return Err(Error::Silent {
                    peer,
                    waited: limit,
                });
            }
            Woken::Ready => sockopt::socket_error(&socket)
                .and_then(|state| state)
                .map_err(failed)?,
        }
        Self::new(TcpStream::from(socket), peer, stop)
    }

    /// The same connection, whose waits end with another flag.
    pub(crate) fn with_stop(&self, stop: Stop) -> Self {
        Self {
            stop,
            ..self.clone()
        }
    }

    /// Address of the other end.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Bytes that went over the connection so far, in both directions.
    pub(crate) fn wire_bytes(&self) -> u64 {
        self.socket.wire_bytes.load(Ordering::Relaxed)
    }

    /// Receives at least one byte, or none if the other end has closed.
    pub(crate) fn receive(&self, into: &mut [u8], patience: Patience) -> Result<usize> {
        let receive = || match &self.records {
            None => (&*self.socket).read(into),
            Some(records) => records.receive(&self.socket, into),
        };
        self.retry(PollFlags::IN, patience, receive)
            .map_err(|failure| failure.into_error(|source| self.receive_error(source)))
    }

    /// Receives what is there: `None` if that is nothing yet, no byte if the other end has closed.
    pub(crate) fn receive_now(&self, into: &mut [u8]) -> Result<Option<usize>> {
        loop {
            let received = match &self.records {
                None => (&*self.socket).read(into),
                Some(records) => records.receive(&self.socket, into),
            };
            match received {
                Ok(bytes) => return Ok(Some(bytes)),
                Err(source) if source.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(source) if source.kind() == ErrorKind::Interrupted => {}
                Err(source) => return Err(self.receive_error(source)),
            }
        }
    }

    /// Sends all of `parts`, one after the other.
    pub(crate) fn send(&self, mut parts: &mut [IoSlice<'_>], patience: Patience) -> Result<()> {
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            let send = || match &self.records {
                None => (&*self.socket).write_vectored(parts),
                Some(records) => records.send(&self.socket, parts),
            };
            let sent = self
                .retry(PollFlags::OUT, patience, send)
                .map_err(|failure| failure.into_error(|source| self.send_error(source)))?;
            IoSlice::advance_slices(&mut parts, sent);
        }
        self.flush(patience)
            .map_err(|failure| failure.into_error(|source| self.send_error(source)))
    }

    /// Keeps what is sent here from piling up in this kernel before it goes out: what waits there
    /// delays every page that is handed out after it.
    pub(crate) fn keep_unsent_short(&self) -> Result<()> {
        tcp::limit_unsent(&self.socket.stream, MAX_UNSENT_BYTES)
            .map_err(|source| self.configure_error(source))
    }

    /// Has this kernel hold at most about `bytes` that the other end has not acknowledged, those
    /// in the queues of network devices included.
    pub(crate) fn keep_in_flight(&self, bytes: usize) -> Result<()> {
        let piece_bytes = (bytes / PIECES).max(1);
        self.socket
            .piece_bytes
            .store(piece_bytes, Ordering::Relaxed);
        // The kernel doubles it, for its own needs (socket(7), SO_SNDBUF).
        sockopt::set_socket_send_buffer_size(&self.socket.stream, bytes / 2)
            .map_err(|errno| self.configure_error(errno.into()))
    }

    /// The shortest time that the other end has taken to acknowledge something; zero if that is not
    /// known.
    pub(crate) fn shortest_round_trip(&self) -> Result<Duration> {
        tcp::shortest_round_trip(&self.socket.stream).map_err(|source| self.configure_error(source))
    }

    /// Tells the other end that nothing more will be sent.
    pub(crate) fn finish_sending(&self) -> Result<()> {
        if let Some(records) = &self.records {
            records.finish();
            self.flush(Patience::whole(LAST_RECORD))
                .map_err(|failure| failure.into_error(|source| self.send_error(source)))?;
        }
        self.socket
            .stream
            .shutdown(Shutdown::Write)
            .map_err(|source| self.send_error(source))
    }

    /// Ends the connection at once, for all who share it.
    pub(crate) fn hang_up(&self) {
        // Fails only if it has ended already.
        let _ = self.socket.stream.shutdown(Shutdown::Both);
    }

    /// Ends the connection so that what was sent last arrives: closing it with something unread
    /// would discard that. Whatever still comes is dropped; if it goes on coming, so is the rest.
    pub(crate) fn close_gently(&self, patience: Patience) {
        let mut dropped = [0; 4096];
        if self.finish_sending().is_ok() {
            while matches!(self.receive(&mut dropped, patience), Ok(1..)) {}
        }
    }

    /// Whether the flag was raised, or a byte can be received at `until`.
    pub(crate) fn wait_receivable(&self, until: Instant) -> Result<Woken> {
        let holds_plaintext = |records: &Arc<Records>| records.holds_plaintext();
        if self.records.as_ref().is_some_and(holds_plaintext) {
            return Ok(Woken::Ready);
        }
        self.wait_for(PollFlags::IN, Some(until))
    }

    /// The same connection in TLS, both ends of which have shown who they are.
    ///
    /// # Errors
    /// If the other end does not speak TLS, is not who it should be, or does not trust this end.
    pub(crate) fn secure(&self, connection: Connection, patience: Patience) -> Result<Self> {
        let records = Arc::new(Records::new(connection));
        let link = Self {
            records: Some(Arc::clone(&records)),
            ..self.clone()
        };
        let failed = |failure: Failure| {
            let peer = self.peer;
            failure.into_error(|source| Error::Tls { peer, source })
        };
        link.flush(patience).map_err(failed)?;
        let mut first = [0];
        self.retry(PollFlags::IN, patience, || {
            self.socket.stream.peek(&mut first)
        })
        .map_err(failed)?;
        if first == MAGIC[..1] {
            return Err(Error::TlsAbsent { peer: self.peer });
        }
        while records.is_handshaking() {
            let advance = || records.advance(&self.socket).map(|()| 0);
            if let Err(failure) = self.retry(PollFlags::IN, patience, advance) {
                // The alert that says why is on its way.
                self.close_gently(Patience::whole(LAST_RECORD));
                return Err(failed(failure));
            }
            link.flush(patience).map_err(failed)?;
        }
        Ok(link)
    }

    /// Sends what TLS has taken and not sent yet.
    fn flush(&self, patience: Patience) -> std::result::Result<(), Failure> {
        let Some(records) = &self.records else {
            return Ok(());
        };
        let flush = || records.flush(&self.socket).map(|()| 0);
        self.retry(PollFlags::OUT, patience, flush).map(drop)
    }

    fn wait_for(&self, events: PollFlags, until: Option<Instant>) -> Result<Woken> {
        wait(self.socket.stream.as_fd(), events, &self.stop, until)
    }

    /// Repeats `attempt` until it neither is interrupted nor would block.
    fn retry(
        &self,
        events: PollFlags,
        patience: Patience,
        mut attempt: impl FnMut() -> io::Result<usize>,
    ) -> std::result::Result<usize, Failure> {
        loop {
            match attempt() {
                Ok(bytes) => return Ok(bytes),
                Err(source) if source.kind() == ErrorKind::Interrupted => continue,
                Err(source) if source.kind() != ErrorKind::WouldBlock => {
                    return Err(Failure::Io(source));
                }
                Err(_) => {}
            }
            let woken = self.wait_for(events, patience.until());
            match woken.map_err(Failure::Other)? {
                Woken::Ready => {}
                Woken::Stopped => return Err(Failure::Other(Error::Stopped)),
                Woken::TimedOut => {
                    let waited = patience.limit();
                    return Err(Failure::Other(Error::Silent {
                        peer: self.peer,
                        waited,
                    }));
                }
            }
        }
    }

    fn configure_error(&self, source: io::Error) -> Error {
        Error::ConfigureSocket {
            peer: self.peer,
            source,
        }
    }

    fn receive_error(&self, source: io::Error) -> Error {
        Error::Receive {
            peer: self.peer,
            source,
        }
    }

    fn send_error(&self, source: io::Error) -> Error {
        Error::Send {
            peer: self.peer,
            source,
        }
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.stream.as_fd()
    }
}

/// Why a transfer ended: by the operation itself, or while waiting to repeat it.
enum Failure {
    Io(io::Error),
    Other(Error),
}

impl Failure {
    fn into_error(self, named: impl FnOnce(io::Error) -> Error) -> Error {
        match self {
            Self::Io(source) => named(source),
            Self::Other(error) => error,
        }
    }
}
