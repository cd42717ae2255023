//! When the next visit is due, and how long the processor was kept from its work. Times are ticks of
//! the time-stamp counter.

#[cfg(test)]
mod tests;

/// Our choice: because going to sleep and waking cost up to a tenth of this; visits that are due
/// sooner are made together after one sleep.
const SHORTEST_SLEEPS_PER_S: u64 = 1000;

/// Our choice: because after a stall a guest has work to make good, but not the whole stall's.
const LARGEST_BACKLOGS_PER_S: u64 = 10;

/// What a processor does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Makes a visit.
    Visit,
    /// Waits until the time given.
    SleepUntil(u64),
}

/// Spreads visits over time.
#[derive(Clone, Debug)]
pub struct Pace {
    /// Ticks between two visits, with 16 binary places.
    period: u64,
    due: u64,
    due_fraction: u64,
    shortest_sleep: u64,
    largest_backlog: u64,
}

const FRACTION_BITS: u32 = 16;

impl Pace {
    /// Spreads `processors` times `rate` visits per second evenly, from the time `now` on; without a
    /// rate a visit is always due.
    #[must_use]
    pub fn new(rate: Option<u64>, processors: u64, ticks_per_s: u64, now: u64) -> Self {
        let ticks = ticks_per_s.saturating_mul(processors << FRACTION_BITS);
        Self {
            period: rate.map_or(0, |rate| (ticks / rate).max(1)),
            due: now,
            due_fraction: 0,
            shortest_sleep: ticks_per_s / SHORTEST_SLEEPS_PER_S,
            largest_backlog: ticks_per_s / LARGEST_BACKLOGS_PER_S,
        }
    }

    /// Decides at the time `now`; a visit so decided counts as made.
    pub fn next(&mut self, now: u64) -> Next {
        if self.period == 0 {
            return Next::Visit;
        }
        // No visit is due later than a period from now, unless the counter went back: a moved guest
        // may find another host's.
        let latest = now.saturating_add((self.period >> FRACTION_BITS) + 1);
        self.due = self.due.min(latest);
        if now < self.due {
            return Next::SleepUntil(self.due.max(now + self.shortest_sleep));
        }
        self.due = self.due.max(now.saturating_sub(self.largest_backlog));
        self.due_fraction += self.period;
        self.due += self.due_fraction >> FRACTION_BITS;
        self.due_fraction &= (1 << FRACTION_BITS) - 1;
        Next::Visit
    }
}

/// Measures the time between two turns of a processor, time asleep on purpose left out.
#[derive(Clone, Debug)]
pub struct GapMeter {
    last: u64,
}

impl GapMeter {
    /// Starts at the time `now`.
    #[must_use]
    pub fn new(now: u64) -> Self {
        Self { last: now }
    }

    /// A turn at the time `now`; returns the ticks since the turn before.
    pub fn turn(&mut self, now: u64) -> u64 {
        let gap = now.saturating_sub(self.last);
        self.last = now;
        gap
    }

    /// The processor sleeps on purpose until the time `until`; only what comes after is a gap.
    pub fn sleep_until(&mut self, until: u64) {
        self.last = until;
    }
}
