//! One migration at the source, from the first connection to the last page.

use std::time::{Duration, Instant};

use crate::cancel::CancelToken;
use crate::error::{Error, Result};
use crate::ledger::LedgerSums;
use crate::link::Patience;
use crate::model::Step;
use crate::offer::PeerText;
use crate::options::{Mode, SourceOptions};
use crate::page::{bytes_of, to_u64};
use crate::phase::{SourceEvent, SourcePhase};
use crate::progress::{Pace, Progress, ProgressSink};
use crate::ram::{FrozenRam, RamMapping};
use crate::report::{Outcome, Report};
use crate::source::SourceVm;
use crate::source::account::Account;
use crate::source::connect::{Control, Session};
use crate::source::rounds::{Rest, Rounds};
use crate::source::sending::Sending;
use crate::source::tally::Tally;
use crate::stop::Stop;
use crate::wire::{Failed, MAX_STATE_BYTES, Ready, Run, Running, State};

/// How long to look for the destination's own words when a connection broke. Our choice: a cancelled
/// migration must be over within 100 ms.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// A migration under way.
pub(super) struct Transfer<'a> {
    pub(super) options: &'a SourceOptions,
    progress: &'a dyn ProgressSink,
    pub(super) cancel: &'a CancelToken,
    pub(super) phase: SourcePhase,
    pace: Pace,
    pub(super) account: Account,
    pause_called: bool,
    /// The memory of a guest that stands still, to be given back if it is to run on here.
    frozen: Option<FrozenRam>,
    is_tracked: bool,
}

/// What went while the guest ran on.
enum Before<'a> {
    /// Rounds; they know what is left.
    Rounds(Rounds<'a>, Step),
    /// Nothing. What takes longer for more memory is prepared: it costs no downtime.
    Nothing(Sending),
}

impl<'a> Transfer<'a> {
    pub(super) fn begin(
        options: &'a SourceOptions,
        progress: &'a dyn ProgressSink,
        cancel: &'a CancelToken,
    ) -> Self {
        Self {
            options,
            progress,
            cancel,
            phase: SourcePhase::Negotiating,
            pace: Pace::default(),
            account: Account::begin(),
            pause_called: false,
            frozen: None,
            is_tracked: false,
        }
    }

    pub(super) fn phase(&self) -> SourcePhase {
        self.phase
    }

    /// Does all of it.
    pub(super) fn run(&mut self, vm: &dyn SourceVm) -> Result<()> {
        self.tell();
        let offer = vm.offer().map_err(|source| Error::Describe { source })?;
        let ram = vm.ram();
        let (mapped, offered) = (ram.pages(), offer.memory.pages());
        if mapped != offered {
            return Err(Error::MappedPages { mapped, offered });
        }
        self.account.pages_total = mapped;
        let mut session = Session::open(offer, self.options, self.cancel.stop())
            .map_err(|error| self.cause_of(error))?;
        let result = self.hand_over_and_fill(vm, ram, &mut session);
        self.account.take(&session);
        result.map_err(|error| {
            let error = self.cause_of(error);
            self.part(&mut session.control, error)
        })
    }

    /// Everything after the destination has accepted `ram`.
    fn hand_over_and_fill(
        &mut self,
        vm: &dyn SourceVm,
        ram: RamMapping,
        session: &mut Session,
    ) -> Result<()> {
        self.advance(SourceEvent::Accepted);
        self.cancel_point()?;
        let Session {
            control,
            background,
            ..
        } = &mut *session;
        let before = if self.options.mode.has_rounds() {
            self.is_tracked = true;
            vm.start_tracking()
                .map_err(|source| Error::Track { source })?;
            let mut rounds = Rounds::new(
                vm,
                ram,
                background,
                self.options,
                self.cancel.stop().clone(),
            );
            let step = rounds.run(self, control)?;
            Before::Rounds(rounds, step)
        } else {
            Before::Nothing(self.sending_of(Rest::everything(ram.pages())))
        };

        self.account.timeline.pause_called();
        self.pause_called = true;
        let frozen = vm.pause().map_err(|source| Error::Pause { source })?;
        self.advance(SourceEvent::Paused);
        self.account.timeline.part_over("pause");
        let result = match self.rest_of(before, control) {
            Ok((sending, step)) => self.hand_over(vm, &frozen, sending, step, session),
            Err(error) => Err(error),
        };
        self.frozen = Some(frozen);
        result
    }

    /// What is left to be sent of a guest that stands still, and whether before it runs again.
    fn rest_of(&mut self, before: Before<'_>, control: &mut Control) -> Result<(Sending, Step)> {
        Ok(match before {
            Before::Rounds(rounds, step) => {
                let rest = rounds.finish(step, self, control)?;
                self.account.timeline.part_over("rest");
                (self.sending_of(rest), step)
            }
            Before::Nothing(sending) if self.options.mode == Mode::PostCopy => {
                (sending, Step::Switch)
            }
            Before::Nothing(sending) => (sending, Step::Stop),
        })
    }

    /// Everything with the memory `ram` of a guest that stands still.
    fn hand_over(
        &mut self,
        vm: &dyn SourceVm,
        ram: &FrozenRam,
        sending: Sending,
        step: Step,
        session: &mut Session,
    ) -> Result<()> {
        let state = vm.save().map_err(|source| Error::Save { source })?;
        self.account.timeline.part_over("save");

        let result = self.lap(session, &sending, ram, |transfer, lap| {
            transfer.send_state(lap.control, state)?;
            match step {
                Step::Switch | Step::Another => {
                    transfer.send_token(lap.control)?;
                    transfer.send_memory(lap)
                }
                Step::Stop => {
                    transfer.send_memory(lap)?;
                    transfer.account.timeline.part_over("pages");
                    transfer.send_token(lap.control)
                }
            }
        });
        self.recover_until_done(session, sending, ram, result)
    }

    fn sending_of(&self, rest: Rest) -> Sending {
        Sending::new(rest, self.options, self.cancel.stop().clone())
    }

    /// Sends the state and waits until the destination has restored it.
    fn send_state(&mut self, control: &mut Control, state: Vec<u8>) -> Result<()> {
        let patience = Patience::EachByte(self.options.timeouts.answer);
        if state.len() > MAX_STATE_BYTES {
            let (bytes, max_bytes) = (to_u64(state.len()), to_u64(MAX_STATE_BYTES));
            return Err(Error::StateSize { bytes, max_bytes });
        }
        self.account.state_bytes = to_u64(state.len());
        control.writer.send(&State(state), patience)?;
        self.advance(SourceEvent::StateSent);
        let Ready { restore_us } = control.reader.next(patience)?.into_frame()?;
        self.advance(SourceEvent::ReadyReceived);
        let restore = Duration::from_micros(restore_us);
        self.account
            .timeline
            .shared_part_over("state", "restore", restore);
        Ok(())
    }

    /// Hands the guest over, or does so again because the token never arrived. `advance` comes
    /// before `send`: see [`migrate`](super::migrate).
    pub(super) fn send_token(&mut self, control: &mut Control) -> Result<()> {
        let patience = Patience::EachByte(self.options.timeouts.stall);
        self.cancel.close()?;
        self.advance(SourceEvent::RunSent);
        control.writer.send(&Run {}, patience)?;
        let Running { resume_us } = control.reader.next(patience)?.into_frame()?;
        self.runs_there(Duration::from_micros(resume_us));
        Ok(())
    }

    /// The guest runs at the destination, as is known now for the first time or again.
    pub(super) fn runs_there(&mut self, resume: Duration) {
        self.account.timeline.runs_there(resume);
        self.advance(SourceEvent::RunningReceived);
    }

    /// Takes the guest back after a failure before the hand-over.
    ///
    /// # Errors
    /// If it cannot be resumed.
    pub(super) fn undo(&mut self, vm: &dyn SourceVm) -> Result<()> {
        if self.pause_called {
            vm.resume(self.frozen.take())
                .map_err(|source| Error::Resume { source })?;
            self.account.timeline.part_over("undo");
            self.account.timeline.runs_again();
        }
        if self.is_tracked {
            // The guest runs; if its writes go on being noted, it only runs a little slower.
            let _ = vm.stop_tracking();
        }
        Ok(())
    }

    /// The account of what was done.
    pub(super) fn report(mut self, outcome: Outcome, reason: Option<String>) -> Report {
        self.account.timeline.end();
        self.account.report(self.options, outcome, reason)
    }

    /// That much has gone in rounds so far.
    ///
    /// # Errors
    /// If the migration was cancelled.
    pub(super) fn copied(&mut self, sums: &LedgerSums) -> Result<()> {
        self.account.tally = Tally::of(sums);
        self.account.superseded = sums.superseded;
        self.tell();
        self.cancel_point()
    }

    /// Ends what all threads of the migration are at.
    pub(super) fn stop_all(&self) {
        self.cancel.stop().raise();
    }

    pub(super) fn advance(&mut self, event: SourceEvent) {
        self.phase = self
            .phase
            .after(event, self.options.mode)
            .expect("the code above takes the phases in the order of their table");
        self.tell();
    }

    pub(super) fn tell(&mut self) {
        if self.pace.is_due(self.phase, Instant::now()) {
            let tally = &self.account.tally;
            let ended = self.account.rounds.len();
            let begun = ended + usize::from(self.phase == SourcePhase::Copying);
            self.progress.progress(&Progress {
                phase: self.phase,
                round: u32::try_from(begun).unwrap_or(u32::MAX),
                pages_done: tally.done(),
                pages_total: self.account.pages_total,
                page_bytes: bytes_of(tally.transferred() + self.account.superseded),
                elapsed: self.account.timeline.elapsed(),
            });
        }
    }

    pub(super) fn cancel_point(&self) -> Result<()> {
        if self.cancel.is_cancelled() {
            Err(Error::Cancelled)
        } else {
            Ok(())
        }
    }

    /// A wait that was stopped ended because the migration was cancelled, unless a thread failed.
    pub(super) fn cause_of(&self, error: Error) -> Error {
        match error {
            Error::Stopped if self.cancel.is_cancelled() => Error::Cancelled,
            error => error,
        }
    }

    /// Parts with the destination after a failure: tells it why, and if the connection is what
    /// failed, listens for its reasons.
    fn part(&self, control: &mut Control, error: Error) -> Error {
        let patience = Patience::whole(LAST_WORDS);
        let Ok(stop) = Stop::new() else { return error };
        let is_broken = matches!(
            error,
            Error::Send { .. } | Error::Receive { .. } | Error::Closed { .. }
        );
        // Either may fail, since the connection may be the failure; the first error is the answer.
        let _ = control
            .writer
            .send(&Failed(PeerText::chain(&error)), patience);
        control.reader.rebind(control.reader.link().with_stop(stop));
        if !is_broken {
            return error;
        }
        match control
            .reader
            .next(patience)
            .map(|frame| frame.into_error())
        {
            Ok(reason @ (Error::PeerFailed { .. } | Error::Refused { .. })) => reason,
            _ => error,
        }
    }
}
