//! The loop that every processor runs: visit when due, sleep otherwise, answer requests.

use super::Plan;
use super::balloon::Account;
use super::board::{BOARD, Desk};
use crate::hw::memory::OwnPages;
use crate::hw::processor;
use crate::pure::job::{Job, Share};
use crate::pure::options::PAGE_BYTES;
use crate::pure::pace::{GapMeter, Next, Pace};
use crate::pure::pages::{Pages, flip_byte};
use crate::pure::sort::Sort;

/// How often a processor without anything to do looks for requests: our choice, because an answer may
/// take a twentieth of a second, and waking more often would keep the host from resting.
const LOOKS_PER_S: u64 = 20;

/// One processor at work.
#[derive(Debug)]
pub struct Worker {
    plan: &'static Plan,
    number: usize,
    desk: &'static Desk,
    job: Job<'static>,
    pages: OwnPages<'static, Account>,
    pace: Pace,
    meter: GapMeter,
    visits: u64,
    answered: u32,
    injection: Option<u64>,
    phase: Phase,
}

/// ```text
/// Filling --> Paced --(passes made)--> Done
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The first content is written, as fast as possible.
    Filling,
    /// Visits are made at the rate wanted.
    Paced,
    /// All passes wanted are made, or there is nothing to do.
    Done,
}

impl Worker {
    /// Gets processor `number` ready to do its `share`.
    pub fn new(
        plan: &'static Plan,
        number: usize,
        share: Share,
        sorts: &'static mut [Sort],
    ) -> Self {
        let now = processor::ticks();
        let options = &plan.options;
        let job = Job::new(options, plan.set.pages(), share, sorts);
        // SAFETY: shares do not overlap, and a job uses the pages of its share only; other pages are
        // used as long as they are claimed, which one processor at a time can.
        let pages = unsafe { OwnPages::new(&plan.set, Account::new(plan, number)) };
        let desk = &BOARD.desks[number];
        desk.set_progress(0, job.passes());
        Self {
            plan,
            number,
            desk,
            phase: if matches!(job, Job::Nothing) {
                Phase::Done
            } else {
                Phase::Filling
            },
            job,
            pages,
            pace: Pace::new(
                options.rate_pages_per_s,
                share.of,
                plan.clock.ticks_per_s,
                now,
            ),
            meter: GapMeter::new(now),
            visits: 0,
            answered: 0,
            injection: options.inject_offset_bytes,
        }
    }

    /// Notes the time since the last call, which was not spent asleep on purpose.
    pub fn tick(&mut self) {
        let gap = self.meter.turn(processor::ticks());
        self.desk.note_gap(gap);
    }

    /// Does the next thing: a visit, or sleep until it is due, but not beyond `wake`.
    pub fn turn(&mut self, wake: u64) {
        let next = match self.phase {
            Phase::Filling => Next::Visit,
            Phase::Paced => self.pace.next(processor::ticks()),
            Phase::Done => Next::SleepUntil(wake),
        };
        match next {
            Next::Visit => self.visit(),
            Next::SleepUntil(until) => self.sleep_until(until.min(wake)),
        }
    }

    /// Sleeps on purpose.
    pub fn sleep_until(&mut self, until: u64) {
        self.tick();
        self.plan.clock.sleep_until(self.number, until);
        self.meter.sleep_until(until);
    }

    /// When to look for requests next.
    pub fn next_look(&self) -> u64 {
        processor::ticks() + self.plan.clock.ticks_of(1, LOOKS_PER_S)
    }

    /// Answers a request that was not answered yet.
    pub fn follow_requests(&mut self) {
        let (request, last) = BOARD.request();
        if request != self.answered {
            self.answered = request;
            let digest = self.digest();
            self.desk.answer(request, digest);
            if last {
                processor::halt_forever();
            }
        }
    }

    /// The pages as this processor gets at them.
    pub fn pages(&mut self) -> &mut impl Pages {
        &mut self.pages
    }

    /// Checks this processor's part and returns its digest.
    pub fn digest(&mut self) -> u64 {
        let mut sum = 0u64;
        for place in 0..self.job.held_places() {
            let (digest, checked) = self.job.digest_at(place, &mut self.pages);
            sum = sum.wrapping_add(digest);
            if let Err(corrupt) = checked {
                BOARD.report_damage(corrupt);
            }
            self.tick();
        }
        sum
    }

    fn visit(&mut self) {
        if let Err(corrupt) = self.job.turn(&mut self.pages) {
            BOARD.report_damage(corrupt);
        }
        self.visits += 1;
        let passes = self.job.passes();
        self.desk.set_progress(self.visits, passes);
        if self.phase == Phase::Filling && !self.job.is_filling() {
            self.phase = Phase::Paced;
            self.inject();
        }
        if passes >= self.plan.options.passes.or(Some(u64::MAX)) {
            self.phase = Phase::Done;
        }
    }

    /// Flips the byte that the test aid `inject=` names, if it is in this processor's part.
    fn inject(&mut self) {
        let ours = |offset: &u64| self.job.holds(offset / PAGE_BYTES);
        if let Some(offset_bytes) = self.injection.take().filter(ours) {
            flip_byte(&mut self.pages, offset_bytes);
        }
    }
}
