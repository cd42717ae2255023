//! Going on after connections were lost, once the token was sent.

use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::link::Patience;
use crate::offer::Refusal;
use crate::phase::{SourceEvent, SourcePhase};
use crate::ram::FrozenRam;
use crate::source::connect::{Recovered, Session, Token};
use crate::source::sending::Sending;
use crate::source::transfer::Transfer;
use crate::stop::Stop;
use crate::wire::Done;

/// Pauses between calls of a destination that does not answer: twice as long each time. Our choice:
/// a connection that was only reset is back before a guest notices, and a network that is down is
/// not kept busy.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Transfer<'_> {
    /// Goes on from the `result` of the first lap: as often as connections are lost, over new ones,
    /// until the destination has everything or is gone for too long.
    pub(super) fn recover_until_done(
        &mut self,
        session: &mut Session,
        mut sending: Sending,
        ram: &FrozenRam,
        mut result: Result<()>,
    ) -> Result<()> {
        // Laps that bring nothing forward do not buy time.
        let mut lost_since = None;
        while let Err(error) = result {
            let error = self.cause_of(error);
            if !self.may_recover(&error) {
                return Err(error);
            }
            session.hang_up();
            self.account.take(session);
            self.advance(SourceEvent::Lost);
            let since: Instant = *lost_since.get_or_insert_with(Instant::now);
            let stop = Stop::new()?;
            let (next, recovered) = self.find(session, error, since, &stop)?;
            *session = next;
            self.account.reconnects += 1;

            let Recovered { token, missing } = recovered;
            sending = sending.next_lap(ram, missing, self.options, stop)?;
            let before = sending.tally().transferred();
            result = self.lap(session, &sending, ram, |transfer, lap| {
                match token {
                    Token::Arrived => transfer.runs_there(Duration::ZERO),
                    Token::NeverArrived => transfer.send_token(lap.control)?,
                }
                match transfer.phase {
                    SourcePhase::Completed => Ok(()),
                    _ => transfer.send_memory(lap),
                }
            });
            if sending.tally().transferred() > before {
                lost_since = None;
            }
        }
        let patience = Patience::whole(self.options.timeouts.answer);
        // A destination that does not hear it finds out by itself that all is well.
        let _ = session.control.writer.send(&Done {}, patience);
        Ok(())
    }

    /// Whether to call the destination again after `error`. While it is not known whether the token
    /// arrived, it is asked whatever happened.
    fn may_recover(&self, error: &Error) -> bool {
        let is_unsure = matches!(
            self.phase,
            SourcePhase::HandedOver | SourcePhase::HandedOverWhole
        );
        let can = self
            .phase
            .after(SourceEvent::Lost, self.options.mode)
            .is_some();
        can && !self.options.reconnect_for.is_zero() && (is_unsure || error.is_loss())
    }

    /// Calls the destination until it answers. The connections were lost by `error`, and
    /// `lost_since` was when things last went forward.
    ///
    /// # Errors
    /// `error` if the time is over, or what the destination says for good.
    fn find(
        &mut self,
        session: &Session,
        error: Error,
        lost_since: Instant,
        stop: &Stop,
    ) -> Result<(Session, Recovered)> {
        let pages = self.account.pages_total;
        let mut pause = FIRST_PAUSE;
        while lost_since.elapsed() < self.options.reconnect_for {
            match session.reopen(pages, self.options, stop) {
                Ok(found) => return Ok(found),
                Err(Error::Refused {
                    refusal: Refusal::Abandoned,
                    ..
                }) => {
                    self.advance(SourceEvent::AbandonedReceived);
                    return Err(error);
                }
                Err(refused @ Error::Refused { .. }) => return Err(refused),
                Err(_) => {}
            }
            self.tell();
            thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Err(error)
    }
}
