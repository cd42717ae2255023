//! Pre-paging that follows what the faults say.
//!
//! Every fault is a question: does it continue an earlier one? A *front* is one edge of the bubble
//! around a fault, and a fault that lies a little beyond the edge, or in what the front has sent
//! since it was last confirmed and what may still be on its way, confirms it.
//!
//! ```text
//! fault --continues no front--> two new fronts, up and down: small steps, a little credit
//!    \---continues a front----> that front: twice the step, twice the credit
//! next  --the front with credit whose fault is the latest; between two of one fault, in turns
//!    \---no front has credit--> the push
//! ```
//!
//! So a guest that walks through its memory has its pages sent ahead of it in ever larger runs; a
//! guest that works around a place has the place sent; and after some faults that continued
//! nothing, new fronts begin without credit: the push has the link to itself, in large runs, until
//! faults follow each other again. Several walks are several fronts, and the one that somebody
//! waits at is the one that is served.

use crate::order::edge::{Direction, Edge};
use crate::order::plan::Pivots;
use crate::order::row::Row;
use crate::order::{Choice, RunLimits};

/// Pages sent in one run by a front that no fault has confirmed, where little is trusted. Our choice,
/// by simulation.
const FIRST_STEP_PAGES: u64 = 8;
/// Longest run of a front: 1 MiB, beyond which installs gain nothing.
const MAX_STEP_PAGES: u64 = 256;
/// Pages that such a front may send. Our choice, by simulation.
const FIRST_CREDIT_PAGES: u64 = 2 * FIRST_STEP_PAGES;
/// Most pages that a front may send before it needs another confirmation. Our choice: 32 MiB, a
/// quarter of a second of a gigabit link.
const MAX_CREDIT_PAGES: u64 = 8192;
/// Fewest positions beyond an edge in which a fault confirms it, and sent pages that it skips.
const MIN_REACH_PAGES: u64 = 8;

/// How far what a push has sent, and what is still on its way, may reach beyond a fault on a page
/// of it: a guest that walks along with the push faults at every run, and is a walk like others.
const IN_FLIGHT_PAGES: u64 = 256;

/// Trust in new faults: what a confirmation adds, and a fault without one takes away.
const MAX_TRUST: u32 = 8;
const TRUST_GAIN: u32 = 4;
/// Least trust that earns a new fault some credit: more than one lucky hit gives.
const MIN_TRUST: u32 = 5;
/// Most trust that a new fault finds at which its step is not yet a longer one. Our choice, by
/// measurement: sorts have a tenth fewer faults.
const CAREFUL_TRUST: u32 = 6;

/// The fronts, and how far a new fault is trusted to be continued.
#[derive(Clone, Debug)]
pub(super) struct Adaptive {
    directions: &'static [Direction],
    max_fronts: usize,
    fronts: Vec<Front>,
    faults: u64,
    trust: u32,
}

/// An edge and how far it may go.
#[derive(Clone, Copy, Debug)]
struct Front {
    edge: Edge,
    /// Number of the fault that began or last confirmed it.
    fault: u64,
    /// Position of that fault.
    heard_at: u64,
    confirmations: u64,
    step_pages: u64,
    credit_pages: u64,
}

impl Adaptive {
    /// Fronts that move in these directions, the last one first.
    pub(super) fn new(directions: &'static [Direction], pivots: Pivots) -> Self {
        Self {
            directions,
            max_fronts: directions.len() * usize::from(pivots.get()),
            fronts: Vec::new(),
            faults: 0,
            trust: MAX_TRUST,
        }
    }

    /// A fault at `position`.
    pub(super) fn fault(&mut self, position: u64, row: &Row) {
        self.faults += 1;
        let number = self.faults;
        let continued = self
            .fronts
            .iter_mut()
            .filter(|front| front.is_continued_at(position))
            .max_by_key(|front| front.fault);
        if let Some(front) = continued {
            front.confirm(number, position);
            self.trust = (self.trust + TRUST_GAIN).min(MAX_TRUST);
            return;
        }
        self.trust = self.trust.saturating_sub(1);
        let eager = self.trust.saturating_sub(CAREFUL_TRUST);
        let step_pages = FIRST_STEP_PAGES << eager;
        let credit_pages = if self.trust >= MIN_TRUST {
            2 * step_pages
        } else {
            0
        };
        for &direction in self.directions {
            self.make_room();
            let mut edge = Edge::of_pivot(position, direction);
            edge.skip_sent(row, IN_FLIGHT_PAGES);
            self.fronts.push(Front {
                edge,
                fault: number,
                heard_at: position,
                confirmations: 0,
                step_pages,
                credit_pages,
            });
        }
    }

    /// Evicts the front that has gone unheard for longest; one confirmation makes up for several
    /// faults elsewhere.
    fn make_room(&mut self) {
        if self.fronts.len() >= self.max_fronts {
            let oldest = (0..self.fronts.len()).min_by_key(|&n| self.fronts[n].merit());
            oldest.map(|n| self.fronts.swap_remove(n));
        }
    }

    /// What is next.
    pub(super) fn next(&mut self, row: &Row, limits: RunLimits) -> Choice {
        loop {
            let first = (0..self.fronts.len())
                .filter(|&n| self.fronts[n].credit_pages > 0)
                .max_by_key(|&n| (self.fronts[n].fault, self.fronts[n].credit_pages));
            let Some(first) = first else {
                return Choice::Push {
                    max_pages: limits.push_pages,
                };
            };
            let front = &mut self.fronts[first];
            let max_pages = limits
                .walk_pages
                .min(front.step_pages)
                .min(front.credit_pages);
            match front.edge.advance(row, front.reach_pages(), max_pages) {
                Some(piece) => {
                    front.credit_pages -= piece.pages.pages();
                    return Choice::Pages(piece);
                }
                // Everything beyond was sent.
                None => front.credit_pages = 0,
            }
        }
    }
}

impl Front {
    /// Whether a fault at `position` comes of the same walk as the last one heard here: it lies
    /// beyond that one, and not far beyond the edge.
    fn is_continued_at(&self, position: u64) -> bool {
        let distance = self.edge.distance_to(position);
        let heard = self.edge.distance_to(self.heard_at);
        let reach = i64::try_from(self.reach_pages()).expect("a step is small");
        distance > heard && distance < reach
    }

    fn confirm(&mut self, fault: u64, position: u64) {
        self.fault = fault;
        self.heard_at = position;
        self.confirmations += 1;
        self.step_pages = (2 * self.step_pages).min(MAX_STEP_PAGES);
        let earned = FIRST_CREDIT_PAGES << self.confirmations.min(16);
        self.credit_pages = earned.max(2 * self.step_pages).min(MAX_CREDIT_PAGES);
    }

    fn reach_pages(&self) -> u64 {
        self.step_pages.max(MIN_REACH_PAGES)
    }

    fn merit(&self) -> u64 {
        self.fault + 8 * self.confirmations.min(8)
    }
}
