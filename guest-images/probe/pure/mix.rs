//! Bijective mixing of 64-bit words, and the random numbers made from it (splitmix64: Steele, Lea
//! and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).

#[cfg(test)]
mod tests;

/// The odd number closest to 2^64 divided by the golden ratio.
pub const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Maps words one to one to words that look random.
#[must_use]
pub const fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// Undoes [`mix`]: the multipliers are the inverses modulo 2^64 of those above.
#[must_use]
pub const fn unmix(mut word: u64) -> u64 {
    word = (word ^ (word >> 31) ^ (word >> 62)).wrapping_mul(0x3196_42b2_d24d_8ec3);
    word = (word ^ (word >> 27) ^ (word >> 54)).wrapping_mul(0x96de_1b17_3f11_9089);
    word ^ (word >> 30) ^ (word >> 60)
}

/// A sequence of random numbers that is the same for the same seed.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// Starts the sequence of `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: mix(seed) }
    }

    /// Draws any 64-bit number.
    pub fn word(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// Draws from `0..limit`, or 0 if there is nothing to draw from.
    pub fn below(&mut self, limit: u64) -> u64 {
        let product = u128::from(self.word()) * u128::from(limit);
        u64::try_from(product >> 64).expect("the high half of a 128-bit product has 64 bits")
    }
}
