//! What the boot processor does for the balloon in passing, a little at each turn.

use super::Balloon;
use super::driver::Driver;
use crate::hw::clock::Clock;
use crate::pure::balloon::frames::Request;
use crate::pure::balloon::order::Order;

/// How often pages are looked for that were not to be had before, as in Linux (200 ms).
const RETRIES_PER_S: u64 = 5;

/// How often free pages are reported, as in Linux (`PAGE_REPORTING_DELAY`): most that are free for a
/// moment only are in use again by then. But it is whole runs of pages, however short.
const REPORT_PERIOD_S: u64 = 2;

/// Our choice: because looking at so many takes about as long as an exit.
const PLACES_PER_TURN: u64 = 4096;

/// Whether to come back soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The next look is soon enough.
    Resting,
    /// The device is at it, or there is more to ask of it.
    Busy,
}

/// A way through all pages, in pieces.
#[derive(Debug)]
struct Sweep {
    request: Request,
    next: u64,
}

/// Keeps the balloon at its target, and reports what became free.
#[derive(Debug)]
pub struct Chores {
    order: Order,
    levelling: Option<Sweep>,
    retry_at: u64,
    retry_period: u64,
    report: Option<Sweep>,
    report_at: u64,
    report_period: u64,
}

impl Chores {
    /// Nothing is done yet.
    pub fn new(order: Order, clock: &Clock) -> Self {
        Self {
            order,
            levelling: None,
            retry_at: 0,
            retry_period: clock.ticks_of(1, RETRIES_PER_S),
            report: None,
            report_at: 0,
            report_period: clock.ticks_of(REPORT_PERIOD_S, 1),
        }
    }

    /// Does a little, at the time `now`.
    #[inline(never)]
    pub fn turn(&mut self, balloon: &Balloon, now: u64) -> State {
        let Some(mut driver) = balloon.driver.try_lock() else {
            return State::Resting;
        };
        if !driver.is_idle() {
            return State::Busy;
        }
        let is_busy = self.level(&mut driver, now) == State::Busy
            || self.report(balloon, &mut driver, now) == State::Busy;
        if is_busy { State::Busy } else { State::Resting }
    }

    /// Follows the device's target.
    fn level(&mut self, driver: &mut Driver, now: u64) -> State {
        let Some((request, missing)) = driver.level().next() else {
            self.levelling = None;
            return State::Resting;
        };
        // The time may have gone back: a moved guest may find another host's counter.
        self.retry_at = self.retry_at.min(now + self.retry_period);
        let is_on_its_way = matches!(&self.levelling, Some(sweep) if sweep.request == request);
        if !is_on_its_way || now >= self.retry_at {
            self.retry_at = now + self.retry_period;
            self.levelling = Some(Sweep { request, next: 0 });
        }
        let order = self.order;
        self.levelling.as_mut().map_or(State::Resting, |sweep| {
            sweep.go_on(driver, order.pages(), missing, |place| match request {
                Request::Deflate => order.index(order.pages() - 1 - place),
                Request::Inflate | Request::Report => order.index(place),
            })
        })
    }

    /// Reports free pages that were written since they were last reported.
    fn report(&mut self, balloon: &Balloon, driver: &mut Driver, now: u64) -> State {
        if !driver.can_report() {
            return State::Resting;
        }
        self.report_at = self.report_at.min(now + self.report_period);
        if self.report.is_none() && now >= self.report_at {
            self.report_at = now + self.report_period;
            self.report = balloon.frames.were_dirtied().then_some(Sweep {
                request: Request::Report,
                next: 0,
            });
        }
        let state = self.report.as_mut().map_or(State::Resting, |sweep| {
            sweep.go_on(driver, self.order.pages(), u64::MAX, |place| place)
        });
        if state == State::Resting {
            self.report = None;
        }
        state
    }
}

impl Sweep {
    /// Looks at some places more, and asks for what is found.
    fn go_on(
        &mut self,
        driver: &mut Driver,
        places: u64,
        most: u64,
        index_of: impl Fn(u64) -> u64,
    ) -> State {
        let end = (self.next + PLACES_PER_TURN).min(places);
        let indices = (self.next..end).map(index_of);
        let (looked_at, _) = driver.ask(self.request, indices, most);
        self.next += looked_at;
        if looked_at > 0 {
            State::Busy
        } else {
            State::Resting
        }
    }
}
