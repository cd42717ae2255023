//! Free pages written and read on purpose, to see what the host made of them.

#[cfg(test)]
mod tests;

use super::frames::{Frame, Frames};
use crate::pure::mix::mix;
use crate::pure::pages::Pages;
use crate::pure::pattern::WORDS;

/// What was found in pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// How many were free, so that they could be read.
    pub pages: u64,
    /// How many of them had nothing but zeroes.
    pub zero: u64,
    /// How many had just what [`Frames::fill`] writes.
    pub filled: u64,
}

impl Frames<'_> {
    /// Fills those of `count` pages from number `first` on that are free; returns how many.
    pub fn fill(&self, first: u64, count: u64, pages: &mut impl Pages) -> u64 {
        let mut filled = 0;
        for index in self.numbers(first, count) {
            if self.claim(index).is_some() {
                let words = content(pages.gpa(index));
                for (place, word) in pages.page(index).iter_mut().zip(words) {
                    *place = word;
                }
                self.release(index, Frame::Dirty);
                filled += 1;
            }
        }
        filled
    }

    /// Reads every word of those pages that are free.
    pub fn touch(&self, first: u64, count: u64, pages: &mut impl Pages) -> Touched {
        let mut touched = Touched::default();
        for index in self.numbers(first, count) {
            if let Some(before) = self.claim(index) {
                let words = content(pages.gpa(index));
                let page = pages.page(index);
                touched.pages += 1;
                touched.zero += u64::from(page.iter().all(|word| *word == 0));
                touched.filled += u64::from(page.iter().copied().eq(words));
                self.release(index, before);
            }
        }
        touched
    }

    fn numbers(&self, first: u64, count: u64) -> core::ops::Range<u64> {
        first..first.saturating_add(count).min(self.count())
    }
}

/// What a filled page holds: words that depend on where they are, none of them zero.
fn content(gpa: u64) -> impl Iterator<Item = u64> {
    (gpa..)
        .step_by(8)
        .take(WORDS)
        .map(|address| mix(address) | 1)
}
