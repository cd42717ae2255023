//! Tests of the pages of a request.

use super::{Batch, Run};

const GPA: u64 = 0x10_0000;

fn batch(pages: &[(u64, u64)]) -> Batch {
    let mut batch = Batch::EMPTY;
    for &(index, gpa) in pages {
        batch.push(index, gpa);
    }
    batch
}

#[test]
fn push_joins_neighbours_upwards_and_downwards() {
    let run = |first, gpa, pages| Run { first, gpa, pages };
    let up = batch(&[(3, GPA), (4, GPA + 0x1000), (6, GPA + 0x3000)]);
    assert_eq!(up.runs(), [run(3, GPA, 2), run(6, GPA + 0x3000, 1)]);
    let down = batch(&[(4, GPA + 0x1000), (3, GPA), (1, GPA - 0x2000)]);
    assert_eq!(down.runs(), [run(3, GPA, 2), run(1, GPA - 0x2000, 1)]);
    assert_eq!(down.pages(), 3);
    assert_eq!(down.indices().collect::<Vec<_>>(), [3, 4, 1]);
    assert_eq!(
        down.frame_numbers().collect::<Vec<_>>(),
        [0x100, 0x101, 0xfe]
    );
}

#[test]
fn push_of_pages_on_both_sides_of_a_hole_makes_two_runs() {
    for pages in [[(3, GPA), (4, 1 << 32)], [(4, 1 << 32), (3, GPA)]] {
        assert_eq!(batch(&pages).runs().len(), 2);
    }
}

#[test]
fn push_in_turn_from_two_places_makes_two_runs() {
    let turns = (0..40).map(|turn| {
        let index = if turn % 2 == 0 { 100 } else { 900 } - turn / 2;
        (index, GPA + index * 0x1000)
    });
    let batch = batch(&turns.collect::<Vec<_>>());
    assert_eq!(
        batch
            .runs()
            .iter()
            .map(|run| (run.first, run.pages))
            .collect::<Vec<_>>(),
        [(81, 20), (881, 20)]
    );
}

#[test]
fn batch_is_full_when_it_has_no_run_left() {
    let mut batch = Batch::EMPTY;
    for page in 0..32 {
        assert!(!batch.is_full());
        batch.push(2 * page, GPA + 2 * page * 0x1000);
    }
    assert!(batch.is_full());
}

#[test]
fn clear_leaves_nothing() {
    let mut batch = batch(&[(3, GPA)]);
    batch.clear();
    assert_eq!((batch.pages(), batch.runs().len()), (0, 0));
    assert_eq!(batch.indices().count(), 0);
}
