//! Tests of the mixing functions and of the random numbers.

use super::{Random, mix, unmix};

#[test]
fn unmix_after_mix_gives_the_word_back() {
    for word in [0, 1, 2, 511, u64::MAX, 1 << 63, 0x0123_4567_89ab_cdef] {
        assert_eq!(unmix(mix(word)), word);
        assert_eq!(mix(unmix(word)), word);
    }
}

#[test]
fn random_same_seed_repeats_and_other_seed_differs() {
    let draw = |seed| {
        let mut random = Random::new(seed);
        [random.word(), random.word(), random.word()]
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

#[test]
fn below_any_limit_stays_below_and_reaches_everything() {
    let mut random = Random::new(7);
    let mut seen = [false; 5];
    for _ in 0..200 {
        seen[usize::try_from(random.below(5)).unwrap()] = true;
    }
    assert_eq!(seen, [true; 5]);
    assert_eq!(random.below(1), 0);
    assert_eq!(random.below(0), 0);
}
