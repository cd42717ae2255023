//! A source whose connections were lost after it may have sent the token, and its way back.

use std::time::Instant;

use crate::destination::Notice;
use crate::destination::attempt::Returned;
use crate::destination::host::Host;
use crate::error::{Error, Result};
use crate::link::Patience;
use crate::phase::{DestinationEvent, DestinationPhase};
use crate::progress::INTERVAL;
use crate::wire::{self, FrameKind, MAX_FRAME_WORDS, Standing};

impl Host<'_> {
    /// Waits for the source to come back, the connections being lost by `error`; gives the lap that
    /// begins then. `None` if the source did not come back and is not needed.
    ///
    /// # Errors
    /// `error`, if it is not of a kind that leaves anything to wait for, or the time is over.
    pub(super) fn recover(&mut self, error: Error) -> Result<Option<(u16, Returned)>> {
        let error = self.attempt.end_lap(error);
        let is_complete = self.phase == DestinationPhase::Completed;
        let waits = !self.door.reconnect_for.is_zero()
            && self.phase.may_recover(self.mode)
            && (error.is_loss() || matches!(error, Error::Stopped));
        if !waits {
            return if is_complete { Ok(None) } else { Err(error) };
        }
        // A source that has not noticed does now.
        self.reader.link().hang_up();
        let peer = self.reader.link().peer();
        self.door.notices.notice(&Notice::Lost {
            peer,
            error: &error,
        });
        // Laps that bring nothing forward do not buy time.
        let settled = self.attempt.counts().settled();
        let since = match self.lost {
            Some((since, before)) if before == settled => since,
            _ => Instant::now(),
        };
        self.lost = Some((since, settled));
        let deadline = since + self.door.reconnect_for;
        loop {
            let now = Instant::now();
            if let Some(returned) = self.attempt.wait_returned(deadline.min(now + INTERVAL))? {
                return Ok(Some(returned));
            }
            self.tell();
            if now >= deadline {
                return if is_complete { Ok(None) } else { Err(error) };
            }
        }
    }

    /// Begins the next lap: tells the source how things stand.
    pub(super) fn welcome(&mut self, lap: u16, returned: Returned) -> Result<()> {
        let Returned {
            mut reader, writer, ..
        } = returned;
        reader.rebind(reader.link().with_stop(self.attempt.lap_stop()));
        self.reader = reader;
        self.writer = writer;
        self.advance(DestinationEvent::Recovered, FrameKind::Recover)?;
        self.last_heard = Instant::now();
        let missing = self.attempt.missing();
        self.send(&Standing {
            lap: u64::from(lap),
            has_token: u64::from(self.owns_guest()),
            missing_pages: missing.count(),
        })?;
        let patience = Patience::EachByte(self.patience());
        let words: Vec<_> = missing.words().collect();
        for words in words.chunks(MAX_FRAME_WORDS) {
            self.writer
                .send_with(FrameKind::Missing, patience, |payload| {
                    wire::words_payload(words, payload);
                })?;
        }
        if !self
            .attempt
            .wait_attached(Instant::now() + self.door.timeouts.answer)?
        {
            return Err(self.silent());
        }
        let peer = self.reader.link().peer();
        self.door.notices.notice(&Notice::Recovered { peer });
        Ok(())
    }
}
