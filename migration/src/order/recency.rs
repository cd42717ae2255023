//! Which pages were written last, and the row in which that puts all of them.

use crate::bitmap::PageBitmap;
use crate::page::{PageIndex, PageRange};

/// Rounds told apart. Our choice: the paper's list forgets as well, and each round costs a bit for
/// every page and a pass over them.
const MAX_ROUNDS: usize = 8;

/// What dirty tracking has taught about the use of a memory: the pages written in each of the
/// latest rounds (OSR 2009, section 4.3, orders by least recent use; a round is the grain here).
///
/// Feed it the dirty pages of each round, oldest first, and give it to
/// [`SendOrder::new`](crate::SendOrder::new).
#[derive(Clone, Debug, Default)]
pub struct Recency {
    /// Newest first.
    rounds: Vec<PageBitmap>,
}

impl Recency {
    /// Nothing learned: the order is that of addresses.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a round that is newer than all others: the pages that were written in it.
    pub fn add_round(&mut self, written: PageBitmap) {
        self.rounds.insert(0, written);
        self.rounds.truncate(MAX_ROUNDS);
    }

    /// Whether nothing was learned.
    pub fn is_empty(&self) -> bool {
        self.rounds.is_empty()
    }
}

/// All pages of a memory in one row, hottest first, by address where equally hot.
///
/// Kept as pieces in which neighbours in the row are neighbours in memory.
#[derive(Clone, Debug)]
pub(super) struct Ranking {
    /// By position.
    pieces: Vec<Piece>,
    /// Subscripts into `pieces`, by address.
    by_address: Vec<u32>,
}

/// Pages that stand next to each other in memory and in the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Position of its first page in the row.
    pub(super) position: u64,
    pub(super) pages: PageRange,
}

impl Ranking {
    /// The row of all `pages` pages.
    pub(super) fn new(pages: u64, recency: &Recency) -> Self {
        let mut ranking = Self {
            pieces: Vec::new(),
            by_address: Vec::new(),
        };
        let mut placed = PageBitmap::empty(pages);
        for round in &recency.rounds {
            let mut at = 0;
            while let Some(written) = round.next_run(at, pages) {
                at = written.end();
                while let Some(run) = placed.next_gap(written.first().get(), written.end()) {
                    ranking.append(run);
                    placed.insert_range(run);
                }
            }
        }
        let mut at = 0;
        while let Some(run) = placed.next_gap(at, pages) {
            at = run.end();
            ranking.append(run);
        }
        ranking.by_address = (0..).take(ranking.pieces.len()).collect();
        let pieces = &ranking.pieces;
        ranking
            .by_address
            .sort_unstable_by_key(|&n| piece(pieces, n).pages.first());
        ranking
    }

    fn append(&mut self, pages: PageRange) {
        let position = self.pieces.last().map_or(0, |last| last.end());
        self.pieces.push(Piece { position, pages });
    }

    /// The piece in which the page at `position` stands.
    pub(super) fn at(&self, position: u64) -> Piece {
        let following = self
            .pieces
            .partition_point(|piece| piece.position <= position);
        self.pieces[following - 1]
    }

    /// The piece in which `page` stands.
    pub(super) fn of(&self, page: PageIndex) -> Piece {
        let pieces = &self.pieces;
        let following = self
            .by_address
            .partition_point(|&n| piece(pieces, n).pages.first() <= page);
        *piece(pieces, self.by_address[following - 1])
    }
}

impl Piece {
    /// The position just past its last page.
    pub(super) fn end(&self) -> u64 {
        self.position + self.pages.pages()
    }

    /// Position of a page of this piece.
    pub(super) fn position_of(&self, page: PageIndex) -> u64 {
        self.position + (page.get() - self.pages.first().get())
    }

    /// What stands at positions `first..end`, which are some of this piece's.
    pub(super) fn part(&self, first: u64, end: u64) -> Self {
        let page = |position: u64| self.pages.first().get() + (position - self.position);
        Self {
            position: first,
            pages: PageRange::between(page(first), page(end))
                .expect("the positions are some of the piece's"),
        }
    }
}

fn piece(pieces: &[Piece], number: u32) -> &Piece {
    let subscript = usize::try_from(number).expect("a host has at least 32 bits");
    &pieces[subscript]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pages: u64, members: &[u64]) -> PageBitmap {
        let mut set = PageBitmap::empty(pages);
        for &page in members {
            set.insert(PageIndex::new(page));
        }
        set
    }

    #[test]
    fn ranking_of_two_rounds_puts_the_newer_first_and_each_page_once() {
        let mut recency = Recency::new();
        recency.add_round(set(10, &[1, 2, 3, 8]));
        recency.add_round(set(10, &[2, 7, 8]));
        let ranking = Ranking::new(10, &recency);
        let row: Vec<_> = (0..10)
            .map(|position| {
                let piece = ranking.at(position);
                let page = piece.part(position, position + 1).pages.first();
                assert_eq!(ranking.of(page).position_of(page), position);
                page.get()
            })
            .collect();
        assert_eq!(row, [2, 7, 8, 1, 3, 0, 4, 5, 6, 9]);
    }

    #[test]
    fn rounds_beyond_those_kept_are_forgotten() {
        let mut recency = Recency::new();
        for page in 0..20 {
            recency.add_round(set(20, &[page]));
        }
        let ranking = Ranking::new(20, &recency);
        assert_eq!(ranking.of(PageIndex::new(19)).position, 0);
        assert_eq!(ranking.of(PageIndex::new(12)).position, 7);
        assert_eq!(ranking.at(8).pages.first(), PageIndex::new(0));
    }
}
