//! Tests of several sorts on one processor.

use super::super::pages::tests::VecPages;
use super::super::walk::Part;
use super::{Sort, SortQueue};

fn sorts(count: u64) -> Vec<Sort> {
    let mut sorts = vec![Sort::NOTHING; usize::try_from(count).unwrap()];
    let whole = Part {
        first: 2,
        pages: 20,
    };
    for (number, sort) in (0..).zip(&mut sorts) {
        sort.start(whole.share(number, count), 1);
    }
    sorts
}

#[test]
fn turn_fills_every_array_first_and_then_ends_passes_together() {
    let mut sorts = sorts(3);
    let mut queue = SortQueue::new(&mut sorts).unwrap();
    let mut pages = VecPages::new(23);
    let mut turns = 0;
    while queue.is_filling() {
        queue.turn(&mut pages).unwrap();
        turns += 1;
    }
    assert_eq!(turns, 20);
    while queue.passes() < 2 {
        queue.turn(&mut pages).unwrap();
    }
    assert!(queue.sorts.iter().all(|sort| sort.passes() == 2));
}

#[test]
fn check_at_every_place_gives_every_page_once() {
    let mut sorts = sorts(3);
    let mut queue = SortQueue::new(&mut sorts).unwrap();
    let mut pages = VecPages::new(23);
    assert_eq!(queue.pages(), 20);
    assert!(queue.check_at(0, &mut pages).is_none());
    while queue.is_filling() {
        queue.turn(&mut pages).unwrap();
    }
    let checked = (0..21).filter_map(|place| queue.check_at(place, &mut pages));
    let checked: Vec<_> = checked.collect();
    assert!(checked.iter().map(|(index, _)| *index).eq(2..22));
    assert!(checked.iter().all(|(_, checked)| checked.is_ok()));
    assert!(queue.holds(21) && !queue.holds(22) && !queue.holds(1));
}

#[test]
fn new_without_a_sort_gives_nothing() {
    assert!(SortQueue::new(&mut []).is_none());
}
