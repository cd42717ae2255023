//! The connections of an arrival: from the token on, when they are lost others may follow.

use std::time::Instant;

use crate::auth::Key;
use crate::bitmap::PageBitmap;
use crate::destination::attempt::{Attempt, Fate, Inner};
use crate::error::{Error, Result};
use crate::link::{FrameReader, FrameWriter, Link};
use crate::page::PageRange;
use crate::stop::Stop;
use crate::wire::{Attach, Role};

/// One set of connections.
#[derive(Debug)]
pub(super) struct Lap {
    pub(super) number: u16,
    /// Ends the waits of all who use these connections.
    stop: Stop,
    /// With which page connections prove that they are of the same source.
    key: Option<Key>,
    /// All of them but the one for control.
    links: Vec<Link>,
    has_urgent: bool,
    /// The one to ask for pages, until somebody does.
    urgent: Option<FrameReader>,
    background: u16,
    /// Threads that receive on them.
    receiving: u32,
    /// Why it is over.
    pub(super) loss: Option<Error>,
}

/// What is to be done with a page connection.
#[derive(Debug)]
pub(in crate::destination) enum Attached {
    /// Whoever serves faults has it.
    ForFaults,
    /// Its pages are to be received; then say [`detach`](Attempt::detach).
    ForPages(FrameReader),
    Refused,
}

/// A control connection over which the source of a session has come back.
#[derive(Debug)]
pub(in crate::destination) struct Returned {
    pub(in crate::destination) reader: FrameReader,
    pub(in crate::destination) writer: FrameWriter,
    pub(in crate::destination) session_key: Option<Key>,
}

impl Lap {
    pub(super) fn first(key: Option<Key>) -> Result<Self> {
        Self::new(0, key)
    }

    fn new(number: u16, key: Option<Key>) -> Result<Self> {
        Ok(Self {
            number,
            stop: Stop::new()?,
            key,
            links: Vec::new(),
            has_urgent: false,
            urgent: None,
            background: 0,
            receiving: 0,
            loss: None,
        })
    }

    /// Ends the lap: no connection of it is of use any more.
    pub(super) fn end(&self) {
        self.stop.raise();
        self.links.iter().for_each(Link::hang_up);
    }
}

impl Attempt {
    /// The pages that are neither here nor absent.
    pub(in crate::destination) fn missing(&self) -> PageBitmap {
        let pages = self.region.pages();
        let mut missing = PageBitmap::empty(pages);
        let mut rest = PageRange::between(0, pages);
        while let Some((run, _)) = rest.and_then(|rest| self.table.next_awaited(rest)) {
            for page in run.iter() {
                missing.insert(page);
            }
            rest = PageRange::between(run.end(), pages);
        }
        missing
    }

    /// What page connections prove themselves with.
    pub(in crate::destination) fn lap_key(&self) -> Option<Key> {
        self.lock().lap.key.clone()
    }

    /// The flag that ends the waits of this lap.
    pub(in crate::destination) fn lap_stop(&self) -> Stop {
        self.lock().lap.stop.clone()
    }

    /// Takes a page connection in, unless it is of another lap or there is no need for another of
    /// its kind.
    pub(in crate::destination) fn attach(
        &self,
        attach: Attach,
        mut reader: FrameReader,
    ) -> Attached {
        let mut inner = self.lock();
        let streams = self.streams;
        let lap = &mut inner.lap;
        let is_due = attach.lap == lap.number && lap.loss.is_none();
        let needed = match attach.role {
            Role::Urgent => !lap.has_urgent,
            Role::Background => lap.background < streams,
        };
        if !(is_due && needed) {
            return Attached::Refused;
        }
        let link = reader.link().with_stop(lap.stop.clone());
        reader.rebind(link.clone());
        lap.links.push(link);
        let attached = match attach.role {
            Role::Urgent => {
                lap.has_urgent = true;
                lap.urgent = Some(reader);
                self.doorbell.ring();
                Attached::ForFaults
            }
            Role::Background => {
                lap.background += 1;
                lap.receiving += 1;
                Attached::ForPages(reader)
            }
        };
        drop(inner);
        self.changed.notify_all();
        attached
    }

    /// The connection over which to ask for pages, and its lap, if it is a new one. Who takes it says
    /// [`detach`](Self::detach) when it is of no use any more.
    pub(in crate::destination) fn take_urgent(&self) -> Option<(u16, FrameReader)> {
        let mut inner = self.lock();
        let reader = inner.lap.urgent.take()?;
        inner.lap.receiving += 1;
        Some((inner.lap.number, reader))
    }

    /// A page connection is not received on any more.
    pub(in crate::destination) fn detach(&self) {
        self.lock().lap.receiving -= 1;
        self.changed.notify_all();
    }

    /// Waits until all page connections are attached, and says whether they are before `until`.
    ///
    /// # Errors
    /// If the attempt has failed, or its connections are lost.
    pub(in crate::destination) fn wait_attached(&self, until: Instant) -> Result<bool> {
        let attached = |inner: &Inner| inner.lap.background == self.streams && inner.lap.has_urgent;
        Ok(attached(&*self.wait_until(until, attached)?))
    }

    /// A connection of lap `number` failed. Where the source may come back, the lap is over; else
    /// the attempt is.
    pub(in crate::destination) fn lose(&self, number: u16, error: Error) {
        if matches!(error, Error::Stopped) {
            return;
        }
        let mut inner = self.lock();
        let may_recover = inner.fate != Fate::AtSource && error.is_loss();
        if !may_recover {
            drop(inner);
            return self.fail(error);
        }
        // The last word of a source that has sent everything may come before it hangs up.
        if inner.lap.number == number && !self.is_filled(&inner) && inner.lap.loss.is_none() {
            inner.lap.loss = Some(error);
            inner.lap.end();
        }
        drop(inner);
        self.changed.notify_all();
    }

    /// Ends the lap, if it has not ended; gives why it did, in place of an `error` that came of it.
    pub(in crate::destination) fn end_lap(&self, error: Error) -> Error {
        let mut inner = self.lock();
        inner.lap.end();
        let loss = inner.lap.loss.replace(Error::Stopped);
        drop(inner);
        self.changed.notify_all();
        match (error, loss) {
            (Error::Stopped, Some(loss)) => loss,
            (error, _) => error,
        }
    }

    /// The source is back on another connection, which ends the lap if nothing has yet.
    pub(in crate::destination) fn come_back(&self, returned: Returned) {
        let mut inner = self.lock();
        inner.lap.loss.get_or_insert(Error::Stopped);
        inner.lap.end();
        inner.returned = Some(returned);
        drop(inner);
        self.changed.notify_all();
    }

    /// Waits for the source to come back, and for the end of all that its earlier connections
    /// brought, at most until `until`; then the next lap begins.
    ///
    /// # Errors
    /// If the attempt has failed.
    pub(in crate::destination) fn wait_returned(
        &self,
        until: Instant,
    ) -> Result<Option<(u16, Returned)>> {
        let is_ready = |inner: &Inner| inner.returned.is_some() && inner.lap.receiving == 0;
        let mut inner = self.wait_in_any_lap(until, is_ready)?;
        if !is_ready(&inner) {
            return Ok(None);
        }
        let Some(returned) = inner.returned.take() else {
            return Ok(None);
        };
        // A source that loses 65,535 laps has had its time.
        let Some(number) = inner.lap.number.checked_add(1) else {
            return Ok(None);
        };
        inner.damaged.clear();
        inner.lap = Lap::new(number, returned.session_key.clone())?;
        inner.last_arrival = Instant::now();
        Ok(Some((number, returned)))
    }
}
