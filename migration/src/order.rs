//! Which page a source sends next.

mod adaptive;
mod bubbles;
mod edge;
mod plan;
mod recency;
mod row;

use crate::bitmap::PageBitmap;
use crate::page::{PageIndex, PageRange};

use adaptive::Adaptive;
use bubbles::Bubbles;
use edge::Direction;
pub use plan::{Growth, MAX_PIVOTS, Order, Pivots, Prepaging, SendPlan};
use recency::Piece;
pub use recency::Recency;
use row::Row;

/// How many pages a run may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunLimits {
    /// Where nobody is known to walk: a guest that touches a page of the run hardly needs the
    /// others, and waits for all of them.
    pub push_pages: u64,
    /// Ahead of a guest that walks: it needs all of them.
    pub walk_pages: u64,
    /// How many pages of its next run such a guest may be left to wait for, instead of being sent
    /// the one it touches alone; 0 if nobody may, because runs are slow or far between.
    pub promised_pages: u64,
}

impl RunLimits {
    /// The same where runs are held back: at most `pages` pages, and none that anybody waits for.
    pub(crate) fn held_back(self, pages: u64) -> Self {
        Self {
            push_pages: self.push_pages.min(pages),
            walk_pages: self.walk_pages.min(pages),
            promised_pages: 0,
        }
    }

    /// At most `pages` pages, walk or not, and none that anybody waits for.
    pub const fn same(pages: u64) -> Self {
        Self {
            push_pages: pages,
            walk_pages: pages,
            promised_pages: 0,
        }
    }
}

/// Hands out every page of a set exactly once, whatever faults come.
///
/// Pages leave in three ways: the destination demands one, background connections take the next
/// run in order, or they are withheld because they are listed as absent. Who is given a page must
/// send it, or [put it back](Self::put_back). Any number of threads may take turns.
///
/// What is next is the [`SendPlan`]'s choice. Nothing is queued here: a fault takes effect with
/// the next run, and no page waits in a queue from which it would have to be purged.
#[derive(Clone, Debug)]
pub struct SendOrder {
    by_address: Row,
    /// Only if the order is another one.
    by_rank: Option<Row>,
    policy: Policy,
    /// The papers' sticky pivot: no page that stands before this position is unsent.
    next: u64,
    faults: u64,
}

/// How the next page is chosen.
#[derive(Clone, Debug)]
enum Policy {
    Demand,
    Push,
    Bubbles(Bubbles),
    Adaptive(Adaptive),
}

/// What a policy wants to be next.
#[derive(Clone, Copy, Debug)]
enum Choice {
    /// These pages.
    Pages(Piece),
    /// Whatever is first in the row.
    Push {
        /// That many pages of it.
        max_pages: u64,
    },
}

/// How a page comes to who touched it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// Alone, and before all others.
    AtOnce,
    /// With a run that is next, or nearly.
    InTurn,
}

impl Policy {
    fn bubbles(directions: &'static [Direction], pivots: Pivots, growth: Growth) -> Self {
        match growth {
            Growth::Adaptive => Self::Adaptive(Adaptive::new(directions, pivots)),
            Growth::Fixed => Self::Bubbles(Bubbles::new(directions, pivots)),
        }
    }
}

impl SendOrder {
    /// An order in which none of the pages in `unsent` has been handed out. Without `recency`, or
    /// with one that has learned nothing, every plan orders by address.
    pub fn new(unsent: PageBitmap, plan: SendPlan, recency: Option<&Recency>) -> Self {
        let learned = recency.filter(|recency| plan.order == Order::Recency && !recency.is_empty());
        let pivots = plan.live_pivots().unwrap_or_default();
        Self {
            by_rank: learned.map(|recency| Row::by_rank(&unsent, recency)),
            by_address: Row::by_address(unsent),
            policy: match plan.prepaging {
                Prepaging::None => Policy::Demand,
                _ if cfg!(feature = "planted-regression") => Policy::Demand,
                Prepaging::Push => Policy::Push,
                Prepaging::Forward => Policy::bubbles(&[Direction::Up], pivots, plan.growth),
                Prepaging::Bubble => {
                    Policy::bubbles(&[Direction::Down, Direction::Up], pivots, plan.growth)
                }
            },
            next: 0,
            faults: 0,
        }
    }

    /// Takes note of a fault, and hands out its page; `false` if that was handed out before, or is
    /// among the [promised](RunLimits::promised_pages) pages of a run that is next, or nearly.
    pub fn demand(&mut self, page: PageIndex) -> bool {
        if page.get() >= self.by_address.length() {
            return false;
        }
        let is_due = self.note_fault(page) == Answer::AtOnce && self.by_address.holds(page);
        if is_due && let Some(range) = PageRange::between(page.get(), page.get() + 1) {
            self.hand_out(range);
        }
        is_due
    }

    /// The same for all that is left `around` the page, which lies there, in ascending runs.
    pub(crate) fn demand_around(
        &mut self,
        page: PageIndex,
        around: PageRange,
        runs: &mut Vec<PageRange>,
    ) -> bool {
        if page.get() >= self.by_address.length() {
            return false;
        }
        let is_unsent = self.by_address.holds(page);
        if is_unsent {
            runs.extend(std::iter::from_fn(|| self.next_within(around)));
        }
        self.note_fault(page);
        is_unsent
    }

    fn note_fault(&mut self, page: PageIndex) -> Answer {
        self.faults += 1;
        match &mut self.policy {
            Policy::Demand | Policy::Push => Answer::AtOnce,
            Policy::Bubbles(bubbles) => {
                let row = self.by_rank.as_ref().unwrap_or(&self.by_address);
                bubbles.fault(row.position(page));
                Answer::AtOnce
            }
            // Walks are walks through memory, whatever is hot.
            Policy::Adaptive(adaptive) => adaptive.fault(page.get(), &self.by_address),
        }
    }

    /// Hands out the next run of neighbouring pages; `None` once no page is left, or while all that
    /// are left are held back.
    pub fn next_run(&mut self, limits: RunLimits) -> Option<PageRange> {
        let row = self.by_rank.as_ref().unwrap_or(&self.by_address);
        let choice = match &mut self.policy {
            Policy::Demand => return None,
            Policy::Push => Choice::Push {
                max_pages: limits.push_pages,
            },
            Policy::Bubbles(bubbles) => bubbles.next(row, limits.push_pages),
            Policy::Adaptive(adaptive) => adaptive.next(&self.by_address, limits),
        };
        let piece = match choice {
            Choice::Pages(piece) => piece,
            Choice::Push { max_pages } => {
                let piece = row.ahead(self.next, row.length(), max_pages)?;
                self.next = piece.end();
                piece
            }
        };
        self.hand_out(piece.pages);
        Some(piece.pages)
    }

    /// Hands out all that is left of the neighbourhood of the page that is next, in ascending runs;
    /// `false` as [`next_run`](Self::next_run) gives `None`.
    pub(crate) fn next_around(
        &mut self,
        around: impl Fn(PageIndex) -> PageRange,
        runs: &mut Vec<PageRange>,
    ) -> bool {
        let Some(next) = self.next_run(RunLimits::same(1)) else {
            return false;
        };
        self.hand_back(next);
        let around = around(next.first());
        runs.extend(std::iter::from_fn(|| self.next_within(around)));
        true
    }

    /// Hands out the first run of pages that are left in `range`.
    pub fn next_within(&mut self, range: PageRange) -> Option<PageRange> {
        let piece = self
            .by_address
            .ahead(range.first().get(), range.pages(), u64::MAX)?;
        let run = PageRange::between(piece.position, piece.end().min(range.end()))?;
        self.hand_out(run);
        Some(run)
    }

    /// Takes pages back that were handed out and did not leave: they will be handed out again.
    pub fn put_back(&mut self, pages: PageRange) {
        self.hand_back(pages);
        self.next = 0;
    }

    /// Faults that were noted.
    pub fn faults(&self) -> u64 {
        self.faults
    }

    /// Whether pages are held back until they are demanded (see [`Prepaging::None`]).
    pub fn holds_back(&self) -> bool {
        matches!(self.policy, Policy::Demand) && self.has_unsent()
    }

    /// Holds nothing back from now on.
    pub fn drain(&mut self) {
        if matches!(self.policy, Policy::Demand) {
            self.policy = Policy::Push;
        }
    }

    fn has_unsent(&self) -> bool {
        let row = &self.by_address;
        row.ahead(self.next, row.length(), 1).is_some()
    }

    fn hand_back(&mut self, pages: PageRange) {
        self.by_address.add(pages);
        if let Some(by_rank) = &mut self.by_rank {
            by_rank.add(pages);
        }
    }

    fn hand_out(&mut self, pages: PageRange) {
        self.by_address.remove(pages);
        if let Some(by_rank) = &mut self.by_rank {
            by_rank.remove(pages);
        }
    }
}

#[cfg(test)]
mod tests;
