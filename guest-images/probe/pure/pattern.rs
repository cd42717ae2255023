//! What a page holds: 4096 bytes that depend on its address, its generation, the seed and a link
//! word, are never all zero and do not compress. Eight independent xorshift generators (Marsaglia,
//! "Xorshift RNGs", 2003) run side by side, so that the compiler can use vector instructions and a
//! check costs about as much as reading the memory.

#[cfg(test)]
mod tests;

use super::mix::{GOLDEN, mix};

/// Words of 64 bits in a page of 4 KiB.
pub const WORDS: usize = 512;

const LANES: usize = 8;

/// The words of one page.
pub type Page = [u64; WORDS];

/// Everything the content of one page follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Guest-physical address of the page.
    pub gpa: u64,
    /// How often the page was written.
    pub generation: u32,
    /// The seed of the run.
    pub seed: u64,
    /// A number stored in the page's first word: the next page of a pointer chase, else 0.
    pub link: u64,
}

/// A word of a page that is not what it has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongWord {
    /// Position in the page, in words.
    pub index: usize,
    /// What the stamp says.
    pub expected: u64,
    /// What the page holds.
    pub found: u64,
}

impl Stamp {
    fn lanes(&self) -> [u64; LANES] {
        let key = mix(mix(mix(self.seed) ^ self.gpa).wrapping_add(u64::from(self.generation)));
        let mut lane = key;
        // A xorshift generator must not start at zero.
        let mut lanes = core::array::from_fn(|_| {
            lane = lane.wrapping_add(GOLDEN);
            mix(lane) | 1
        });
        lanes[0] ^= self.link;
        lanes
    }

    /// Writes the content to `page`.
    pub fn fill(&self, page: &mut Page) {
        let mut lanes = self.lanes();
        for row in page.as_chunks_mut::<LANES>().0 {
            *row = lanes;
            advance(&mut lanes);
        }
    }

    /// Compares every word of `page` with the content.
    ///
    /// # Errors
    /// The first word that differs.
    pub fn check(&self, page: &Page) -> Result<(), WrongWord> {
        let mut lanes = self.lanes();
        let mut difference = [0; LANES];
        for row in page.as_chunks::<LANES>().0 {
            for ((sum, word), lane) in difference.iter_mut().zip(row).zip(&lanes) {
                *sum |= word ^ lane;
            }
            advance(&mut lanes);
        }
        let difference = difference.iter().fold(0, |sum, lane| sum | lane);
        if difference == 0 {
            Ok(())
        } else {
            self.first_difference(page)
        }
    }

    /// Reads from `page` the link it was filled with, whatever the link of this stamp is.
    #[must_use]
    pub fn link_in(&self, page: &Page) -> u64 {
        page[0] ^ self.lanes()[0] ^ self.link
    }

    #[cold]
    fn first_difference(&self, page: &Page) -> Result<(), WrongWord> {
        let mut expected: Page = [0; WORDS];
        self.fill(&mut expected);
        let pairs = expected.iter().zip(page).enumerate();
        for (index, (&expected, &found)) in pairs {
            if expected != found {
                return Err(WrongWord {
                    index,
                    expected,
                    found,
                });
            }
        }
        Ok(())
    }
}

fn advance(lanes: &mut [u64; LANES]) {
    for lane in lanes {
        *lane ^= *lane << 13;
        *lane ^= *lane >> 7;
        *lane ^= *lane << 17;
    }
}

/// Condenses the content and the place of a page; the digest of several pages is the wrapping sum.
#[must_use]
pub fn digest(gpa: u64, page: &Page) -> u64 {
    let mut lanes = [0u64; LANES];
    for row in page.as_chunks::<LANES>().0 {
        for (lane, word) in lanes.iter_mut().zip(row) {
            *lane = (lane.rotate_left(5) ^ word).wrapping_mul(GOLDEN);
        }
    }
    lanes.iter().fold(mix(gpa), |sum, lane| mix(sum ^ lane))
}
