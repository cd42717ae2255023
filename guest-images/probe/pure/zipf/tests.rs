//! Tests of the Zipf ranks.

use super::super::mix::Random;
use super::rank;

#[test]
fn rank_frequencies_follow_one_over_rank() {
    let (count, draws) = (1000, 200_000);
    let mut random = Random::new(5);
    let mut seen = vec![0u32; count];
    for _ in 0..draws {
        seen[usize::try_from(rank(&mut random, 1000)).unwrap()] += 1;
    }
    let harmonic: f64 = (1..=1000).map(|rank| 1.0 / f64::from(rank)).sum();
    for (place, divisor) in [(0, 1.0), (1, 2.0), (2, 3.0), (9, 10.0)] {
        let expected = f64::from(draws) / harmonic / divisor;
        let ratio = f64::from(seen[place]) / expected;
        assert!(
            (0.9..1.1).contains(&ratio),
            "rank {place}: {ratio} of what Zipf's law says"
        );
    }
    assert!(seen[500..].iter().sum::<u32>() > 0);
}

#[test]
fn rank_of_few_stays_in_range() {
    let mut random = Random::new(1);
    for count in [0, 1, 2, 3, 7] {
        assert!((0..100).all(|_| rank(&mut random, count) < count.max(1)));
    }
}
