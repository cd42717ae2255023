//! The edge of a bubble: where it grows, and how far it looks for the next unsent page.

use crate::order::recency::Piece;
use crate::order::row::Row;

/// Where an edge moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// To higher positions.
    Up,
    /// To lower positions.
    Down,
}

/// The boundary between what a bubble has covered and what it has not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    pub(super) direction: Direction,
    /// The bubble ends just before this position, or begins at it if the edge moves down.
    pub(super) at: u64,
}

impl Edge {
    /// The edge in this direction of a bubble that covers no more than its pivot.
    pub(super) fn of_pivot(pivot: u64, direction: Direction) -> Self {
        let at = match direction {
            Direction::Up => pivot + 1,
            Direction::Down => pivot,
        };
        Self { direction, at }
    }

    /// Moves past what was sent, if that ends within `reach` positions.
    pub(super) fn skip_sent(&mut self, row: &Row, reach: u64) {
        // What is found next stays where it is: only a copy of the edge moves past it.
        let mut ahead = *self;
        if let Some(next) = ahead.advance(row, reach, 1) {
            self.at = match self.direction {
                Direction::Up => next.position,
                Direction::Down => next.end(),
            };
        }
    }

    /// The next unsent pages on the edge's way, at most `max_pages`; the edge moves past them.
    /// `None` if there are none within `reach` positions.
    pub(super) fn advance(&mut self, row: &Row, reach: u64, max_pages: u64) -> Option<Piece> {
        let piece = match self.direction {
            Direction::Up => row.ahead(self.at, reach, max_pages)?,
            Direction::Down => row.behind(self.at, reach, max_pages)?,
        };
        self.at = match self.direction {
            Direction::Up => piece.end(),
            Direction::Down => piece.position,
        };
        Some(piece)
    }

    /// How far beyond the edge `position` lies; negative if the bubble has covered it.
    pub(super) fn distance_to(&self, position: u64) -> i64 {
        match self.direction {
            Direction::Up => position.wrapping_sub(self.at).cast_signed(),
            Direction::Down => self.at.wrapping_sub(position + 1).cast_signed(),
        }
    }
}
