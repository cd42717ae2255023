//! The array of a sort as keys: how a key becomes a word, and where its words lie.

use crate::pure::mix::{mix, unmix};
use crate::pure::pages::{Corrupt, Pages};
use crate::pure::pattern::{WORDS, WrongWord};
use crate::pure::walk::Part;

/// Words of 64 bits in a page.
pub const WORDS_PER_PAGE: u64 = WORDS as u64;

/// An array that holds the keys `0..words`, each once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// The pages of the array.
    pub part: Part,
    /// What makes the words of this array, and of this pass, differ from those of others.
    pub tweak: u64,
}

impl Keys {
    /// How many words the array has.
    pub fn words(self) -> u64 {
        self.part.pages * WORDS_PER_PAGE
    }

    /// The word that stands for `key`.
    pub fn encode(self, key: u64) -> u64 {
        mix(key.wrapping_add(self.tweak))
    }

    fn decode(self, word: u64) -> u64 {
        unmix(word).wrapping_sub(self.tweak)
    }

    /// The word at `position`.
    pub fn word(self, pages: &mut impl Pages, position: u64) -> &mut u64 {
        let page = pages.page(self.part.first + position / WORDS_PER_PAGE);
        &mut page[word_in_page(position)]
    }

    /// The key at `position`.
    ///
    /// # Errors
    /// The word there is that of no key.
    pub fn key(self, pages: &mut impl Pages, position: u64) -> Result<u64, Corrupt> {
        let key = self.decode(*self.word(pages, position));
        if key < self.words() {
            Ok(key)
        } else {
            Err(self.damaged(pages, position))
        }
    }

    /// Exchanges two words.
    pub fn swap(self, pages: &mut impl Pages, one: u64, other: u64) {
        let word = *self.word(pages, one);
        let word = core::mem::replace(self.word(pages, other), word);
        *self.word(pages, one) = word;
    }

    /// Compares the word at `position` with that of the key that belongs there after a sort.
    ///
    /// # Errors
    /// It is another word.
    pub fn check_sorted(self, pages: &mut impl Pages, position: u64) -> Result<(), Corrupt> {
        let expected = self.encode(position);
        if *self.word(pages, position) == expected {
            Ok(())
        } else {
            Err(self.corrupt(pages, position, expected))
        }
    }

    /// The array holds each key once, so the key that is missing is the one that was here.
    #[cold]
    fn damaged(self, pages: &mut impl Pages, position: u64) -> Corrupt {
        let mut missing = 0;
        for other in 0..self.words() {
            let key = self.decode(*self.word(pages, other));
            missing ^= other ^ if key < self.words() { key } else { 0 };
        }
        self.corrupt(pages, position, self.encode(missing))
    }

    #[cold]
    fn corrupt(self, pages: &mut impl Pages, position: u64, expected: u64) -> Corrupt {
        let found = *self.word(pages, position);
        let gpa = pages.gpa(self.part.first + position / WORDS_PER_PAGE);
        let index = word_in_page(position);
        Corrupt::new(
            gpa,
            WrongWord {
                index,
                expected,
                found,
            },
        )
    }
}

fn word_in_page(position: u64) -> usize {
    usize::try_from(position % WORDS_PER_PAGE).expect("a word's place in a page")
}
