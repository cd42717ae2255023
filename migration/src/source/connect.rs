//! Reaching a destination and agreeing with it.

use std::net::{SocketAddr, ToSocketAddrs};

use crate::error::{Error, Result};
use crate::link::{FrameReader, FrameWriter, Link, Patience};
use crate::options::{SourceOptions, Timeouts};
use crate::stop::Stop;
use crate::wire::{About, Accept, Attach, Hello, Preamble, Purpose, Role, VERSION};

/// Both directions of a control connection.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) reader: FrameReader,
    pub(super) writer: FrameWriter,
}

/// The connections of an accepted migration.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) control: Control,
    pub(super) urgent: Link,
    pub(super) background: Vec<Link>,
}

impl Session {
    /// Offers the VM to the destination, and opens the other connections if it accepts.
    ///
    /// # Errors
    /// If the destination cannot be reached, does not answer in time, is no peer or refuses.
    pub(super) fn open(hello: &Hello, options: &SourceOptions, stop: &Stop) -> Result<Self> {
        let timeouts = &options.timeouts;
        let mut control = Control::open(&options.destination, Purpose::Migrate, timeouts, stop)?;
        let patience = Patience::whole(timeouts.answer);
        control.writer.send(hello, patience)?;
        control.reader.same_version(patience)?;
        let Accept { session } = control.reader.next(patience)?.into_frame()?;

        let peer = control.reader.link().peer();
        let attach = |role| {
            let link = Link::connect(peer, timeouts.connect, stop.clone())?;
            let mut writer = FrameWriter::new(link.clone());
            let patience = Patience::whole(timeouts.answer);
            writer.preamble(Preamble::new(Purpose::Attach), patience)?;
            writer.send(&Attach { session, role }, patience)?;
            Ok(link)
        };
        let urgent = attach(Role::Urgent)?;
        let background = (0..options.streams.get())
            .map(|_| attach(Role::Background))
            .collect::<Result<_>>()?;
        Ok(Self {
            control,
            urgent,
            background,
        })
    }
}

impl Control {
    /// Connects to the first address of `destination` that answers, and says what for.
    fn open(destination: &str, purpose: Purpose, timeouts: &Timeouts, stop: &Stop) -> Result<Self> {
        let mut last = None;
        for peer in resolve(destination)? {
            match Link::connect(peer, timeouts.connect, stop.clone()) {
                Ok(link) => {
                    let writer = FrameWriter::new(link.clone());
                    let patience = Patience::whole(timeouts.answer);
                    writer.preamble(Preamble::new(purpose), patience)?;
                    return Ok(Self {
                        reader: FrameReader::new(link),
                        writer,
                    });
                }
                Err(Error::Stopped) => return Err(Error::Stopped),
                Err(error) => last = Some(error),
            }
        }
        Err(last.expect("a destination has at least one address"))
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
/// If it cannot be reached, does not answer in time, is no peer or speaks another version.
pub fn probe(destination: &str, timeouts: &Timeouts) -> Result<PeerInfo> {
    let stop = Stop::new()?;
    let mut control = Control::open(destination, Purpose::Probe, timeouts, &stop)?;
    let patience = Patience::whole(timeouts.answer);
    control.reader.same_version(patience)?;
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
