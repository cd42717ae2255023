//! The order of `grow-shrink`: the used part grows from an eighth to the whole, then shrinks back, by
//! a page or by more at once, and between two such steps pages of the used part are checked and
//! rewritten, for each page of a step one unless more are wanted.
//!
//! ```text
//! growing --(all pages used)--> shrinking --(an eighth used: one cycle done)--> growing
//! ```

use crate::pure::pages::Action;

/// Our choice: because the paper's self-ballooning has to see most of the memory come and go.
const LEAST_SHARE: u64 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Growing,
    Shrinking,
}

/// Which pages of `0..pages` are in use, and which is next.
#[derive(Clone, Debug)]
pub struct Breathing {
    pages: u64,
    used: u64,
    revisited: u64,
    /// Pages of this step that are still to be taken or given back.
    together_left: u64,
    together: u64,
    /// Pages to revisit before the next step.
    revisits_left: u64,
    revisits: u64,
    direction: Direction,
    cycles: u64,
}

impl Breathing {
    /// Starts with the least part in use, which has to be filled first; takes or gives back so many pages
    /// `together`, at least one, and makes so many `revisits` for each.
    pub fn new(pages: u64, together: u64, revisits: u64) -> Self {
        let mut breathing = Self {
            pages,
            used: 0,
            revisited: 0,
            together_left: together,
            together,
            revisits_left: 0,
            revisits,
            direction: Direction::Growing,
            cycles: 0,
        };
        breathing.used = breathing.least_pages();
        breathing
    }

    /// How many pages always stay in use.
    pub fn least_pages(&self) -> u64 {
        self.pages.div_ceil(LEAST_SHARE)
    }

    /// How many pages are in use: the first ones.
    pub fn used_pages(&self) -> u64 {
        self.used
    }

    /// How often the used part has grown and shrunk back.
    pub fn cycles(&self) -> u64 {
        self.cycles
    }

    /// The next page and what to do with it.
    pub fn next(&mut self) -> (u64, Action) {
        let Some(left) = self.revisits_left.checked_sub(1) else {
            self.together_left -= 1;
            if self.together_left == 0 {
                self.together_left = self.together;
                self.revisits_left = self.together.saturating_mul(self.revisits);
            }
            return self.resize();
        };
        self.revisits_left = left;
        self.revisited = (self.revisited + 1) % self.used;
        (self.revisited, Action::CheckAndRewrite)
    }

    fn resize(&mut self) -> (u64, Action) {
        match self.direction {
            Direction::Growing if self.used < self.pages => {
                self.used += 1;
                (self.used - 1, Action::Fill)
            }
            Direction::Growing => {
                self.direction = Direction::Shrinking;
                (self.used - 1, Action::Check)
            }
            Direction::Shrinking if self.used > self.least_pages() => {
                self.used -= 1;
                (self.used, Action::Check)
            }
            Direction::Shrinking => {
                self.direction = Direction::Growing;
                self.cycles += 1;
                (self.used - 1, Action::Check)
            }
        }
    }
}
