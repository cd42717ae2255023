//! The balloon: pages that no work uses go to the host when it wants them, and come back when they are
//! needed. The boot processor follows the device in passing; a processor that needs a page gets it out
//! by itself.

mod chores;
mod driver;

use core::sync::atomic::{AtomicBool, AtomicU8};

use super::Plan;
use super::board::BOARD;
use crate::hw::lock::{Guard, Lock};
use crate::hw::memory::{Lender, WorkingSet};
use crate::hw::processor;
use crate::hw::virtio_mmio::Window;
use crate::pure::balloon::frames::{Frame, Frames, Request};
use crate::pure::options::{BalloonUse, Options};
use crate::pure::virtio::Kind;
pub use chores::{Chores, State};
use driver::Driver;

/// Our choice: because the host discards the pages of a request in about that time.
const PAUSES_PER_S: u64 = 10_000;

static DIRTIED: AtomicBool = AtomicBool::new(false);

/// The pages that can be had, and the one driver that moves them.
#[derive(Debug)]
pub struct Balloon {
    frames: Frames<'static>,
    driver: Lock<Driver>,
}

impl Balloon {
    /// Finds and starts the device, if there is one and it is wanted.
    pub fn open(options: &Options, command_line: &[u8], set: &WorkingSet) -> Option<Self> {
        if options.balloon == BalloonUse::Off {
            return None;
        }
        let window = Window::find(Kind::Balloon, command_line)?;
        let owners: &'static [AtomicU8] = set.owners();
        let frames = Frames::new(owners, &DIRTIED, options.kept_pages(set.pages()));
        let driver = Driver::open(window, frames, *set.memory())?;
        Some(Self {
            frames,
            driver: Lock::new(driver),
        })
    }

    /// Learns the device's target, and sends statistics if they are wanted; not while another processor
    /// uses the driver.
    pub fn look(&self) {
        if let Some(mut driver) = self.driver.try_lock() {
            driver.look();
        }
    }

    /// The pages.
    pub fn frames(&self) -> Frames<'static> {
        self.frames
    }

    /// Moves those of `count` pages from number `first` on that are fit for it, and waits for it; returns
    /// how many, and how many are in the balloon then.
    #[inline(never)]
    pub fn ask(&self, request: Request, first: u64, count: u64, pause: &impl Fn()) -> (u64, u64) {
        let end = first.saturating_add(count).min(self.frames.count());
        let mut driver = self.lock(pause);
        driver.finish(pause);
        let (mut next, mut moved) = (first, 0);
        while next < end && (request != Request::Report || driver.can_report()) {
            let (looked_at, pages) = driver.ask(request, next..end, u64::MAX);
            driver.finish(pause);
            next += looked_at;
            moved += pages;
        }
        (moved, driver.level().actual())
    }

    fn lock(&self, pause: &impl Fn()) -> Guard<'_, Driver> {
        loop {
            if let Some(driver) = self.driver.try_lock() {
                return driver;
            }
            pause();
        }
    }

    /// Takes a page into use, and tells what it was.
    fn take(&self, index: u64, pause: &impl Fn()) -> Frame {
        loop {
            if let Some(frame) = self.frames.claim(index) {
                return frame;
            }
            let mut driver = self.lock(pause);
            // The page may be in a report: then it is free as soon as that is back.
            driver.finish(pause);
            driver.let_out(index, pause);
        }
    }
}

/// What one processor borrows.
#[derive(Debug)]
pub struct Account {
    plan: &'static Plan,
    number: usize,
}

impl Account {
    /// The account of processor `number`, which uses it alone.
    pub fn new(plan: &'static Plan, number: usize) -> Self {
        Self { plan, number }
    }

    /// Sleeps for a moment, so that the monitor can work.
    pub fn pause(&self) {
        let clock = &self.plan.clock;
        let until = processor::ticks() + clock.ticks_of(1, PAUSES_PER_S);
        clock.sleep_until(self.number, until);
    }
}

impl Lender for Account {
    fn take(&self, index: u64, touch: impl FnOnce()) {
        let Some(balloon) = &self.plan.balloon else {
            return;
        };
        let began = processor::ticks();
        if balloon.take(index, &|| self.pause()) == Frame::Clean {
            // The host has the page no more; without a balloon it would have kept it.
            touch();
            let took = processor::ticks().saturating_sub(began);
            BOARD.desks[self.number].note_balloon(took);
        }
    }

    fn give_back(&self, index: u64) {
        if let Some(balloon) = &self.plan.balloon {
            balloon.frames.release(index, Frame::Dirty);
        }
    }
}
