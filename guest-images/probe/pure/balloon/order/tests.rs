//! Tests of the order in which pages go.

use super::Order;

fn indices(order: Order) -> Vec<u64> {
    (0..order.pages()).map(|place| order.index(place)).collect()
}

#[test]
fn order_takes_what_lies_behind_the_working_set_first() {
    assert_eq!(
        indices(Order::new(7, 4, 1)),
        [6, 5, 4, 3, 2, 1, 0],
        "one processor"
    );
    assert_eq!(
        indices(Order::new(8, 6, 2)),
        [7, 6, 2, 5, 1, 4, 0, 3],
        "two processors"
    );
    assert_eq!(indices(Order::new(5, 5, 2)), [2, 1, 4, 0, 3]);
}

#[test]
fn order_has_every_page_once() {
    for (pages, set_pages, shares) in [(50, 37, 5), (9, 0, 3), (9, 2, 4), (1, 1, 1), (64, 64, 32)] {
        let mut indices = indices(Order::new(pages, set_pages, shares));
        indices.sort_unstable();
        assert_eq!(indices, (0..pages).collect::<Vec<_>>());
    }
}
