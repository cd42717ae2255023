//! One lap of a hand-over: all that goes over one set of connections.

use std::thread::{self, Scope};

use crate::absent::UntouchedSearch;
use crate::error::{Error, Result};
use crate::link::{Link, Patience};
use crate::phase::SourceEvent;
use crate::progress::INTERVAL;
use crate::ram::FrozenRam;
use crate::source::connect::{Control, Session};
use crate::source::sender::{Part, Sender};
use crate::source::sending::Sending;
use crate::source::transfer::Transfer;
use crate::wire::{Complete, Drained};

/// What the thread that migrates works with while others answer requests and push pages.
#[derive(Debug)]
pub(super) struct Lap<'scope, 'env, 'a> {
    scope: &'scope Scope<'scope, 'env>,
    pub(super) control: &'a mut Control,
    background: &'a [Link],
    sending: &'scope Sending,
    ram: &'scope FrozenRam,
}

impl Transfer<'_> {
    /// Does `work` while requests for pages of `ram` are answered, and ends all threads after it.
    pub(super) fn lap(
        &mut self,
        session: &mut Session,
        sending: &Sending,
        ram: &FrozenRam,
        work: impl FnOnce(&mut Self, &mut Lap<'_, '_, '_>) -> Result<()>,
    ) -> Result<()> {
        let Session {
            control,
            urgent,
            background,
            ..
        } = session;
        let result = thread::scope(|scope| {
            let patience = Patience::EachByte(self.options.timeouts.stall);
            let mut answerer = Sender::new(sending, ram, urgent.clone(), patience);
            spawn(scope, "migrate-urgent", sending, move || {
                answerer.answer_all()
            })?;
            let mut lap = Lap {
                scope,
                control,
                background,
                sending,
                ram,
            };
            let result = work(self, &mut lap);
            // The answering thread waits for wants until it is told that there will be no more.
            sending.end();
            result
        });
        self.account.tally = sending.tally();
        result.map_err(|error| sending.cause_of(error))
    }

    /// Sends all memory and waits until the destination has it.
    pub(super) fn send_memory(&mut self, lap: &mut Lap<'_, '_, '_>) -> Result<()> {
        let timeouts = &self.options.timeouts;
        let limit = if self.phase.owns_guest() {
            timeouts.answer
        } else {
            timeouts.stall
        };
        let patience = Patience::EachByte(limit);
        let Lap { sending, ram, .. } = *lap;
        let mut senders: Vec<_> = lap
            .background
            .iter()
            .map(|link| Sender::new(sending, ram, link.clone(), patience))
            .collect();
        if let Some(sender) = senders.first_mut() {
            sender.list_all_given_up()?;
        }
        let connections = u32::try_from(senders.len()).unwrap_or(u32::MAX);
        // Rounds have listed what was never touched; else it is listed where the push does not wait
        // for it, if there is more than one connection.
        let last = senders.len().checked_sub(1);
        let lister = last.filter(|_| !self.options.mode.has_rounds());
        for (number, mut sender) in senders.into_iter().enumerate() {
            let name = format!("migrate-push-{number}");
            let part = match number {
                0 => Part::First(connections),
                _ => Part::Further,
            };
            let is_lister = lister == Some(number);
            spawn(lap.scope, &name, sending, move || {
                let untouched = is_lister.then(|| UntouchedSearch::new(ram.mapping()));
                sender.push_all(part, untouched.transpose()?)
            })?;
        }
        while !sending.wait_done(INTERVAL / 2)? {
            self.cancel_point()?;
            self.account.tally = sending.tally();
            self.tell();
        }
        let tally = sending.tally();
        self.account.tally = tally;
        let drained = Drained {
            sent_pages: tally.first_sent(),
            absent_pages: tally.listed(),
            digest: tally.digest,
        };
        lap.control.writer.send(&drained, patience)?;
        self.advance(SourceEvent::DrainedSent);
        let complete: Complete = lap.control.reader.next(patience)?.into_frame()?;
        if complete.digest != drained.digest {
            let (source_digest, destination_digest) = (drained.digest, complete.digest);
            return Err(Error::Digest {
                source_digest,
                destination_digest,
            });
        }
        self.check_frozen(ram, &sending.given_up(), complete.digest)?;
        self.account.complete = Some(complete);
        self.advance(SourceEvent::CompleteReceived);
        Ok(())
    }
}

/// Starts a thread of the lap; what it fails with ends the lap.
fn spawn<'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    sending: &'scope Sending,
    work: impl FnOnce() -> Result<()> + Send + 'scope,
) -> Result<()> {
    let run = move || {
        if let Err(error) = work() {
            sending.fail(error);
        }
    };
    thread::Builder::new()
        .name(name.to_owned())
        .spawn_scoped(scope, run)
        .map_err(|source| Error::Spawn {
            name: name.to_owned(),
            source,
        })?;
    Ok(())
}
