//! The threads of an arrival: one that serves faults, and one that receives on each connection.

use std::os::fd::AsFd;

use rustix::event::PollFlags;
use userfaultfd::EventBuffer;

use crate::destination::attempt::Attempt;
use crate::destination::table::PageState;
use crate::error::Result;
use crate::link::{FrameReader, FrameWriter, Link, Patience};
use crate::stop::{Woken, wait};
use crate::wire::{self, FrameKind, MAX_FRAME_WANTS};

/// Faults read at a time. Our choice: more than a VM has vCPUs; fits one `Want` frame.
const MAX_EVENTS: usize = 64;
const _: () = assert!(MAX_EVENTS <= MAX_FRAME_WANTS);

/// Asks for pages that are touched before they arrive, until the attempt stops.
///
/// This thread never touches guest RAM and waits for no lock that another holds while it does, so
/// that whoever does can count on it.
pub(super) fn serve_faults(attempt: &Attempt, urgent: Link) -> Result<()> {
    let mut writer = FrameWriter::new(urgent);
    let mut events = EventBuffer::new(MAX_EVENTS);
    let mut pages = Vec::with_capacity(MAX_EVENTS);
    loop {
        match wait(attempt.region.as_fd(), PollFlags::IN, &attempt.stop, None)? {
            Woken::Ready => {}
            Woken::Stopped | Woken::TimedOut => return Ok(()),
        }
        attempt.region.read_faults(&mut events, &mut pages)?;
        let mut local = Ok(());
        pages.retain(|&page| {
            let before = attempt.clock.request(&attempt.table, page);
            let answered = match before {
                PageState::Missing | PageState::Requested => Ok(()),
                PageState::Absent => attempt.region.install_zero(page),
                PageState::Present => attempt.region.wake(page),
            };
            local = std::mem::replace(&mut local, Ok(())).and(answered);
            before == PageState::Missing
        });
        local?;
        if !pages.is_empty() {
            writer.send_with(FrameKind::Want, Patience::Endless, |payload| {
                wire::want_payload(&pages, payload);
            })?;
        }
    }
}

/// Installs what comes over a page connection until the source finishes it.
pub(super) fn receive_pages(attempt: &Attempt, reader: &mut FrameReader) -> Result<()> {
    let limit = attempt.region.pages();
    while let Some(frame) = reader.next_or_end(Patience::Endless)? {
        match frame.kind {
            FrameKind::Pages => {
                let (range, content) = wire::decode_pages(frame.payload, limit)?;
                attempt.pages_came(range, content)?;
            }
            FrameKind::Absent => {
                for range in wire::decode_absent(frame.payload, limit)? {
                    attempt.absent_came(range?)?;
                }
            }
            _ => return Err(frame.into_error()),
        }
    }
    Ok(())
}
