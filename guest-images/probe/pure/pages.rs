//! The working set as the workloads see it: numbered pages with a generation each.

#[cfg(test)]
pub mod tests;

use super::pattern::{Page, Stamp, WORDS, WrongWord, digest};

/// Numbered pages of memory. A page number out of range is a defect of the caller and may panic.
pub trait Pages {
    /// The words of a page.
    fn page(&mut self, index: u64) -> &mut Page;
    /// Where the page lies in guest-physical memory.
    fn gpa(&self, index: u64) -> u64;
    /// How often the page was written.
    fn generation(&self, index: u64) -> u32;
    /// Notes how often the page was written.
    fn set_generation(&mut self, index: u64, generation: u32);
    /// Takes a page into use that was given back or never taken; comes back when it is there.
    fn take(&mut self, index: u64);
    /// Gives a page back until it is taken again; its content is not needed any more.
    fn give_back(&mut self, index: u64);
}

/// What a visit does with its page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Writes the next generation over content that is of no interest.
    Fill,
    /// Compares all of the page.
    Check,
    /// Compares all of the page and then writes the next generation.
    CheckAndRewrite,
}

/// One visit to one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visit {
    /// Number of the page.
    pub index: u64,
    /// The link the page carries (see [`Stamp`]).
    pub link: u64,
    /// What is done.
    pub action: Action,
}

/// A word of the working set that is not what was written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt {
    /// Guest-physical address of the word.
    pub gpa: u64,
    /// What was written.
    pub expected: u64,
    /// What is there.
    pub found: u64,
}

impl Corrupt {
    /// Places a wrong word of the page at `page_gpa`.
    #[must_use]
    pub fn new(page_gpa: u64, wrong: WrongWord) -> Self {
        let WrongWord {
            index,
            expected,
            found,
        } = wrong;
        Self {
            gpa: page_gpa + 8 * index as u64,
            expected,
            found,
        }
    }
}

impl Visit {
    /// Makes the visit and returns the link that was found in the page.
    ///
    /// # Errors
    /// The first wrong word, if the page was checked; it is rewritten all the same.
    pub fn make(self, pages: &mut impl Pages, seed: u64) -> Result<u64, Corrupt> {
        let Self {
            index,
            link,
            action,
        } = self;
        let (gpa, generation) = (pages.gpa(index), pages.generation(index));
        let stamp = Stamp {
            gpa,
            generation,
            seed,
            link,
        };
        let page = pages.page(index);
        let link_found = stamp.link_in(page);
        let checked = match action {
            Action::Fill => Ok(()),
            Action::Check | Action::CheckAndRewrite => stamp.check(page),
        };
        if action != Action::Check {
            let generation = generation.wrapping_add(1);
            Stamp {
                generation,
                ..stamp
            }
            .fill(page);
            pages.set_generation(index, generation);
        }
        checked
            .map(|()| link_found)
            .map_err(|wrong| Corrupt::new(gpa, wrong))
    }
}

/// Digest of one page as it is.
pub fn page_digest(pages: &mut impl Pages, index: u64) -> u64 {
    let gpa = pages.gpa(index);
    digest(gpa, pages.page(index))
}

/// Flips one byte of the working set: the test aid `inject=`.
pub fn flip_byte(pages: &mut impl Pages, offset_bytes: u64) {
    let words = WORDS as u64;
    let page = pages.page(offset_bytes / 8 / words);
    let word = usize::try_from(offset_bytes / 8 % words).expect("a word's place in a page");
    page[word] ^= 0xff << (offset_bytes % 8 * 8);
}
