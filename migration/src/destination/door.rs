//! The listening end: who connects, and what for.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use crate::auth::{Key, Parley, Subject};
use crate::cancel::CancelToken;
use crate::destination::attempt::{Attached, Attempt, Returned};
use crate::destination::memory::available_memory_bytes;
use crate::destination::region::check_userfaultfd;
use crate::destination::strangers::{Place, Strangers};
use crate::destination::threads::receive_pages;
use crate::destination::{Notice, NoticeSink};
use crate::error::{Error, Result};
use crate::link::{FrameReader, FrameWriter, Link, Patience};
use crate::offer::Refusal;
use crate::options::{DestinationOptions, Timeouts, Trust};
use crate::stop::{Woken, wait};
use crate::wire::{
    About, Access, Attach, Frame, Hello, Preamble, Purpose, Recover, Refuse, SessionId, VERSION,
};

/// Sessions given up that are remembered. Our choice: their sources come back within a minute or two,
/// and one VM arrives at a time.
const MAX_ABANDONED: usize = 64;

/// Shortest time between two notices of rejected strangers: they must not fill a log.
const STRANGER_INTERVAL: Duration = Duration::from_secs(1);

/// How often it is looked whether a VM has made room for another.
const MAKING_ROOM: Duration = Duration::from_millis(5);

/// A source that offers a VM.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) reader: FrameReader,
    pub(super) writer: FrameWriter,
    pub(super) hello: Hello,
    /// With which page connections prove that they are of the same source.
    pub(super) session_key: Option<Key>,
}

/// Receives connections and leads them to where they belong: an offer to the thread that takes VMs
/// in, pages to the VM that is arriving.
pub(super) struct Door<'a> {
    pub(super) timeouts: Timeouts,
    pub(super) reconnect_for: Duration,
    trust: &'a Trust,
    pub(super) notices: &'a dyn NoticeSink,
    pub(super) stop: &'a CancelToken,
    occupancy: Mutex<Occupancy>,
    /// Sessions that ended before their tokens came: no guest of theirs ever ran here or will.
    abandoned: Mutex<VecDeque<SessionId>>,
    strangers: Strangers,
    last_stranger: Mutex<Option<Instant>>,
}

/// A VM that was accepted, to which page connections may attach.
#[derive(Clone, Debug)]
pub(super) struct Open {
    pub(super) session: SessionId,
    pub(super) attempt: Arc<Attempt>,
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
    Open(Open),
}

impl<'a> Door<'a> {
    pub(super) fn new(
        options: &'a DestinationOptions,
        notices: &'a dyn NoticeSink,
        stop: &'a CancelToken,
    ) -> Self {
        Self {
            timeouts: options.timeouts,
            reconnect_for: options.reconnect_for,
            trust: &options.trust,
            notices,
            stop,
            occupancy: Mutex::new(Occupancy::Free),
            abandoned: Mutex::default(),
            strangers: Strangers::default(),
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
                    if let Occupancy::Open(Open { attempt, .. }) = &*self.occupancy()
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

    /// Gives the connection a thread of its own, so that a silent one holds nobody up.
    fn admit<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        stream: TcpStream,
        peer: SocketAddr,
        callers: mpsc::Sender<Caller>,
    ) -> Result<()> {
        let name = "receive-peer".to_owned();
        let link = Link::new(stream, peer, self.stop.stop().clone())?;
        let place = self.strangers.enter(&link);
        let greet = move || {
            if let Err(error) = self.greet(link, place, &callers) {
                self.reject_stranger(peer, &error);
            }
        };
        let spawned = thread::Builder::new()
            .name(name.clone())
            .spawn_scoped(scope, greet);
        spawned
            .map(drop)
            .map_err(|source| Error::Spawn { name, source })
    }

    /// Finds out who connected and what for, and serves it. The stranger's `place` is given up when
    /// that is known.
    fn greet(&self, link: Link, place: Place<'_>, callers: &mpsc::Sender<Caller>) -> Result<()> {
        let peer = link.peer();
        let patience = Patience::whole(self.timeouts.answer);
        let link = self.secure(link, patience)?;
        let mut reader = FrameReader::new(link.clone());
        let mut writer = FrameWriter::new(link);
        let mut parley = Parley {
            reader: &mut reader,
            writer: &mut writer,
            patience,
        };
        let key = self.trust.key.as_ref();
        let preamble = parley.reader.preamble(patience).inspect_err(|error| {
            // To a source that speaks TLS this says that nobody does here.
            if matches!(error, Error::TlsWanted { .. }) {
                say(parley.writer, Access::of(key), patience);
            }
        })?;
        if preamble.version != VERSION {
            return Err(refuse_version(&mut parley, preamble, key));
        }
        parley.answer(preamble, key)?;
        match preamble.purpose {
            Purpose::Migrate => {
                let session_key = parley.session_key(key, Subject::new(Purpose::Migrate))?;
                let hello = reader.next(patience)?.into_frame()?;
                if self.occupy() {
                    // Fails only if nobody takes VMs in any more.
                    let _ = callers.send(Caller {
                        reader,
                        writer,
                        hello,
                        session_key,
                    });
                    Ok(())
                } else {
                    writer.send(&Refuse(Refusal::Busy), patience)
                }
            }
            Purpose::Attach => {
                let attach: Attach = parley.next_short()?;
                let open = self
                    .session(attach.session)
                    .ok_or(Error::Unexpected { kind: Attach::KIND })?;
                let lap_key = open.attempt.lap_key();
                parley.session_key(lap_key.as_ref(), Subject::attach(attach))?;
                drop(place);
                attach_to(&open.attempt, attach, reader)
            }
            Purpose::Recover => {
                let session_key = parley.session_key(key, Subject::new(Purpose::Recover))?;
                let Recover { session } = parley.next_short()?;
                match self.session(session) {
                    Some(open) => {
                        open.attempt.come_back(Returned {
                            reader,
                            writer,
                            session_key,
                        });
                        Ok(())
                    }
                    None => writer.send(&Refuse(self.fate_of(session)), patience),
                }
            }
            Purpose::Probe => {
                parley.session_key(key, Subject::new(Purpose::Probe))?;
                writer.send(&self.about(), patience)
            }
            Purpose::Answer | Purpose::Unknown(_) => Err(Error::NotAPeer { peer }),
        }
    }

    /// The connection in TLS, if that is wanted here.
    fn secure(&self, link: Link, patience: Patience) -> Result<Link> {
        let Some(tls) = &self.trust.tls else {
            return Ok(link);
        };
        link.secure(tls.accept()?, patience).inspect_err(|error| {
            if matches!(error, Error::TlsAbsent { .. }) {
                say(&FrameWriter::new(link), Access::Tls, patience);
            }
        })
    }

    /// The VM that is arriving, if the session is its own.
    fn session(&self, session: SessionId) -> Option<Open> {
        match &*self.occupancy() {
            Occupancy::Open(open) if open.session == session => Some(open.clone()),
            _ => None,
        }
    }

    /// What to tell the source of a session that is not open.
    fn fate_of(&self, session: SessionId) -> Refusal {
        if self.abandoned().contains(&session) {
            Refusal::Abandoned
        } else {
            Refusal::UnknownSession
        }
    }

    /// From an accepted offer on, page connections of this session may attach.
    pub(super) fn open_session(&self, open: Open) {
        let attempt = Arc::clone(&open.attempt);
        *self.occupancy() = Occupancy::Open(open);
        // Whoever called waiting off before saw no attempt to end.
        if self.stop.is_cancelled() {
            attempt.fail(Error::Stopped);
        }
    }

    /// The VM was refused.
    pub(super) fn close(&self) {
        *self.occupancy() = Occupancy::Free;
    }

    /// The VM has failed to arrive, and the token has not come: its source may run it on, whatever
    /// it has sent meanwhile.
    pub(super) fn abandon(&self, session: SessionId) {
        let mut abandoned = self.abandoned();
        if abandoned.len() == MAX_ABANDONED {
            abandoned.pop_front();
        }
        abandoned.push_back(session);
        drop(abandoned);
        self.close();
    }

    /// Nobody is let in any more, and who is in must go.
    pub(super) fn shut(&self) {
        self.stop.stop().raise();
    }

    /// Takes the place of the one VM that may arrive; `false` if it is taken. A VM whose source is
    /// lost makes room for another before its token has come.
    fn occupy(&self) -> bool {
        let deadline = Instant::now() + self.timeouts.answer;
        loop {
            let mut occupancy = self.occupancy();
            match &*occupancy {
                Occupancy::Free => {
                    *occupancy = Occupancy::Negotiating;
                    return true;
                }
                Occupancy::Open(Open { attempt, .. })
                    if attempt.is_forsaken() && Instant::now() < deadline =>
                {
                    attempt.fail(Error::Superseded);
                }
                Occupancy::Negotiating | Occupancy::Open(_) => return false,
            }
            drop(occupancy);
            thread::sleep(MAKING_ROOM);
        }
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

    fn abandoned(&self) -> MutexGuard<'_, VecDeque<SessionId>> {
        self.abandoned
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn occupancy(&self) -> MutexGuard<'_, Occupancy> {
        self.occupancy
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells a source in the clear what is wanted here, and no more.
fn say(writer: &FrameWriter, access: Access, patience: Patience) {
    // If it does not listen, there is nobody to tell.
    let _ = writer.preamble(Preamble::new(Purpose::Answer, access), patience);
    writer.link().close_gently(patience);
}

/// Tells a source of another version so, and gives the error that it is.
fn refuse_version(parley: &mut Parley<'_>, theirs: Preamble, key: Option<&Key>) -> Error {
    let Parley {
        writer, patience, ..
    } = parley;
    let (ours, theirs) = (VERSION, theirs.version);
    let preamble = Preamble::new(Purpose::Answer, Access::of(key));
    let refusal = Refuse(Refusal::Version { ours, theirs });
    // If it does not listen, it is still of another version.
    let _ = writer
        .preamble(preamble, *patience)
        .and_then(|()| writer.send(&refusal, *patience));
    writer.link().close_gently(*patience);
    Error::PeerVersion {
        peer: writer.link().peer(),
        ours,
        theirs,
    }
}

/// Receives pages for the VM that is arriving until the source finishes the connection.
fn attach_to(attempt: &Attempt, attach: Attach, reader: FrameReader) -> Result<()> {
    let mut reader = match attempt.attach(attach, reader) {
        Attached::ForFaults => return Ok(()),
        Attached::ForPages(reader) => reader,
        Attached::Refused => return Err(Error::Unexpected { kind: Attach::KIND }),
    };
    // A name is only for people who look at the threads; without it nothing is lost.
    let _ = rustix::thread::set_name(c"receive-pages");
    if let Err(error) = receive_pages(attempt, &mut reader) {
        attempt.lose(attach.lap, error);
    }
    attempt.detach();
    Ok(())
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
