//! One migration in virtual time: a link, a source that fills it, a guest that waits.

use migration::{PageBitmap, PageIndex, PageRange, RunLimits, SendOrder, SendPlan};

use crate::guest::{Workload, index};

/// A link and what is known about the ends of it. Times in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    pub name: &'static str,
    /// To carry a page.
    pub page_ns: u64,
    /// From a fault until its page is there, on an idle link and without the time to carry it.
    pub round_trip_ns: u64,
    /// To take in a run, whatever its length.
    pub run_ns: u64,
}

/// A gigabit link with 120,000 bytes a millisecond.
pub const GIGABIT: Link = Link {
    name: "1 Gb/s",
    page_ns: 34_000,
    round_trip_ns: 100_000,
    run_ns: 20_000,
};

/// Two processes on one host, bound by what it costs to copy and install.
pub const LOOPBACK: Link = Link {
    name: "loopback",
    page_ns: 4_000,
    round_trip_ns: 60_000,
    run_ns: 20_000,
};

/// Working set, in pages, where it is not said.
const HOT_PAGES: u64 = 16 << 10;
/// The guest's own time for a page.
const TOUCH_NS: u64 = 9_000;
/// Most bytes that wait unsent in the source's kernel.
const QUEUE_PAGES: u64 = 10;
/// Longest that a run may be under way, and its longest and shortest length, as in the source.
const PUSH_TARGET_NS: u64 = 500_000;
const WALK_TARGET_NS: u64 = 1_000_000;
const MAX_RUN_PAGES: u64 = 64;
const MIN_RUN_PAGES: u64 = 16;
/// How long without a fault until demand paging sends the rest.
const DRAIN_AFTER_NS: u64 = 500_000_000;

/// What a migration cost the guest.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// Faults that had the source send their page.
    pub faults: u64,
    /// Faults on pages that came in their turn.
    pub underway: u64,
    /// Until the last page was there.
    pub total_ns: u64,
    /// The longest wait for a page.
    pub longest_stall_ns: u64,
    /// All waits for pages: what the guest would have worked in that time is lost.
    pub lost_ns: u64,
}

struct Source {
    link: Link,
    order: SendOrder,
    /// When the link has carried all it was given.
    free_at: u64,
    /// When each page is at the destination.
    due: Vec<u64>,
    /// Runs, the last of which are on their way.
    runs: Vec<PageRange>,
}

impl Source {
    /// Fills the link until `now`.
    fn push_until(&mut self, now: u64) {
        let queue_ns = QUEUE_PAGES * self.link.page_ns;
        let pages_in = |time_ns: u64| {
            let pages = time_ns / self.link.page_ns;
            pages.clamp(MIN_RUN_PAGES, MAX_RUN_PAGES)
        };
        let limits = RunLimits {
            push_pages: pages_in(PUSH_TARGET_NS),
            walk_pages: pages_in(WALK_TARGET_NS),
            promised_pages: pages_in(WALK_TARGET_NS),
        };
        while self.free_at <= now + queue_ns {
            let Some(run) = self.order.next_run(limits) else {
                self.free_at = self.free_at.max(now);
                return;
            };
            self.free_at += run.pages() * self.link.page_ns + self.link.run_ns;
            for page in run.iter() {
                self.due[index(page.get())] = self.free_at + self.link.round_trip_ns / 2;
            }
            self.runs.push(run);
        }
    }

    /// A fault at `now`: whether its page is sent alone.
    fn demand(&mut self, page: u64, now: u64) -> bool {
        let asked = now + self.link.round_trip_ns / 2;
        self.push_until(asked);
        let is_alone = self.order.demand(PageIndex::new(page));
        if is_alone {
            // An urgent page goes behind what the kernel was given, and delays what comes after.
            let queue_ns = (self.free_at - asked).min(QUEUE_PAGES * self.link.page_ns);
            let sent_at = asked + queue_ns;
            let due = &mut self.due;
            let is_delayed = |run: &&PageRange| due[index(run.first().get())] > sent_at;
            let delayed = self.runs.iter().rev().take_while(is_delayed).count();
            for run in &self.runs[self.runs.len() - delayed..] {
                for page in run.iter() {
                    due[index(page.get())] += self.link.page_ns;
                }
            }
            due[index(page)] = sent_at + self.link.page_ns + self.link.round_trip_ns / 2;
            self.free_at += self.link.page_ns;
        }
        is_alone
    }

    /// When the page is there that somebody waits for from `now` on.
    fn due(&mut self, page: u64, now: u64) -> u64 {
        let mut until = now;
        while self.due[index(page)] == u64::MAX {
            until += self.link.page_ns;
            self.push_until(until);
        }
        self.due[index(page)]
    }
}

/// Moves a guest that touches pages at full speed, until it has every page.
pub fn simulate(workload: Workload, link: Link, plan: SendPlan) -> Cost {
    simulate_set(HOT_PAGES, workload, link, plan)
}

/// The same with a working set of so many pages.
pub fn simulate_set(hot_pages: u64, workload: Workload, link: Link, plan: SendPlan) -> Cost {
    // The rest is touched by nobody any more.
    let (pages, hot_at) = (hot_pages + hot_pages / 8, hot_pages / 16);
    let mut source = Source {
        link,
        order: SendOrder::new(PageBitmap::full(pages), plan, None),
        free_at: 0,
        due: vec![u64::MAX; index(pages)],
        runs: Vec::new(),
    };
    let (mut now, mut last_fault, mut cost) = (0, 0, Cost::default());
    for touch in workload.touches(hot_pages) {
        source.push_until(now);
        let page = hot_at + touch;
        if source.due[index(page)] > now {
            if source.demand(page, now) {
                cost.faults += 1;
            } else {
                cost.underway += 1;
            }
            let due = source.due(page, now);
            cost.longest_stall_ns = cost.longest_stall_ns.max(due - now);
            cost.lost_ns += due - now;
            now = due;
            last_fault = now;
        } else if now - last_fault > DRAIN_AFTER_NS {
            source.order.drain();
        }
        now += TOUCH_NS;
        let is_there = |due: &u64| *due <= now;
        if source.free_at <= now && source.due.iter().all(is_there) {
            break;
        }
    }
    cost.total_ns = source.due.iter().copied().max().unwrap_or(0);
    cost
}
