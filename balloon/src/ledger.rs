//! Which pages the guest has put into the balloon and promised not to use.

use serde::{Deserialize, Serialize};

use crate::pfn::{Pfn, PfnRange, coalesce};

#[cfg(test)]
mod tests;

/// A bitmap of guest frame numbers.
///
/// A page in it has no content that matters: its guest agreed (VIRTIO_BALLOON_F_MUST_TELL_HOST)
/// to take it out before using it. Pages that were only reported free are not in it, since the
/// guest takes them back without a word. It grows with the highest page put in, at one bit a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Page `n` is bit `n % 64` of word `n / 64`; the last word is not zero.
    words: Vec<u64>,
}

/// A ledger as it is saved: its words, low pages first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerState {
    /// Sixty-four pages each.
    pub words: Vec<u64>,
}

impl Ledger {
    /// Puts `range` in.
    pub fn insert(&mut self, range: PfnRange) {
        let words = word_of(Pfn(range.end().0 - 1)) + 1;
        if self.words.len() < words {
            self.words.resize(words, 0);
        }
        for (word, mask) in words_of(range) {
            self.words[word] |= mask;
        }
    }

    /// Takes `range` out, as far as it is in.
    pub fn remove(&mut self, range: PfnRange) {
        for (word, mask) in words_of(range) {
            let Some(word) = self.words.get_mut(word) else {
                break;
            };
            *word &= !mask;
        }
        while self.words.last() == Some(&0) {
            self.words.pop();
        }
    }

    /// Puts each of `ranges` in.
    pub fn insert_all(&mut self, ranges: &[PfnRange]) {
        ranges.iter().for_each(|range| self.insert(*range));
    }

    /// Takes each of `ranges` out.
    pub fn remove_all(&mut self, ranges: &[PfnRange]) {
        ranges.iter().for_each(|range| self.remove(*range));
    }

    /// Whether a page is in.
    pub fn contains(&self, pfn: Pfn) -> bool {
        self.words
            .get(word_of(pfn))
            .is_some_and(|word| word & bit_of(pfn) != 0)
    }

    /// How many pages are in.
    pub fn pages(&self) -> u64 {
        self.words
            .iter()
            .map(|word| u64::from(word.count_ones()))
            .sum()
    }

    /// The pages that are in, ascending, in as few ranges as possible.
    pub fn ranges(&self) -> Vec<PfnRange> {
        let pfns = (0..).zip(&self.words).flat_map(|(index, word)| {
            (0..64)
                .filter(move |bit| word & (1 << bit) != 0)
                .map(move |bit| Pfn(index * 64 + bit))
        });
        coalesce(pfns)
    }

    pub(crate) fn save(&self) -> LedgerState {
        let Self { words } = self;
        LedgerState {
            words: words.clone(),
        }
    }

    /// The caller checks that [`Self::ranges`] lie in guest memory.
    pub(crate) fn restore(state: LedgerState) -> Self {
        let LedgerState { words } = state;
        let mut ledger = Self { words };
        while ledger.words.last() == Some(&0) {
            ledger.words.pop();
        }
        ledger
    }
}

/// Each word that has pages of `range`, and a mask of those.
fn words_of(range: PfnRange) -> impl Iterator<Item = (usize, u64)> {
    let (start, end) = (range.start.0, range.end().0);
    (start / 64..end.div_ceil(64)).map(move |word| {
        let below = start.saturating_sub(word * 64);
        let above = ((word + 1) * 64).saturating_sub(end);
        let mask = (u64::MAX << below) & (u64::MAX >> above);
        (word_of(Pfn(word * 64)), mask)
    })
}

fn word_of(pfn: Pfn) -> usize {
    usize::try_from(pfn.0 / 64).expect("a page of guest memory has a number that fits")
}

fn bit_of(pfn: Pfn) -> u64 {
    1 << (pfn.0 % 64)
}
