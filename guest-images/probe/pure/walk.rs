//! The workloads that visit page after page: in which order, and what a visit does.
//!
//! ```text
//! filling --(every page written once)--> visiting, pass after pass
//! ```

#[cfg(test)]
mod tests;

mod breathing;

use breathing::Breathing;

use super::mix::Random;
use super::options::{Options, PAGE_BYTES, Workload};
use super::pages::{Action, Corrupt, Pages, Visit};
use super::permutation::Permutation;
use super::zipf;

/// A run of pages of the working set that belongs to one processor or one array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Number of the first page.
    pub first: u64,
    /// How many pages there are.
    pub pages: u64,
}

impl Part {
    /// Cuts these pages into `shares` parts whose sizes differ by one page at most, and gives number
    /// `share`.
    #[must_use]
    pub fn share(self, share: u64, shares: u64) -> Self {
        let start = self.pages / shares * share + (self.pages % shares).min(share);
        let extra = u64::from(share < self.pages % shares);
        Self {
            first: self.first + start,
            pages: self.pages / shares + extra,
        }
    }

    /// Whether page number `index` is one of these.
    #[must_use]
    pub fn contains(self, index: u64) -> bool {
        (self.first..self.first + self.pages).contains(&index)
    }
}

#[derive(Clone, Debug)]
enum Order {
    Sequential {
        next: u64,
        action: Action,
    },
    Random(Random),
    Zipf {
        random: Random,
        pages_by_rank: Permutation,
    },
    Chase {
        cycle: Permutation,
        position: u64,
        page: u64,
    },
    Breathing(Breathing),
}

/// Visits to the pages of one part.
#[derive(Clone, Debug)]
pub struct Walk {
    part: Part,
    seed: u64,
    order: Order,
    filled: u64,
    visits: u64,
    passes: u64,
}

impl Walk {
    /// Prepares to fill and then to visit `part`, or nothing if the workload does not visit pages.
    #[must_use]
    pub fn new(options: &Options, part: Part) -> Option<Self> {
        let seed = options.seed;
        let random = Random::new(seed ^ part.first);
        let permutation = Permutation::new(part.pages, seed ^ part.first);
        let order = match options.workload {
            Workload::Idle
            | Workload::Quicksort
            | Workload::DiskSeq
            | Workload::DiskRandom
            | Workload::NetSend
            | Workload::NetReceive => return None,
            Workload::SeqRead => Order::Sequential {
                next: 0,
                action: Action::Check,
            },
            Workload::SeqWrite => Order::Sequential {
                next: 0,
                action: Action::CheckAndRewrite,
            },
            Workload::Random => Order::Random(random),
            Workload::Zipf => Order::Zipf {
                random,
                pages_by_rank: permutation,
            },
            Workload::Chase => {
                let page = permutation.at(0);
                Order::Chase {
                    cycle: permutation,
                    position: 0,
                    page,
                }
            }
            Workload::GrowShrink => {
                let together = options.step_bytes.div_ceil(PAGE_BYTES);
                Order::Breathing(Breathing::new(part.pages, together, options.revisits))
            }
        };
        (part.pages > 0).then_some(Self {
            part,
            seed,
            order,
            filled: 0,
            visits: 0,
            passes: 0,
        })
    }

    /// Makes the next visit.
    ///
    /// # Errors
    /// A wrong word in the page visited.
    pub fn step(&mut self, pages: &mut impl Pages) -> Result<(), Corrupt> {
        let visit = if self.is_filling() {
            self.next_to_fill()
        } else {
            self.next_visit()
        };
        let changes_hands = matches!(&self.order, Order::Breathing(_));
        if changes_hands && visit.action == Action::Fill {
            pages.take(visit.index);
        }
        let outcome = visit.make(pages, self.seed);
        if changes_hands && !self.is_filling() && !self.holds(visit.index) {
            pages.give_back(visit.index);
        }
        if let (Order::Chase { page, .. }, Action::Check) = (&mut self.order, visit.action) {
            *page = outcome.unwrap_or(visit.link);
        }
        outcome.map(drop)
    }

    /// Whether some page has not been written yet.
    #[must_use]
    pub fn is_filling(&self) -> bool {
        match &self.order {
            Order::Breathing(breathing) => self.filled < breathing.least_pages(),
            _ => self.filled < self.part.pages,
        }
    }

    /// How often every page was visited, or for the draws at random, as many as there are.
    #[must_use]
    pub fn passes(&self) -> u64 {
        self.passes
    }

    /// How many pages have content now.
    #[must_use]
    pub fn held_pages(&self) -> u64 {
        match &self.order {
            Order::Breathing(breathing) => self.filled.min(breathing.used_pages()),
            _ => self.filled,
        }
    }

    /// Checks the page at `place` of those that have content now, and gives its number.
    pub fn check_at(&self, place: u64, pages: &mut impl Pages) -> (u64, Result<(), Corrupt>) {
        let visit = self.visit(place, Action::Check);
        (visit.index, visit.make(pages, self.seed).map(drop))
    }

    /// Whether page number `index` has content now.
    #[must_use]
    pub fn holds(&self, index: u64) -> bool {
        let all = !self.is_filling() && self.part.contains(index);
        match &self.order {
            Order::Breathing(_) => all && index - self.part.first < self.held_pages(),
            _ => all,
        }
    }

    /// The page at `place` in the order of filling.
    fn visit(&self, place: u64, action: Action) -> Visit {
        let first = self.part.first;
        match &self.order {
            Order::Chase { cycle, .. } => {
                let link = cycle.at((place + 1) % self.part.pages);
                Visit {
                    index: first + cycle.at(place),
                    link,
                    action,
                }
            }
            _ => Visit {
                index: first + place,
                link: 0,
                action,
            },
        }
    }

    fn next_to_fill(&mut self) -> Visit {
        self.filled += 1;
        self.visit(self.filled - 1, Action::Fill)
    }

    fn next_visit(&mut self) -> Visit {
        self.visits += 1;
        let Part { first, pages } = self.part;
        self.passes = self.visits / pages;
        let changing = if self.visits.is_multiple_of(2) {
            Action::CheckAndRewrite
        } else {
            Action::Check
        };
        let (place, link, action) = match &mut self.order {
            Order::Sequential { next, action } => {
                let place = *next;
                *next = (place + 1) % pages;
                (place, 0, *action)
            }
            Order::Random(random) => (random.below(pages), 0, changing),
            Order::Zipf {
                random,
                pages_by_rank,
            } => (pages_by_rank.at(zipf::rank(random, pages)), 0, changing),
            Order::Chase {
                cycle,
                position,
                page,
            } => {
                *position = (*position + 1) % pages;
                (*page, cycle.at(*position), Action::Check)
            }
            Order::Breathing(breathing) => {
                let (place, action) = breathing.next();
                self.passes = breathing.cycles();
                self.filled = self.filled.max(breathing.used_pages());
                (place, 0, action)
            }
        };
        Visit {
            index: first + place,
            link,
            action,
        }
    }
}
