//! The papers' plans, page by page.

use super::*;

fn fixed(prepaging: Prepaging) -> SendPlan {
    SendPlan {
        growth: Growth::Fixed,
        ..SendPlan::new(prepaging)
    }
}

fn bubbling(prepaging: Prepaging, pivots: u16) -> SendPlan {
    SendPlan {
        pivots: Some(Pivots::new(pivots).unwrap()),
        ..fixed(prepaging)
    }
}

#[test]
fn none_holds_everything_back_until_it_is_drained() {
    let mut order = order(10, SendPlan::new(Prepaging::None));
    assert_eq!(order.next_run(RunLimits::same(64)), None);
    assert!(order.holds_back());
    assert!(order.demand(PageIndex::new(3)));
    order.drain();
    assert_eq!(runs(&mut order, 9, 64), [(0, 3), (4, 6)]);
}

#[test]
fn forward_continues_upwards_from_the_fault_and_then_from_the_start() {
    let mut order = order(20, fixed(Prepaging::Forward));
    assert_eq!(runs(&mut order, 1, 4), [(0, 4)]);
    assert!(order.demand(PageIndex::new(12)));
    assert_eq!(runs(&mut order, 9, 4), [(13, 4), (17, 3), (4, 4), (8, 4)]);
}

#[test]
fn single_pivot_grows_symmetrically_and_skips_what_was_sent() {
    let mut order = order(20, bubbling(Prepaging::Bubble, 1));
    assert_eq!(
        order.next_within(PageRange::between(12, 14).unwrap()),
        PageRange::between(12, 14)
    );
    assert!(order.demand(PageIndex::new(10)));
    let grown = runs(&mut order, 5, 1);
    assert_eq!(grown, [(11, 1), (9, 1), (14, 1), (8, 1), (15, 1)]);
    // A new fault moves the pivot.
    assert!(order.demand(PageIndex::new(2)));
    assert_eq!(runs(&mut order, 4, 1), [(3, 1), (1, 1), (4, 1), (0, 1)]);
    assert_eq!(runs(&mut order, 9, 64), [(5, 3), (16, 4)]);
}

#[test]
fn several_pivots_grow_together_with_the_sticky_one() {
    let mut order = order(100, bubbling(Prepaging::Bubble, 2));
    order.demand(PageIndex::new(30));
    order.demand(PageIndex::new(60));
    let turns = [(61, 1), (59, 1), (31, 1), (29, 1), (0, 1), (62, 1), (58, 1)];
    assert_eq!(runs(&mut order, 7, 1), turns);
    // The oldest goes when a third comes, and the newest comes first.
    order.demand(PageIndex::new(90));
    let turns = [(91, 1), (89, 1), (1, 1), (63, 1), (57, 1), (92, 1)];
    assert_eq!(runs(&mut order, 6, 1), turns);
}

#[test]
fn edge_that_meets_a_sent_page_stops_and_the_sticky_pivot_skips_it() {
    let mut order = order(10, bubbling(Prepaging::Bubble, 2));
    assert!(
        order
            .next_within(PageRange::between(6, 7).unwrap())
            .is_some()
    );
    assert!(
        order
            .next_within(PageRange::between(2, 3).unwrap())
            .is_some()
    );
    assert!(order.demand(PageIndex::new(4)));
    // 4 grows to 5 and 3 and stops there on both sides.
    let turns = [(5, 1), (3, 1), (0, 1), (1, 1), (7, 1), (8, 1), (9, 1)];
    assert_eq!(runs(&mut order, 9, 1), turns);
}

#[test]
fn recency_puts_the_hottest_first_and_makes_them_neighbours() {
    let hot = |hot: [u64; 2]| {
        let mut pages = PageBitmap::empty(10);
        for page in hot {
            pages.insert(PageIndex::new(page));
        }
        pages
    };
    let mut recency = Recency::new();
    recency.add_round(hot([1, 5]));
    recency.add_round(hot([8, 5]));
    let plan = |prepaging| SendPlan {
        order: Order::Recency,
        ..fixed(prepaging)
    };
    let order = |prepaging| SendOrder::new(PageBitmap::full(10), plan(prepaging), Some(&recency));
    let row = [(5, 1), (8, 1), (1, 1), (0, 1), (2, 3), (6, 2), (9, 1)];
    assert_eq!(runs(&mut order(Prepaging::Push), 9, 64), row);
    let mut forward = order(Prepaging::Forward);
    forward.demand(PageIndex::new(8));
    assert_eq!(runs(&mut forward, 3, 64), [(1, 1), (0, 1), (2, 3)]);
}
