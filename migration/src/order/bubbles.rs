//! Pre-paging as the papers define it: bubbles around the most recent faults.

use std::collections::VecDeque;

use crate::order::edge::{Direction, Edge};
use crate::order::plan::Pivots;
use crate::order::row::Row;
use crate::order::{Choice, recency::Piece};

/// Pages by which an edge grows in its turn. The papers' step is a page; ours is this many
/// neighbours, so that they are sent and installed at once.
const STEP_PAGES: u64 = 16;

/// Bubbles that grow in turns, an edge at a time.
///
/// With one pivot (VEE 2009, section 3.2) its edges skip what was sent, so they come by every page.
/// With several (OSR 2009) an edge that meets a sent page stops, and pages between the bubbles are
/// left to a sticky pivot at the lowest page, which is never evicted and skips what was sent.
#[derive(Clone, Debug)]
pub(super) struct Bubbles {
    directions: &'static [Direction],
    pivots: Pivots,
    /// Faults so far; a pivot's number is the count that included it.
    faults: u64,
    /// Whose turn is next.
    lanes: VecDeque<Lane>,
}

/// Something that takes turns.
#[derive(Clone, Copy, Debug)]
enum Lane {
    /// The sticky pivot.
    Sticky,
    /// An edge of the bubble around a fault.
    Bubble { fault: u64, edge: Edge },
}

impl Bubbles {
    /// Bubbles that grow in these directions, the last one first.
    pub(super) fn new(directions: &'static [Direction], pivots: Pivots) -> Self {
        let sticky = (pivots != Pivots::ONE).then_some(Lane::Sticky);
        Self {
            directions,
            pivots,
            faults: 0,
            lanes: sticky.into_iter().collect(),
        }
    }

    /// A fault: its bubble comes first, and the oldest may have to go.
    pub(super) fn fault(&mut self, position: u64) {
        self.faults += 1;
        let newest = self.faults;
        let kept = u64::from(self.pivots.get());
        self.lanes.retain(|lane| match lane {
            Lane::Sticky => true,
            Lane::Bubble { fault, .. } => newest - fault < kept,
        });
        for &direction in self.directions {
            self.lanes.push_front(Lane::Bubble {
                fault: newest,
                edge: Edge::of_pivot(position, direction),
            });
        }
    }

    /// What is next; edges that have stopped are forgotten.
    pub(super) fn next(&mut self, row: &Row, max_pages: u64) -> Choice {
        let max_pages = max_pages.min(STEP_PAGES);
        while let Some(mut lane) = self.lanes.pop_front() {
            let choice = match &mut lane {
                Lane::Sticky => Some(Choice::Push { max_pages }),
                Lane::Bubble { edge, .. } => self.grow(edge, row, max_pages).map(Choice::Pages),
            };
            if let Some(choice) = choice {
                self.lanes.push_back(lane);
                return choice;
            }
        }
        Choice::Push { max_pages }
    }

    fn grow(&self, edge: &mut Edge, row: &Row, max_pages: u64) -> Option<Piece> {
        let reach = if self.pivots == Pivots::ONE {
            row.length()
        } else {
            1
        };
        edge.advance(row, reach, max_pages)
    }
}
