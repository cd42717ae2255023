//! When to stop copying memory that the guest keeps writing: decisions without I/O.

use std::time::Duration;

use crate::options::Mode;

/// Most rounds of a pre-copy. Xen's bound is the same (Clark et al., *Live Migration of Virtual
/// Machines*, NSDI 2005, section 5.1.2: 29 rounds and the last one).
const MAX_ROUNDS: u32 = 30;

/// Rounds in a row that leave about as much as they found, after which pre-copy gives up.
const MAX_STALLED_ROUNDS: u32 = 3;

/// The share of a round's pages that may be left after it for the next one to pay. Our choice: a
/// round costs the wire what post-copy of the same pages would; it must leave clearly less.
const PAYING_SHARE: f64 = 0.75;

/// The share of the pages sent so far that may be written again before a round is broken off. Our
/// choice: from there on more than half of what is sent is sent in vain.
const BREAKING_SHARE: f64 = 0.5;

/// Fewest pages from which to conclude that a round is in vain. Our choice: 4 MiB.
const BREAKING_PAGES: u64 = 1024;

/// What `auto` sends while the guest stands still, rather than let it fault. Our choice: not longer
/// than it takes to hand over a guest without any memory.
const NEXT_TO_NOTHING: Duration = Duration::from_millis(2);

/// What pausing, saving, restoring and resuming take together. Our choice, as measured on the
/// development machines with one vCPU; what is measured on the way is added.
const STANDSTILL: Duration = Duration::from_millis(2);

/// Times that the two ends wait for each other while the guest stands still: for the last pages, the
/// state, the count of pages and the token.
const EXCHANGES: u32 = 4;

/// Fewest pages of a round that tell the rate of the link from the cost of an exchange.
const RATE_PAGES: u64 = 256;

/// What has been measured of the way to the destination.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Way {
    /// Pages installed in a second; 0 if that is not known yet.
    pages_per_s: f64,
    /// An exchange of two short messages.
    pub(crate) exchange: Duration,
}

impl Way {
    /// Notes a round of `pages` that took that long: the rate if the round is long enough to tell
    /// it, otherwise a rate that the way has at least.
    pub(crate) fn learn(&mut self, pages: u64, took: Duration) {
        self.pages_per_s = if pages >= RATE_PAGES {
            per_s(pages, took.saturating_sub(self.exchange))
        } else {
            self.pages_per_s.max(per_s(pages, took))
        };
    }

    /// How long that many pages take.
    pub(crate) fn time_for(&self, pages: u64) -> Duration {
        if pages == 0 {
            return Duration::ZERO;
        }
        Duration::try_from_secs_f64(count(pages) / self.pages_per_s).unwrap_or(Duration::MAX)
    }

    /// The downtime if the guest is handed over now and `pages` go before it runs.
    pub(crate) fn downtime(&self, pages: u64) -> Duration {
        let fixed = STANDSTILL + self.exchange * EXCHANGES;
        fixed.saturating_add(self.time_for(pages))
    }
}

/// How the copying stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Standing {
    /// Pages whose content was sent in this round so far.
    pub(crate) sent_pages: u64,
    /// Pages that were sent and written again, or, once the round is over, all that are left.
    pub(crate) rest_pages: u64,
    pub(crate) way: Way,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Another round.
    Another,
    /// Stop the guest, send what is left, and run it at the destination.
    Stop,
    /// Run it at the destination, and send what is left after it.
    Switch,
}

/// Decides after each round, and within them.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    mode: Mode,
    max_downtime: Duration,
    rounds: u32,
    stalled_rounds: u32,
    last_rest_pages: Option<u64>,
}

impl Model {
    /// The decisions of one migration in `mode`, which has rounds.
    pub(crate) fn new(mode: Mode, max_downtime: Duration) -> Self {
        Self {
            mode,
            max_downtime,
            rounds: 0,
            stalled_rounds: 0,
            last_rest_pages: None,
        }
    }

    /// Whether to break off the round that is under way, and switch.
    pub(crate) fn breaks_off(&self, standing: &Standing) -> bool {
        self.mode == Mode::Auto
            && standing.sent_pages >= BREAKING_PAGES
            && count(standing.rest_pages) > BREAKING_SHARE * count(standing.sent_pages)
    }

    /// What to do after a round.
    pub(crate) fn after_round(&mut self, standing: &Standing) -> Step {
        let Standing {
            sent_pages,
            rest_pages,
            way,
        } = *standing;
        self.rounds += 1;
        let before = self
            .last_rest_pages
            .replace(rest_pages)
            .unwrap_or(sent_pages);
        let pays = count(rest_pages) <= PAYING_SHARE * count(before);
        self.stalled_rounds = if pays { 0 } else { self.stalled_rounds + 1 };
        let fits = way.downtime(rest_pages) <= self.max_downtime;
        match self.mode {
            Mode::Hybrid => Step::Switch,
            Mode::Auto => {
                let next_to_nothing = way.time_for(rest_pages) <= NEXT_TO_NOTHING;
                match (fits && next_to_nothing, pays && self.rounds < MAX_ROUNDS) {
                    (true, _) => Step::Stop,
                    (false, true) => Step::Another,
                    (false, false) => Step::Switch,
                }
            }
            _ if fits || self.is_exhausted() => Step::Stop,
            _ => Step::Another,
        }
    }

    /// Whether more rounds are not going to help.
    fn is_exhausted(&self) -> bool {
        self.rounds >= MAX_ROUNDS || self.stalled_rounds >= MAX_STALLED_ROUNDS
    }
}

/// That many pages in that time, as a rate.
pub(crate) fn per_s(pages: u64, time: Duration) -> f64 {
    count(pages) / time.max(Duration::from_micros(1)).as_secs_f64()
}

/// Counts of pages are below 2^53, where each has an exact floating-point number.
#[expect(clippy::cast_precision_loss, reason = "no memory has 2^53 pages")]
const fn count(pages: u64) -> f64 {
    pages as f64
}

#[cfg(test)]
mod tests;
