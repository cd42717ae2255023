//! The listening end: who connects, and what for.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use crate::cancel::CancelToken;
use crate::destination::attempt::Attempt;
use crate::destination::memory::available_memory_bytes;
use crate::destination::region::check_userfaultfd;
use crate::destination::threads::receive_pages;
use crate::destination::{Notice, NoticeSink};
use crate::error::{Error, Result};
use crate::link::{FrameReader, FrameWriter, Link, Patience};
use crate::offer::Refusal;
use crate::options::Timeouts;
use crate::stop::{Woken, wait};
use crate::wire::{
    About, Attach, Frame, Hello, Preamble, Purpose, Refuse, Role, SessionId, VERSION,
};

/// Most connections at a time. Our choice: those of one migration with as many streams as there may
/// be, and 30 for strangers.
const MAX_CONNECTIONS: usize = 96;

/// Shortest time between two notices of rejected strangers: they must not fill a log.
const STRANGER_INTERVAL: Duration = Duration::from_secs(1);

/// A source that offers a VM.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) reader: FrameReader,
    pub(super) writer: FrameWriter,
    pub(super) hello: Hello,
}

/// Receives connections and leads them to where they belong: an offer to the thread that takes VMs
/// in, pages to the VM that is arriving.
pub(super) struct Door<'a> {
    pub(super) timeouts: Timeouts,
    pub(super) notices: &'a dyn NoticeSink,
    pub(super) stop: &'a CancelToken,
    occupancy: Mutex<Occupancy>,
    connections: AtomicUsize,
    last_stranger: Mutex<Option<Instant>>,
}

/// ```text
/// Free --offer--> Negotiating --accepted--> Open
///   ^------------------+----------------------+
/// ```
#[derive(Debug)]
enum Occupancy {
    /// No VM is arriving.
    Free,
    /// A VM has been offered.
    Negotiating,
    /// A VM was accepted: its page connections may attach.
    Open(SessionId, Arc<Attempt>),
}

impl<'a> Door<'a> {
    pub(super) fn new(
        timeouts: Timeouts,
        notices: &'a dyn NoticeSink,
        stop: &'a CancelToken,
    ) -> Self {
        Self {
            timeouts,
            notices,
            stop,
            occupancy: Mutex::new(Occupancy::Free),
            connections: AtomicUsize::new(0),
            last_stranger: Mutex::new(None),
        }
    }

    /// Accepts connections until the door is shut or waiting is called off, and gives `callers`
    /// those who offer a VM.
    pub(super) fn keep<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        listener: &TcpListener,
        callers: mpsc::Sender<Caller>,
    ) -> Result<()> {
        loop {
            match wait(listener.as_fd(), PollFlags::IN, self.stop.stop(), None)? {
                Woken::Ready => {}
                Woken::Stopped | Woken::TimedOut => {
                    if let Occupancy::Open(_, attempt) = &*self.occupancy()
                        && self.stop.is_cancelled()
                    {
                        attempt.fail(Error::Stopped);
                    }
                    return Ok(());
                }
            }
            match listener.accept() {
                Ok((stream, peer)) => self.admit(scope, stream, peer, callers.clone())?,
                Err(source) if is_transient(&source) => {}
                Err(source) => return Err(Error::Accept { source }),
            }
        }
    }

    /// Gives the connection a thread of its own, so that a silent one holds nobody up. What is too
    /// many is dropped.
    fn admit<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        stream: TcpStream,
        peer: SocketAddr,
        callers: mpsc::Sender<Caller>,
    ) -> Result<()> {
        if self.connections.load(Ordering::Relaxed) >= MAX_CONNECTIONS {
            return Ok(());
        }
        self.connections.fetch_add(1, Ordering::Relaxed);
        let name = "receive-peer".to_owned();
        let greet = move || {
            if let Err(error) = self.greet(stream, peer, &callers) {
                self.reject_stranger(peer, &error);
            }
            self.connections.fetch_sub(1, Ordering::Relaxed);
        };
        let spawned = thread::Builder::new()
            .name(name.clone())
            .spawn_scoped(scope, greet);
        spawned
            .map(drop)
            .map_err(|source| Error::Spawn { name, source })
    }

    /// Finds out what the connection is for and serves it.
    fn greet(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        callers: &mpsc::Sender<Caller>,
    ) -> Result<()> {
        let patience = Patience::whole(self.timeouts.answer);
        let link = Link::new(stream, peer, self.stop.stop().clone())?;
        let mut reader = FrameReader::new(link.clone());
        let mut writer = FrameWriter::new(link);
        let preamble = reader.preamble(patience)?;
        if preamble.purpose != Purpose::Attach || preamble.version != VERSION {
            writer.preamble(Preamble::new(Purpose::Answer), patience)?;
        }
        if preamble.version != VERSION {
            let theirs = preamble.version;
            let refusal = Refusal::Version {
                ours: VERSION,
                theirs,
            };
            writer.send(&Refuse(refusal), patience)?;
            writer.link().close_gently(patience);
            return Err(Error::PeerVersion {
                peer,
                ours: VERSION,
                theirs,
            });
        }
        match preamble.purpose {
            Purpose::Migrate => {
                let hello = reader.next(patience)?.into_frame()?;
                if self.occupy() {
                    // Fails only if nobody takes VMs in any more.
                    let _ = callers.send(Caller {
                        reader,
                        writer,
                        hello,
                    });
                    Ok(())
                } else {
                    writer.send(&Refuse(Refusal::Busy), patience)
                }
            }
            Purpose::Attach => {
                let attach = reader.next(patience)?.into_frame()?;
                self.attach(attach, reader)
            }
            Purpose::Probe => writer.send(&self.about(), patience),
            Purpose::Answer | Purpose::Unknown(_) => Err(Error::NotAPeer { peer }),
        }
    }

    /// Receives pages for the VM that is arriving, if the session is its own.
    fn attach(&self, attach: Attach, mut reader: FrameReader) -> Result<()> {
        let unexpected = Error::Unexpected { kind: Attach::KIND };
        let attempt = match &*self.occupancy() {
            Occupancy::Open(session, attempt) if *session == attach.session => Arc::clone(attempt),
            _ => return Err(unexpected),
        };
        reader.rebind(reader.link().with_stop(attempt.stop.clone()));
        if !attempt.attach(attach.role, reader.link()) {
            return Err(unexpected);
        }
        // A name is only for people who look at the threads; without it nothing is lost.
        let _ = rustix::thread::set_name(match attach.role {
            Role::Urgent => c"receive-urgent",
            Role::Background => c"receive-pages",
        });
        if let Err(error) = receive_pages(&attempt, &mut reader) {
            attempt.fail(error);
        }
        Ok(())
    }

    /// From an accepted offer on, page connections of this session may attach.
    pub(super) fn open_session(&self, session: SessionId, attempt: &Arc<Attempt>) {
        *self.occupancy() = Occupancy::Open(session, Arc::clone(attempt));
        // Whoever called waiting off before saw no attempt to end.
        if self.stop.is_cancelled() {
            attempt.fail(Error::Stopped);
        }
    }

    /// The VM has arrived or failed to.
    pub(super) fn close_session(&self) {
        *self.occupancy() = Occupancy::Free;
    }

    /// Nobody is let in any more, and who is in must go.
    pub(super) fn shut(&self) {
        self.stop.stop().raise();
    }

    /// Takes the place of the one VM that may arrive; `false` if it is taken.
    fn occupy(&self) -> bool {
        let mut occupancy = self.occupancy();
        let free = matches!(*occupancy, Occupancy::Free);
        if free {
            *occupancy = Occupancy::Negotiating;
        }
        free
    }

    fn about(&self) -> About {
        About {
            available_bytes: available_memory_bytes(),
            serves_faults: u64::from(check_userfaultfd().is_ok()),
            busy: u64::from(!matches!(*self.occupancy(), Occupancy::Free)),
        }
    }

    fn reject_stranger(&self, peer: SocketAddr, error: &Error) {
        let mut last = self
            .last_stranger
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|last| last.elapsed() >= STRANGER_INTERVAL);
        if due && !matches!(error, Error::Stopped) {
            *last = Some(Instant::now());
            self.notices.notice(&Notice::Rejected { peer, error });
        }
    }

    fn occupancy(&self) -> MutexGuard<'_, Occupancy> {
        self.occupancy
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether accepting failed because of the one connection that is gone (accept(2), "Error
/// handling").
fn is_transient(error: &std::io::Error) -> bool {
    use std::io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::WouldBlock | Kind::Interrupted | Kind::ConnectionAborted
    )
}
