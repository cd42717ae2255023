//! Dynamic self-ballooning: how much a guest is to give up, decided from what it says of its memory
//! (Hines & Gopalan, VEE 2009, section 4.4).
//!
//! Pure: it is told what is known at each poll and answers with a target. It counts polls, not
//! seconds, so that it can be saved, moved and tested without a clock.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Statistics;
use crate::pfn::PAGE_BYTES;

#[cfg(test)]
mod tests;

/// Polls in an interval: signs of pressure are looked for more often than memory is taken. Our choice.
const POLLS_PER_INTERVAL: u32 = 5;

/// The share of what is free that is taken at each interval (VEE 2009, section 4.4): with more at once
/// the guest's OOM killer wakes.
const TAKEN_PERCENT: u64 = 95;

/// Intervals without inflating after a sign of pressure (VEE 2009, section 4.4).
const HOLD_OFF_INTERVALS: u32 = 10;

/// Intervals in which nothing is taken after some was given. Our choice: so many that a guest whose need goes
/// up and down from poll to poll moves no more pages than if it was given some only once an interval.
const GIVEN_INTERVALS: u32 = 2;

/// What stays free at most, of all memory: what the paper leaves of a guest that uses nothing (VEE 2009,
/// section 4.4).
const MOST_RESERVE_PERCENT: u32 = 5;

/// Intervals without pressure after which less is left free again. Our choice: so many that a guest which
/// needs what was left pays for one mistake in ten minutes.
const CALM_INTERVALS: u32 = 120;

/// The part of what is to stay free that a guest has to lack to be given it. Our choice: because it is under
/// pressure when it lacks half.
const GIVEN_SHARE: u32 = 4;

/// Less than this share of the guest's memory is not taken, so that noise moves no page. Our choice.
const STEP_PERCENT: u64 = 1;

/// Major faults in one poll that are no pressure: starting a program has some. Our choice.
const CALM_MAJOR_FAULTS: u64 = 16;

/// How self-ballooning is to work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelfBallooningSettings {
    /// How often memory is taken, in ms; at least 10.
    pub interval_ms: u32,
    /// The share of the guest's page cache that it keeps, in percent.
    pub keep_cache_percent: u8,
}

impl Default for SelfBallooningSettings {
    /// Every 5 s, as the paper does; the page cache stays.
    fn default() -> Self {
        Self {
            interval_ms: 5000,
            keep_cache_percent: 100,
        }
    }
}

impl SelfBallooningSettings {
    /// Shortest interval, in ms.
    pub const MIN_INTERVAL_MS: u32 = 10;

    /// Whether every value is in its range.
    #[must_use]
    pub fn is_valid(self) -> bool {
        self.interval_ms >= Self::MIN_INTERVAL_MS && self.keep_cache_percent <= 100
    }

    /// How often the guest is to be polled, in ms.
    #[must_use]
    pub fn poll_ms(self) -> u32 {
        self.interval_ms / POLLS_PER_INTERVAL
    }
}

/// Decides what the target of a balloon is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelfBallooning {
    settings: SelfBallooningSettings,
    /// Polls until memory may be taken.
    polls_to_go: u32,
    /// What the guest has shown to need free, in pages.
    learned_pages: u32,
    /// Polls since the last sign of pressure, or since less was left free.
    calm_polls: u32,
    before: Option<Before>,
}

/// What was known at the poll before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Before {
    actual_pages: u32,
    major_faults: u64,
    swap_out_bytes: u64,
}

/// What is known of a balloon and its guest.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// What the guest said last; it can say anything.
    pub statistics: &'a Statistics,
    /// What the host wants in the balloon.
    pub target_pages: u32,
    /// What the guest says is in it.
    pub actual_pages: u32,
    /// All memory of the guest.
    pub memory_pages: u32,
}

/// Why a target changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The guest has more or less free memory than before.
    Free,
    /// It took pages out of the balloon by itself.
    Deflated,
    /// It has too little memory available.
    Scarce,
    /// It reads back or writes out what it had in memory.
    Paging,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Free => "for what is free",
            Self::Deflated => "pressure: the guest deflated by itself",
            Self::Scarce => "pressure: little memory is available",
            Self::Paging => "pressure: the guest pages",
        })
    }
}

/// A new target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// What is wanted in the balloon.
    pub target_pages: u32,
    /// Why.
    pub reason: Reason,
}

impl SelfBallooning {
    /// Begins; nothing is taken before the first interval is over.
    #[must_use]
    pub fn new(settings: SelfBallooningSettings) -> Self {
        Self {
            settings,
            polls_to_go: POLLS_PER_INTERVAL,
            learned_pages: 0,
            calm_polls: 0,
            before: None,
        }
    }

    /// How it works.
    #[must_use]
    pub fn settings(&self) -> SelfBallooningSettings {
        self.settings
    }

    /// Looks at the guest once more; the new target, if it is another.
    pub fn poll(&mut self, seen: Observation<'_>) -> Option<Change> {
        let Observation {
            statistics,
            target_pages,
            actual_pages,
            ..
        } = seen;
        let now = Before {
            actual_pages,
            major_faults: statistics.major_faults.unwrap_or(0),
            swap_out_bytes: statistics.swap_out_bytes.unwrap_or(0),
        };
        let before = self.before.replace(now).unwrap_or(now);
        self.polls_to_go = self.polls_to_go.saturating_sub(1);
        if let Some(reason) = self.pressure(seen, before).filter(|_| actual_pages > 0) {
            // At once, and much, since it is not known how much more is needed.
            self.polls_to_go = (HOLD_OFF_INTERVALS + 1) * POLLS_PER_INTERVAL;
            // The same amount taken again would only come back again.
            let most = seen.memory_pages / 100 * MOST_RESERVE_PERCENT;
            self.learned_pages = self
                .reserve_pages(seen.memory_pages)
                .saturating_mul(2)
                .min(most);
            self.calm_polls = 0;
            let target_pages = target_pages.min(actual_pages / 2);
            return Some(Change {
                target_pages,
                reason,
            });
        }
        self.calm_polls = self.calm_polls.saturating_add(1);
        if self.calm_polls >= CALM_INTERVALS * POLLS_PER_INTERVAL {
            self.learned_pages /= 2;
            self.calm_polls = 0;
        }
        let wanted = self.wanted_pages(seen)?;
        let is_due = if wanted < target_pages {
            // At once, so that a guest that grows does not run out of what is left to it.
            let lacks = target_pages - wanted > self.reserve_pages(seen.memory_pages) / GIVEN_SHARE;
            if lacks {
                self.polls_to_go = self.polls_to_go.max(GIVEN_INTERVALS * POLLS_PER_INTERVAL);
            }
            lacks
        } else if self.polls_to_go == 0 {
            self.polls_to_go = POLLS_PER_INTERVAL;
            let step = u64::from(seen.memory_pages) * STEP_PERCENT / 100;
            u64::from(wanted - target_pages) > step
        } else {
            false
        };
        is_due.then_some(Change {
            target_pages: wanted,
            reason: Reason::Free,
        })
    }

    /// Signs that the guest needs memory.
    fn pressure(&self, seen: Observation<'_>, before: Before) -> Option<Reason> {
        let Observation {
            statistics,
            target_pages,
            actual_pages,
            ..
        } = seen;
        let grew = |now: Option<u64>, before: u64| now.unwrap_or(0).saturating_sub(before);
        // What Linux calls available leaves out what is free below a watermark.
        let available = statistics
            .free_bytes?
            .max(statistics.available_bytes.unwrap_or(0));
        if actual_pages < before.actual_pages.min(target_pages) {
            Some(Reason::Deflated)
        } else if available / PAGE_BYTES < u64::from(least_reserve_pages(seen.memory_pages) / 2) {
            Some(Reason::Scarce)
        } else if grew(statistics.major_faults, before.major_faults) > CALM_MAJOR_FAULTS
            || grew(statistics.swap_out_bytes, before.swap_out_bytes) > 0
        {
            Some(Reason::Paging)
        } else {
            None
        }
    }

    /// What is to be in the balloon: what is in it and most of what is free, but for the reserve.
    fn wanted_pages(&self, seen: Observation<'_>) -> Option<u32> {
        let takable = self.takable_pages(seen)?;
        let left = (takable * (100 - TAKEN_PERCENT) / 100)
            .max(u64::from(self.reserve_pages(seen.memory_pages)));
        let wanted = (u64::from(seen.actual_pages) + takable).saturating_sub(left);
        Some(
            u32::try_from(wanted)
                .unwrap_or(u32::MAX)
                .min(seen.memory_pages),
        )
    }

    /// What stays free, in pages.
    fn reserve_pages(&self, memory_pages: u32) -> u32 {
        self.learned_pages.max(least_reserve_pages(memory_pages))
    }

    /// What is free, or page cache that need not stay; nothing if the guest does not say what is free.
    fn takable_pages(&self, seen: Observation<'_>) -> Option<u64> {
        let pages = |bytes: u64| (bytes / PAGE_BYTES).min(u64::from(seen.memory_pages));
        let free = pages(seen.statistics.free_bytes?);
        let caches = pages(seen.statistics.disk_caches_bytes.unwrap_or(0));
        let spare = 100_u64.saturating_sub(u64::from(self.settings.keep_cache_percent));
        Some(free + caches * spare / 100)
    }
}

/// What always stays free in a guest with so much memory, in pages: twice what Linux itself keeps by
/// default (`min_free_kbytes`: 4 times the square root of its KiB), because it begins to reclaim at one
/// and a half times that.
fn least_reserve_pages(memory_pages: u32) -> u32 {
    let memory_kib = u64::from(memory_pages) * (PAGE_BYTES / 1024);
    let linux_keeps_kib = 4 * memory_kib.isqrt();
    u32::try_from(2 * linux_keeps_kib / (PAGE_BYTES / 1024)).expect("the root of a 34-bit number")
}
