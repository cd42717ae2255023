//! Pre-paging that follows what the faults say.
//!
//! Every fault is a question: does it continue an earlier one? A *front* is one edge of the bubble
//! around a fault, and a fault that lies a little beyond the edge, or in what the front has sent
//! since it was last confirmed and what may still be on its way, confirms it: it is a *walk*.
//!
//! ```text
//! fault --continues no front--> two new fronts, up and down: small steps, a little credit
//!    \---continues a front----> that front: twice the step, twice the credit
//! next  --fronts with credit, in turns: those of the latest fault, and the latest walks
//!    \---no front has credit--> the push
//! ```
//!
//! So a guest that walks through its memory has its pages sent ahead of it in ever larger runs; a
//! guest that works around a place has the place sent; and after some faults that continued
//! nothing, new fronts begin without credit: the push has the link to itself, in large runs, until
//! faults follow each other again.
//!
//! Several walks take turns, because a guest that sorts needs both ends of what it sorts: if the
//! one it waits at had the link to itself, the other would be served fault by fault meanwhile. For
//! the same reason a fault on a page of a walk's next run is [answered by that run](Answer::InTurn):
//! a page sent for it alone would only have the guest wait again at the page after it.

use crate::order::edge::{Direction, Edge};
use crate::order::plan::Pivots;
use crate::order::recency::Piece;
use crate::order::row::Row;
use crate::order::{Answer, Choice, RunLimits};

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

/// Fronts that take turns for as long as they have credit: the two ends of a sort.
const LATEST: usize = 2;
/// Fronts that take turns at all, and how far the earlier ones of them may get ahead of the last
/// fault heard of them. Our choice, by simulation: processes that take turns find their walks
/// continued, and the one that runs has the link almost to itself.
const MAX_TURNS: usize = 4;
const MAX_AHEAD_PAGES: u64 = 128;

/// Most pages of a run that somebody waits for, if it has his.
const SHORT_RUN_PAGES: u64 = 16;

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
    /// The one heard of last comes first.
    fronts: Vec<Front>,
    faults: u64,
    trust: u32,
    turns: u64,
    /// See [`RunLimits::promised_pages`].
    promised_pages: u64,
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
    /// Sent since that fault.
    ahead_pages: u64,
    /// Number of its last turn.
    turn: u64,
    /// The furthest position at which somebody waits for its next run.
    awaited: Option<u64>,
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
            turns: 0,
            promised_pages: 0,
        }
    }

    /// A fault at `position`.
    pub(super) fn fault(&mut self, position: u64, row: &Row) -> Answer {
        self.faults += 1;
        let continued = self
            .fronts
            .iter()
            .position(|front| front.is_continued_at(position));
        if let Some(n) = continued {
            let mut front = self.fronts.remove(n);
            let answer = front.confirm(self.faults, position, self.promised_pages);
            self.fronts.insert(0, front);
            self.trust = (self.trust + TRUST_GAIN).min(MAX_TRUST);
            return answer;
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
            if !self.make_room() {
                break;
            }
            let mut edge = Edge::of_pivot(position, direction);
            edge.skip_sent(row, IN_FLIGHT_PAGES);
            let front = Front {
                edge,
                fault: self.faults,
                heard_at: position,
                confirmations: 0,
                step_pages,
                credit_pages,
                ahead_pages: 0,
                turn: 0,
                awaited: None,
            };
            self.fronts.insert(0, front);
        }
        Answer::AtOnce
    }

    /// Evicts the front that has gone unheard for longest, unless there is room; one confirmation
    /// makes up for several faults elsewhere. Says whether there is room now: a front at which
    /// somebody waits stays.
    fn make_room(&mut self) -> bool {
        if self.fronts.len() < self.max_fronts {
            return true;
        }
        let idle = (0..self.fronts.len()).filter(|&n| self.fronts[n].awaited.is_none());
        let oldest = idle.min_by_key(|&n| self.fronts[n].merit());
        oldest.map(|n| self.fronts.remove(n)).is_some()
    }

    /// What is next.
    pub(super) fn next(&mut self, row: &Row, limits: RunLimits) -> Choice {
        self.promised_pages = limits.promised_pages;
        while let Some(n) = self.whose_turn() {
            self.turns += 1;
            let front = &mut self.fronts[n];
            front.turn = self.turns;
            if let Some(piece) = front.advance(row, limits.walk_pages) {
                return Choice::Pages(piece);
            }
        }
        Choice::Push {
            max_pages: limits.push_pages,
        }
    }

    /// Of the fronts that take turns the one whose turn is next.
    fn whose_turn(&self) -> Option<usize> {
        let live = || {
            let all = self.fronts.iter().enumerate();
            all.filter(|(_, front)| front.credit_pages > 0)
        };
        let (_, newest) = live().next()?;
        live()
            .filter(|(_, front)| front.confirmations > 0 || front.fault == newest.fault)
            .enumerate()
            .filter(|(rank, (_, front))| front.has_turns(*rank))
            .map(|(_, walk)| walk)
            .min_by_key(|(_, front)| front.due())
            .map(|(n, _)| n)
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

    fn confirm(&mut self, fault: u64, position: u64, promised_pages: u64) -> Answer {
        let next_run = promised_pages.min(self.step_pages);
        let is_promised = self.confirmations > 0
            && u64::try_from(self.edge.distance_to(position))
                .is_ok_and(|distance| distance < next_run);
        self.fault = fault;
        self.heard_at = position;
        self.confirmations += 1;
        self.step_pages = (2 * self.step_pages).min(MAX_STEP_PAGES);
        let earned = FIRST_CREDIT_PAGES << self.confirmations.min(16);
        self.credit_pages = earned.max(2 * self.step_pages).min(MAX_CREDIT_PAGES);
        self.ahead_pages = 0;
        if is_promised {
            self.awaited = Some(position);
            Answer::InTurn
        } else {
            Answer::AtOnce
        }
    }

    /// Whose turn is next, the least first: at which somebody waits, or whose last is longest ago.
    fn due(&self) -> (bool, u64) {
        (self.awaited.is_none(), self.turn)
    }

    /// Whether it takes turns, if so many others were heard of later.
    fn has_turns(&self, rank: usize) -> bool {
        let is_early = rank < MAX_TURNS && self.ahead_pages < MAX_AHEAD_PAGES;
        rank < LATEST || is_early || self.awaited.is_some()
    }

    /// Its next run; `None` if everything beyond was sent, and then it has no credit any more.
    fn advance(&mut self, row: &Row, max_pages: u64) -> Option<Piece> {
        let wanted = self.awaited.map_or(max_pages, |position| {
            let distance = u64::try_from(self.edge.distance_to(position)).unwrap_or(0);
            SHORT_RUN_PAGES.max(distance + 1)
        });
        let max_pages = wanted
            .min(max_pages)
            .min(self.step_pages)
            .min(self.credit_pages);
        let piece = self.edge.advance(row, self.reach_pages(), max_pages);
        let pages = piece.map_or(self.credit_pages, |piece| piece.pages.pages());
        self.credit_pages -= pages;
        self.ahead_pages += pages;
        let edge = self.edge;
        self.awaited = self
            .awaited
            .filter(|&position| piece.is_some() && edge.distance_to(position) >= 0);
        piece
    }

    fn reach_pages(&self) -> u64 {
        self.step_pages.max(MIN_REACH_PAGES)
    }

    fn merit(&self) -> u64 {
        self.fault + 8 * self.confirmations.min(8)
    }
}
