//! Tests of the shuffled order.

use super::Permutation;

#[test]
fn at_every_position_gives_every_number_once() {
    for count in [1, 2, 3, 4, 5, 100, 4096, 5000] {
        let permutation = Permutation::new(count, 9);
        let mut numbers: Vec<u64> = (0..count)
            .map(|position| permutation.at(position))
            .collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..count).collect::<Vec<_>>());
    }
}

#[test]
fn at_neighbours_are_far_apart() {
    let permutation = Permutation::new(10_000, 1);
    let near = (1..10_000)
        .filter(|&position| {
            permutation
                .at(position)
                .abs_diff(permutation.at(position - 1))
                < 10
        })
        .count();
    assert!(near < 100, "{near} of 9999 neighbours stayed close");
}

#[test]
fn new_other_seed_gives_another_order() {
    let order = |seed| {
        let permutation = Permutation::new(64, seed);
        (0..64)
            .map(move |position| permutation.at(position))
            .collect::<Vec<_>>()
    };
    assert_ne!(order(1), order(2));
    assert_eq!(order(1), order(1));
}
