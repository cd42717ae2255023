//! Unsent pages in a row, by address or by rank.

use crate::bitmap::PageBitmap;
use crate::order::recency::{Piece, Ranking, Recency};
use crate::page::{PageIndex, PageRange};

/// Pages in the order in which "next" and "neighbour" are meant, and which of them are unsent.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// By position.
    unsent: PageBitmap,
    /// Position and address are the same without it.
    ranking: Option<Ranking>,
}

impl Row {
    /// The pages of `unsent` by address.
    pub(super) fn by_address(unsent: PageBitmap) -> Self {
        Self {
            unsent,
            ranking: None,
        }
    }

    /// The pages of `unsent` by rank.
    pub(super) fn by_rank(unsent: &PageBitmap, recency: &Recency) -> Self {
        let pages = unsent.pages();
        let mut row = Self {
            unsent: PageBitmap::empty(pages),
            ranking: Some(Ranking::new(pages, recency)),
        };
        let mut at = 0;
        while let Some(run) = unsent.next_run(at, pages) {
            at = run.end();
            row.add(run);
        }
        row
    }

    /// Where `page` stands.
    pub(super) fn position(&self, page: PageIndex) -> u64 {
        self.piece_of(page).position_of(page)
    }

    /// Number of positions.
    pub(super) fn length(&self) -> u64 {
        self.unsent.pages()
    }

    /// Whether `page` exists and is unsent.
    pub(super) fn holds(&self, page: PageIndex) -> bool {
        page.get() < self.length() && self.unsent.contains(PageIndex::new(self.position(page)))
    }

    /// The first unsent pages at or after position `from`, neighbours in memory too: they begin
    /// within `reach` positions and are at most `max_pages`.
    pub(super) fn ahead(&self, from: u64, reach: u64, max_pages: u64) -> Option<Piece> {
        let found = self.unsent.next_run(from, from.saturating_add(reach))?;
        let position = found.first().get();
        let piece = self.piece_at(position);
        let limit = piece.end().min(position.saturating_add(max_pages));
        let run = self.unsent.next_run(position, limit)?;
        Some(piece.part(position, run.end()))
    }

    /// The last unsent pages before position `until`, neighbours in memory too: they end within
    /// `reach` positions and are at most `max_pages`.
    pub(super) fn behind(&self, until: u64, reach: u64, max_pages: u64) -> Option<Piece> {
        let found = self
            .unsent
            .previous_run(until, until.saturating_sub(reach))?;
        let end = found.end();
        let piece = self.piece_at(end - 1);
        let floor = piece.position.max(end.saturating_sub(max_pages));
        let run = self.unsent.previous_run(end, floor)?;
        Some(piece.part(run.first().get(), end))
    }

    /// Marks pages as unsent.
    pub(super) fn add(&mut self, pages: PageRange) {
        self.for_each_piece(pages, PageBitmap::insert_range);
    }

    /// Marks pages as sent.
    pub(super) fn remove(&mut self, pages: PageRange) {
        self.for_each_piece(pages, PageBitmap::remove_range);
    }

    /// Does something with the positions of `pages`, which are in a row within each piece.
    fn for_each_piece(&mut self, pages: PageRange, act: impl Fn(&mut PageBitmap, PageRange)) {
        let mut rest = Some(pages);
        while let Some(left) = rest {
            let piece = self.piece_of(left.first());
            let end = left.end().min(piece.pages.end());
            let first = piece.position_of(left.first());
            let positions = PageRange::between(first, first + (end - left.first().get()));
            act(&mut self.unsent, positions.expect("a piece is not empty"));
            rest = PageRange::between(end, left.end());
        }
    }

    fn piece_of(&self, page: PageIndex) -> Piece {
        match &self.ranking {
            Some(ranking) => ranking.of(page),
            None => self.whole(),
        }
    }

    fn piece_at(&self, position: u64) -> Piece {
        match &self.ranking {
            Some(ranking) => ranking.at(position),
            None => self.whole(),
        }
    }

    fn whole(&self) -> Piece {
        Piece {
            position: 0,
            pages: PageRange::between(0, self.length()).expect("only a row with pages is asked"),
        }
    }
}
