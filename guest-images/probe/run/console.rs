//! The boot processor's side of the serial line: progress now and then, requests from outside,
//! damage, and the end.

use super::Plan;
use super::balloon::{Account, Balloon, Chores, State};
use super::board::{BOARD, Progress};
use super::worker::Worker;
use crate::hw::{power, processor, serial};
use crate::pure::command::{Command, Input, Verb, Wish};
use crate::pure::options::Workload;
use crate::pure::pages::Corrupt;
use crate::pure::text::Line;

/// Our choice: because asking the port costs an exit, and nobody types faster.
const INPUT_LOOKS_PER_S: u64 = 20;

/// While the other processors are awaited.
const ANSWER_LOOKS_PER_S: u64 = 1000;

/// How often the device's answer is looked for while it is at work: our choice, because a request takes
/// about so long.
const BALLOON_LOOKS_PER_S: u64 = 5000;

/// Digits of the time spent on the balloon where guests with and without are compared. Our choice: enough for a
/// quarter of an hour.
const COMPARED_DIGITS: u32 = 9;

/// When the next line, the next look at the input and the next chore of the balloon are due.
#[derive(Debug)]
pub struct Console {
    plan: &'static Plan,
    ready: u64,
    line_period: u64,
    next_line: u64,
    next_look: u64,
    next_chore: u64,
    input: Input,
    chores: Option<Chores>,
}

impl Console {
    /// Counts the time from `ready`, when the first line was out.
    pub fn new(plan: &'static Plan, ready: u64, chores: Option<Chores>) -> Self {
        let line_period = plan.clock.ticks_of(1, plan.options.lines_per_s);
        Self {
            plan,
            ready,
            line_period,
            next_line: ready + line_period,
            next_look: ready,
            next_chore: ready,
            input: Input::EMPTY,
            chores,
        }
    }

    /// Does what is due, and returns when something is due again.
    pub fn attend(&mut self, worker: &mut Worker) -> u64 {
        let now = processor::ticks();
        let look_period = self.plan.clock.ticks_of(1, INPUT_LOOKS_PER_S);
        // Nothing is due later than a period from now, unless the counter went back: a moved guest
        // may find another host's.
        self.next_look = self.next_look.min(now + look_period);
        self.next_line = self.next_line.min(now + self.line_period);
        if now >= self.next_look {
            self.next_look = now + look_period;
            self.look(worker);
        }
        if now >= self.next_line {
            // After a stall the lines go on from now; none is printed for the time lost.
            self.next_line = (self.next_line + self.line_period).max(now);
            self.print_progress(worker, BOARD.progress());
        }
        let wake = self.next_line.min(self.next_look);
        let Plan { clock, balloon, .. } = self.plan;
        let (Some(balloon), Some(chores)) = (balloon, &mut self.chores) else {
            return wake;
        };
        // Not at each visit: to look costs some of one.
        self.next_chore = self.next_chore.min(now + look_period);
        if now >= self.next_chore {
            let state = timed(|| chores.turn(balloon, now));
            let pause = match state {
                State::Busy => clock.ticks_of(1, BALLOON_LOOKS_PER_S),
                State::Resting => look_period,
            };
            self.next_chore = now + pause;
        }
        wake.min(self.next_chore)
    }

    fn look(&mut self, worker: &mut Worker) {
        print_damage(worker);
        let wanted = self.plan.options.passes;
        let passes_made = wanted.is_some_and(|wanted| BOARD.passes() >= Some(wanted));
        if passes_made {
            self.finish(worker);
        }
        if let Some(balloon) = &self.plan.balloon {
            timed(|| balloon.look());
        }
        while let Some(byte) = serial::receive() {
            if let Some(wish) = self.input.take(byte) {
                self.fulfil(worker, wish);
            }
        }
    }

    #[inline(never)]
    fn fulfil(&self, worker: &mut Worker, wish: Wish) {
        match (wish, &self.plan.balloon) {
            (Wish::Digest, _) => {
                let digest = self.digest(worker, BOARD.request_digest());
                print(worker, Line::record("digest=").hexadecimal(digest));
            }
            (Wish::Quit, _) => self.finish(worker),
            (Wish::Pages(command), Some(balloon)) => self.obey(worker, balloon, command),
            (Wish::Pages(_), None) => print(worker, &mut Line::record("refused: no balloon")),
            (Wish::Unknown, _) => print(worker, &mut Line::record("refused: no such command")),
        }
    }

    /// Does something with pages, and says with how many.
    fn obey(&self, worker: &mut Worker, balloon: &Balloon, command: Command) {
        let Command { verb, first, count } = command;
        let mut line = Line::record(verb.name());
        line.text(" first=").decimal(first);
        line.text(" count=").decimal(count).text(" pages=");
        let pages = worker.pages();
        match verb {
            Verb::Fill => {
                line.decimal(balloon.frames().fill(first, count, pages));
            }
            Verb::Touch => {
                let touched = balloon.frames().touch(first, count, pages);
                line.decimal(touched.pages);
                line.text(" zero=").decimal(touched.zero);
                line.text(" filled=").decimal(touched.filled);
            }
            Verb::Ask(request) => {
                let account = Account::new(self.plan, 0);
                let (moved, actual) = balloon.ask(request, first, count, &|| account.pause());
                line.decimal(moved).text(" actual=").decimal(actual);
            }
        }
        print(worker, &mut line);
    }

    fn finish(&self, worker: &mut Worker) -> ! {
        let digest = self.digest(worker, BOARD.request_finish());
        print(worker, Line::record("done digest=").hexadecimal(digest));
        power::off()
    }

    /// Waits for the answers of all processors, this one's own included.
    #[inline(never)]
    fn digest(&self, worker: &mut Worker, request: u32) -> u64 {
        let own = worker.digest();
        BOARD.desks[0].answer(request, own);
        let digest = loop {
            if let Some(digest) = BOARD.digest(request) {
                break digest;
            }
            let pause = self.plan.clock.ticks_of(1, ANSWER_LOOKS_PER_S);
            worker.sleep_until(processor::ticks() + pause);
            worker.tick();
        };
        print_damage(worker);
        digest
    }

    fn print_progress(&self, worker: &mut Worker, progress: Progress) {
        let clock = &self.plan.clock;
        let since_ready = processor::ticks().saturating_sub(self.ready);
        let mut line = Line::record("t_ms=");
        line.decimal(clock.parts_in(since_ready, 1000));
        line.text(" passes=").decimal(progress.passes.unwrap_or(0));
        line.text(" pages=").decimal(progress.pages);
        let us = |ticks| clock.parts_in(ticks, 1_000_000);
        line.text(" max_gap_us=").decimal(us(progress.longest_gap));
        // What a balloon costs this workload is seen beside a guest without one, whose lines have to be as long:
        // each byte takes an exit.
        let is_compared = self.plan.options.workload == Workload::GrowShrink;
        if is_compared || self.plan.balloon.is_some() {
            let balloon_us = us(progress.balloon);
            line.text(" balloon_us=");
            if is_compared {
                let length = balloon_us.checked_ilog10().unwrap_or(0) + 1;
                (length..COMPARED_DIGITS).for_each(|_| _ = line.decimal(0));
            }
            line.decimal(balloon_us);
        }
        print(worker, &mut line);
    }
}

/// Does `work` for the balloon, which takes the boot processor from its own.
fn timed<T>(work: impl FnOnce() -> T) -> T {
    let began = processor::ticks();
    let result = work();
    BOARD.desks[0].note_balloon(processor::ticks().saturating_sub(began));
    result
}

/// Says where the first wrong word was, once.
fn print_damage(worker: &mut Worker) {
    if let Some(Corrupt {
        gpa,
        expected,
        found,
    }) = BOARD.take_damage()
    {
        let mut line = Line::record("corrupt gpa=");
        line.hexadecimal(gpa)
            .text(" expected=")
            .hexadecimal(expected);
        print(worker, line.text(" found=").hexadecimal(found));
    }
}

/// Sends a line; a stall between two bytes of it counts as a gap like any other.
#[inline(never)]
fn print(worker: &mut Worker, line: &mut Line) {
    for &byte in line.finish() {
        serial::send(byte);
        worker.tick();
    }
}
