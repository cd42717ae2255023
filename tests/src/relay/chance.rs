//! Seeded chance: the same answer to the same question, in whatever order questions are asked.

/// The increment of SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number
/// generators", OOPSLA 2014): 2^64 divided by the golden ratio, odd.
const INCREMENT: u64 = 0x9e37_79b9_7f4a_7c15;

/// A number that looks random and depends on nothing but a seed and the numbers mixed into it.
///
/// There is no state that advances, so what happens to byte 1,000,000 of connection 2 does not
/// depend on how the bytes before it were cut into reads, or on what other connections do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chance(u64);

impl Chance {
    /// The chance that belongs to a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed).with(0)
    }

    /// Another chance for each `number`: a connection, a rule, a byte position.
    #[must_use]
    pub const fn with(self, number: u64) -> Self {
        Self(scramble(self.0.wrapping_add(
            number.wrapping_add(1).wrapping_mul(INCREMENT),
        )))
    }

    /// A number in `0..limit`, each about equally likely; 0 if `limit` is 0.
    #[must_use]
    pub fn below(self, limit: u64) -> u64 {
        let scaled = (u128::from(self.0) * u128::from(limit)) >> 64;
        u64::try_from(scaled).expect("the upper half of a product of two u64 fits in one")
    }

    /// True once in `odds` questions on average; always if `odds` is 0 or 1.
    #[must_use]
    pub fn once_in(self, odds: u64) -> bool {
        self.below(odds) == 0
    }
}

/// The output function of SplitMix64, a bijection.
const fn scramble(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::Chance;

    #[test]
    fn chance_of_seed_zero_is_the_first_number_of_splitmix64() {
        assert_eq!(Chance::new(0), Chance(0xe220_a839_7b1d_cdaf));
    }

    #[test]
    fn below_a_limit_reaches_each_number_about_equally_often() {
        let mut seen = [0_u32; 10];
        for number in 0..10_000 {
            let drawn = Chance::new(7).with(number).below(10);
            seen[usize::try_from(drawn).unwrap()] += 1;
        }
        assert!(
            seen.iter().all(|count| (850..1150).contains(count)),
            "{seen:?}"
        );
    }

    #[test]
    fn below_zero_and_one_is_zero() {
        for number in 0..100 {
            assert_eq!(Chance::new(number).below(0), 0);
            assert_eq!(Chance::new(number).below(1), 0);
        }
    }
}
