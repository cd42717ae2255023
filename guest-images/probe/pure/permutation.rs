//! A shuffled order of `0..count` that needs no table: rounds of invertible arithmetic on the next
//! power of two, repeated until the result is in range (cycle walking: Black and Rogaway, "Ciphers
//! with arbitrary finite domains", CT-RSA 2002).

#[cfg(test)]
mod tests;

use super::mix::Random;

const ROUNDS: usize = 3;

/// A one-to-one map of `0..count` onto itself.
#[derive(Clone, Debug)]
pub struct Permutation {
    count: u64,
    mask: u64,
    shift: u32,
    rounds: [(u64, u64); ROUNDS],
}

impl Permutation {
    /// Chooses the permutation of `0..count` that belongs to `seed`.
    #[must_use]
    pub fn new(count: u64, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mask = count.max(1).next_power_of_two() - 1;
        Self {
            count,
            mask,
            shift: mask.count_ones().div_ceil(2).max(1),
            rounds: core::array::from_fn(|_| (random.word() | 1, random.word())),
        }
    }

    /// The number at `position`, which has to be below `count`.
    #[must_use]
    pub fn at(&self, position: u64) -> u64 {
        let mut number = position;
        loop {
            for (factor, offset) in self.rounds {
                number = number.wrapping_mul(factor).wrapping_add(offset) & self.mask;
                number ^= number >> self.shift;
            }
            if number < self.count || self.count == 0 {
                return number;
            }
        }
    }
}
