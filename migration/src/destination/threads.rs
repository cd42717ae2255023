//! The threads of an arrival: one that serves faults, and one that receives on each background
//! connection.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use userfaultfd::EventBuffer;

use crate::destination::attempt::{Arrived, Attempt};
use crate::destination::clock::Way;
use crate::destination::table::PageState;
use crate::error::{Error, Result};
use crate::link::{FrameReader, FrameWriter, Now, Patience, Received};
use crate::page::{PageIndex, PageRange};
use crate::stop::wait_any;
use crate::wire::{self, FrameKind, MAX_FRAME_RANGES, MAX_FRAME_WANTS};

/// Faults read at a time. Our choice: more than a VM has vCPUs; fits one `Want` frame.
const MAX_EVENTS: usize = 64;
const _: () = assert!(MAX_EVENTS <= MAX_FRAME_WANTS);

/// How long to stay awake for an answer that comes as soon as the ones before. Our choice: as long as
/// it takes within a host, or to a neighbour; whoever waits for the page leaves a processor idle.
const STAY_AWAKE: Duration = Duration::from_micros(60);

/// Asks for pages that are touched before they arrive and installs the answers, until the attempt
/// stops. A thread that did only one of both would have to wake the other for every fault.
///
/// It never touches guest RAM and waits for no lock that another holds while it does, so that
/// whoever does can count on it. It waits for no connection either: while there is none, faults
/// that can be served here are.
pub(super) fn serve_faults(attempt: &Attempt) -> Result<()> {
    let mut urgent = None;
    let mut events = EventBuffer::new(MAX_EVENTS);
    let mut pages = Vec::with_capacity(MAX_EVENTS);
    attempt.doorbell.ring();
    loop {
        let doorbell = attempt.doorbell.as_fd();
        let answers = urgent.as_ref().map_or(doorbell, Urgent::as_fd);
        let fds = [attempt.region.as_fd(), answers, doorbell];
        let awake = urgent.as_ref().and_then(Urgent::awake_until);
        let Some([has_faults, has_answers, has_rung]) = wait_any(fds, &attempt.stop, awake)? else {
            return Ok(());
        };
        if has_faults {
            attempt.region.read_faults(&mut events, &mut pages)?;
            serve_here(attempt, &mut pages)?;
            with(&mut urgent, |urgent| urgent.want(&pages));
        }
        if has_answers {
            with(&mut urgent, |urgent| urgent.receive());
        }
        if has_rung {
            attempt.doorbell.answer();
            if let Some((lap, reader)) = attempt.take_urgent() {
                urgent = Some(Urgent::new(attempt, lap, reader));
                // Memory is searched for requests only if there may be one.
                if attempt.clock.has_requests() {
                    with(&mut urgent, |urgent| urgent.want_all());
                }
            }
            with(&mut urgent, |urgent| urgent.ask_again());
            with(&mut urgent, |urgent| urgent.tell_given_up());
        }
    }
}

/// Serves what needs no answer of the source, and leaves in `pages` what does.
fn serve_here(attempt: &Attempt, pages: &mut Vec<PageIndex>) -> Result<()> {
    let mut served = Ok(());
    pages.retain(|&page| {
        let before = attempt.clock.request(&attempt.table, page);
        let answered = match before {
            PageState::Missing | PageState::Requested => Ok(()),
            PageState::Absent | PageState::GivenUp => attempt.region.install_zero(page),
            PageState::Present => attempt.region.wake(page),
        };
        served = std::mem::replace(&mut served, Ok(())).and(answered);
        before == PageState::Missing
    });
    served
}

/// Does something with the urgent connection, if there is one; drops it if that fails.
fn with<'a>(urgent: &mut Option<Urgent<'a>>, act: impl FnOnce(&mut Urgent<'a>) -> Result<()>) {
    let Some(connection) = urgent else { return };
    let (attempt, lap) = (connection.attempt, connection.lap);
    if let Err(error) = act(connection) {
        *urgent = None;
        attempt.lose(lap, error);
    }
}

/// The connection for pages that somebody waits for, in one lap.
#[derive(Debug)]
struct Urgent<'a> {
    attempt: &'a Attempt,
    lap: u16,
    reader: FrameReader,
    writer: FrameWriter,
    /// When the page was asked for that is waited for.
    asked: Option<Instant>,
    /// How long answers have taken lately.
    usual: Duration,
}

impl<'a> Urgent<'a> {
    fn new(attempt: &'a Attempt, lap: u16, reader: FrameReader) -> Self {
        let writer = FrameWriter::new(reader.link().clone());
        Self {
            attempt,
            lap,
            reader,
            writer,
            asked: None,
            usual: Duration::ZERO,
        }
    }

    /// Until when it is worth to stay awake for an answer.
    fn awake_until(&self) -> Option<Instant> {
        self.asked
            .filter(|_| self.usual < STAY_AWAKE)
            .map(|asked| asked + STAY_AWAKE)
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.link().as_fd()
    }

    /// Asks for `pages`.
    fn want(&mut self, pages: &[PageIndex]) -> Result<()> {
        if !pages.is_empty() {
            self.writer
                .send_with(FrameKind::Want, Patience::Endless, |payload| {
                    wire::want_payload(pages, payload);
                })?;
            self.attempt.clock.asked(pages);
            self.asked = Some(Instant::now());
        }
        Ok(())
    }

    /// Asks for every page that somebody waits for: an earlier connection may have lost the request.
    fn want_all(&mut self) -> Result<()> {
        let mut pages = Vec::with_capacity(MAX_FRAME_WANTS);
        let mut next = self.attempt.table.next_requested(0);
        while let Some(page) = next {
            pages.push(page);
            next = self.attempt.table.next_requested(page.get() + 1);
            if pages.len() == MAX_FRAME_WANTS || next.is_none() {
                self.want(&pages)?;
                pages.clear();
            }
        }
        Ok(())
    }

    /// Asks for what came damaged on any connection.
    fn ask_again(&mut self) -> Result<()> {
        self.send_ranges(FrameKind::Again, &self.attempt.take_damaged())
    }

    /// Tells what need not come any more.
    fn tell_given_up(&mut self) -> Result<()> {
        self.send_ranges(FrameKind::GivenUp, &self.attempt.take_given_up())
    }

    fn send_ranges(&mut self, kind: FrameKind, ranges: &[PageRange]) -> Result<()> {
        for ranges in ranges.chunks(MAX_FRAME_RANGES) {
            self.writer.send_with(kind, Patience::Endless, |payload| {
                wire::ranges_payload(ranges, payload);
            })?;
        }
        Ok(())
    }

    /// Installs what has come.
    fn receive(&mut self) -> Result<()> {
        loop {
            match self.reader.next_now()? {
                Now::Frame(frame) => {
                    take(self.attempt, frame, Way::Demanded)?;
                    if let Some(asked) = self.asked.take() {
                        self.usual = (7 * self.usual + asked.elapsed()) / 8;
                    }
                }
                Now::NotYet => return Ok(()),
                // While pages are missing the source does not finish.
                Now::Ended => {
                    let peer = self.reader.link().peer();
                    return Err(Error::Closed { peer });
                }
            }
        }
    }
}

impl Drop for Urgent<'_> {
    fn drop(&mut self) {
        self.attempt.detach();
    }
}

/// Installs what comes over a background connection until the source finishes it.
pub(super) fn receive_pages(attempt: &Attempt, reader: &mut FrameReader) -> Result<()> {
    while let Some(frame) = reader.next_or_end(Patience::Endless)? {
        take(attempt, frame, Way::Pushed)?;
    }
    Ok(())
}

/// Does what a frame of a page connection says whose pages come by this `way`.
fn take(attempt: &Attempt, frame: Received<'_>, way: Way) -> Result<()> {
    let limit = attempt.region.pages();
    match frame.kind {
        FrameKind::Pages => {
            let (prefix, content) = wire::decode_pages(frame.payload, limit)?;
            match attempt.pages_came(&prefix, content, way)? {
                Arrived::Whole => Ok(()),
                Arrived::Damaged => attempt.came_damaged(prefix.range),
            }
        }
        FrameKind::Absent => {
            for range in wire::decode_ranges(frame.kind, frame.payload, limit)? {
                attempt.absent_came(range?, way)?;
            }
            Ok(())
        }
        _ => Err(frame.into_error()),
    }
}
