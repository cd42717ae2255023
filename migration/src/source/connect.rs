//! Reaching a destination and agreeing with it.

use std::net::{SocketAddr, ToSocketAddrs};

use crate::auth::{Key, Parley, Subject};
use crate::bitmap::PageBitmap;
use crate::error::{Error, Result};
use crate::link::{FrameReader, FrameWriter, Link, Patience};
use crate::offer::Offer;
use crate::options::{SourceOptions, Timeouts, Trust};
use crate::stop::Stop;
use crate::wire::{
    self, About, Accept, Access, Attach, FrameKind, Hello, Preamble, Purpose, Recover, Role,
    SessionId, Standing, VERSION,
};

/// Both directions of a control connection.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) reader: FrameReader,
    pub(super) writer: FrameWriter,
}

/// The connections of an accepted migration.
#[derive(Debug)]
pub(super) struct Session {
    id: SessionId,
    pub(super) control: Control,
    pub(super) urgent: Link,
    pub(super) background: Vec<Link>,
}

/// How far a destination is to which the connections were lost.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) token: Token,
    pub(super) missing: PageBitmap,
}

/// What became of a token that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Arrived,
    NeverArrived,
}

impl Session {
    /// Offers the VM to the destination, and opens the other connections if it accepts.
    ///
    /// # Errors
    /// If the destination cannot be reached, does not answer in time, is no peer, is not to be
    /// trusted or refuses.
    pub(super) fn open(offer: Offer, options: &SourceOptions, stop: &Stop) -> Result<Self> {
        let caller = Caller::new(options, stop);
        let (mut control, session_key) = caller.reach(Purpose::Migrate)?;
        let patience = Patience::whole(options.timeouts.answer);
        let hello = Hello {
            mode: options.mode,
            streams: options.streams_to(control.reader.link().peer()),
            offer,
        };
        control.writer.send(&hello, patience)?;
        let Accept { session } = control.reader.next(patience)?.into_frame()?;
        let (lap, key) = (0, session_key.as_ref());
        caller.attach_all(control, session, lap, options, key)
    }

    /// Goes on with a session of `pages` pages whose connections were lost, over new ones.
    ///
    /// # Errors
    /// As for [`open`](Self::open); a refusal says that the destination does not have the VM.
    pub(super) fn reopen(
        &self,
        pages: u64,
        options: &SourceOptions,
        stop: &Stop,
    ) -> Result<(Self, Recovered)> {
        let caller = Caller::new(options, stop);
        let peer = self.control.reader.link().peer();
        let link = Link::connect(peer, options.timeouts.connect, stop.clone())?;
        let (mut control, session_key) = caller.introduce(link, Purpose::Recover)?;
        let patience = Patience::EachByte(options.timeouts.answer);
        let session = self.id;
        control.writer.send(&Recover { session }, patience)?;
        let standing: Standing = control.reader.next(patience)?.into_frame()?;
        let nonsense = || Error::Unexpected {
            kind: FrameKind::Standing,
        };
        let lap = u16::try_from(standing.lap).map_err(|_| nonsense())?;
        let token = match standing.has_token {
            0 => Token::NeverArrived,
            1 => Token::Arrived,
            _ => return Err(nonsense()),
        };
        let missing = control.missing_pages(pages, standing.missing_pages, patience)?;
        let session = caller.attach_all(control, session, lap, options, session_key.as_ref())?;
        Ok((session, Recovered { token, missing }))
    }

    /// Ends all connections at once.
    pub(super) fn hang_up(&self) {
        let pages = self.background.iter().chain([&self.urgent]);
        pages
            .chain([self.control.reader.link()])
            .for_each(Link::hang_up);
    }
}

/// How the connections of one migration, or of a probe, are made.
#[derive(Clone, Copy, Debug)]
struct Caller<'a> {
    destination: &'a str,
    timeouts: &'a Timeouts,
    trust: &'a Trust,
    stop: &'a Stop,
}

impl<'a> Caller<'a> {
    fn new(options: &'a SourceOptions, stop: &'a Stop) -> Self {
        let SourceOptions {
            destination,
            timeouts,
            trust,
            ..
        } = options;
        Self {
            destination,
            timeouts,
            trust,
            stop,
        }
    }

    /// Opens the page connections of a lap.
    fn attach_all(
        &self,
        control: Control,
        session: SessionId,
        lap: u16,
        options: &SourceOptions,
        key: Option<&Key>,
    ) -> Result<Session> {
        let peer = control.reader.link().peer();
        let attach = |role| self.attach(peer, Attach { session, role, lap }, key);
        let urgent = attach(Role::Urgent)?;
        let background = (0..options.streams_to(peer).get())
            .map(|_| attach(Role::Background))
            .collect::<Result<_>>()?;
        Ok(Session {
            id: session,
            control,
            urgent,
            background,
        })
    }

    /// Connects to the first address of the destination that answers, says what for, and makes sure
    /// of it. Gives the key of the session that may follow, if there is one.
    fn reach(&self, purpose: Purpose) -> Result<(Control, Option<Key>)> {
        let mut last = None;
        for peer in resolve(self.destination)? {
            match Link::connect(peer, self.timeouts.connect, self.stop.clone()) {
                Ok(link) => return self.introduce(link, purpose),
                Err(Error::Stopped) => return Err(Error::Stopped),
                Err(error) => last = Some(error),
            }
        }
        Err(last.expect("a destination has at least one address"))
    }

    fn introduce(&self, link: Link, purpose: Purpose) -> Result<(Control, Option<Key>)> {
        let key = self.trust.key.as_ref();
        let link = self.secure(link)?;
        let mut control = Control {
            reader: FrameReader::new(link.clone()),
            writer: FrameWriter::new(link),
        };
        let mut parley = control.parley(Patience::whole(self.timeouts.answer));
        parley
            .writer
            .preamble(Preamble::new(purpose, Access::of(key)), parley.patience)?;
        let session_key = parley.as_source(key, Subject::new(purpose))?;
        Ok((control, session_key))
    }

    /// The connection in TLS, if that is wanted here.
    fn secure(&self, link: Link) -> Result<Link> {
        let patience = Patience::whole(self.timeouts.answer);
        match &self.trust.tls {
            Some(tls) => link.secure(tls.connect(self.destination)?, patience),
            None => Ok(link),
        }
    }

    /// Opens a page connection of the session that `attach` names.
    fn attach(&self, peer: SocketAddr, attach: Attach, session_key: Option<&Key>) -> Result<Link> {
        let link = Link::connect(peer, self.timeouts.connect, self.stop.clone())?;
        let link = self.secure(link)?;
        let mut control = Control {
            reader: FrameReader::new(link.clone()),
            writer: FrameWriter::new(link.clone()),
        };
        let mut parley = control.parley(Patience::whole(self.timeouts.answer));
        let preamble = Preamble::new(Purpose::Attach, Access::of(session_key));
        parley.writer.preamble(preamble, parley.patience)?;
        parley.writer.send(&attach, parley.patience)?;
        if session_key.is_some() {
            parley.as_source(session_key, Subject::attach(attach))?;
        }
        Ok(link)
    }
}

impl Control {
    /// Receives the `count` pages out of `pages` that the destination misses.
    fn missing_pages(&mut self, pages: u64, count: u64, patience: Patience) -> Result<PageBitmap> {
        let mut missing = PageBitmap::empty(pages);
        let mut before = 0;
        while before < count {
            let frame = self.reader.next(patience)?;
            if frame.kind != FrameKind::Missing {
                return Err(frame.into_error());
            }
            wire::decode_words(frame.kind, frame.payload, &mut missing)?;
            let now = missing.count();
            // Each frame names a page that was not named before, so that there is an end.
            if now == before || now > count {
                return Err(frame.into_error());
            }
            before = now;
        }
        Ok(missing)
    }

    fn parley(&mut self, patience: Patience) -> Parley<'_> {
        Parley {
            reader: &mut self.reader,
            writer: &mut self.writer,
            patience,
        }
    }
}

/// The addresses of `HOST:PORT`, at least one.
fn resolve(destination: &str) -> Result<Vec<SocketAddr>> {
    let failed = |source| Error::Resolve {
        destination: destination.to_owned(),
        source,
    };
    let addresses: Vec<_> = destination.to_socket_addrs().map_err(failed)?.collect();
    if addresses.is_empty() {
        Err(failed(std::io::ErrorKind::NotFound.into()))
    } else {
        Ok(addresses)
    }
}

/// What a destination says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// Its address.
    pub address: SocketAddr,
    /// Version of the migration protocol that both ends speak.
    pub version: u32,
    /// Memory that is available there.
    pub available_bytes: u64,
    /// Whether page faults of guests can be served there, without which no VM can arrive.
    pub serves_faults: bool,
    /// Whether a VM is just arriving, so that no other can.
    pub is_busy: bool,
}

/// Asks the destination `HOST:PORT` what it can do, without moving anything.
///
/// # Errors
/// If it cannot be reached, does not answer in time, is no peer, speaks another version or is not to
/// be trusted.
pub fn probe(destination: &str, timeouts: &Timeouts, trust: &Trust) -> Result<PeerInfo> {
    let stop = Stop::new()?;
    let caller = Caller {
        destination,
        timeouts,
        trust,
        stop: &stop,
    };
    let (mut control, _) = caller.reach(Purpose::Probe)?;
    let patience = Patience::whole(timeouts.answer);
    let About {
        available_bytes,
        serves_faults,
        busy,
    } = control.reader.next(patience)?.into_frame()?;
    Ok(PeerInfo {
        address: control.reader.link().peer(),
        version: VERSION,
        available_bytes,
        serves_faults: serves_faults == 1,
        is_busy: busy == 1,
    })
}
