//! Ranks after Zipf's law with exponent 1 (rank r is drawn in proportion to 1/r), in integers only:
//! every octave 2^b .. 2^(b+1) is equally likely, a rank within it too, and the rank is then kept
//! with probability 2^b / r, which makes the result exact.

#[cfg(test)]
mod tests;

use super::mix::Random;

/// Draws a rank from `0..count`; 0 is the most frequent one.
pub fn rank(random: &mut Random, count: u64) -> u64 {
    let Some(last_octave) = count.checked_ilog2() else {
        return 0;
    };
    loop {
        let octave = 1u64 << random.below(u64::from(last_octave) + 1);
        let rank = octave + random.below(octave);
        if rank <= count && random.below(rank) < octave {
            return rank - 1;
        }
    }
}
