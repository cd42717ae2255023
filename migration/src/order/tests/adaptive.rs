//! What the adaptive plan makes of faults.

use super::*;

const PAGES: u64 = 10_000;

const LIMITS: RunLimits = RunLimits {
    push_pages: 16,
    walk_pages: 64,
    promised_pages: 64,
};

fn adaptive() -> SendOrder {
    order(PAGES, SendPlan::new(Prepaging::Bubble))
}

#[test]
fn lone_fault_has_a_little_of_both_sides_sent_and_then_the_push_goes_on() {
    let mut order = adaptive();
    assert!(order.demand(PageIndex::new(5000)));
    let around = [(4984, 16), (5001, 16), (4968, 16), (5017, 16)];
    let mut found = runs(&mut order, 4, 64);
    found.sort_unstable();
    let mut expected = around;
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(runs(&mut order, 1, 64), [(0, 64)]);
}

#[test]
fn faults_that_walk_upwards_are_run_ahead_of_in_growing_steps() {
    let mut order = adaptive();
    let mut position = 5000;
    let mut longest = 0;
    for _ in 0..8 {
        order.demand(PageIndex::new(position));
        let run = order.next_run(RunLimits::same(512)).unwrap();
        assert!(run.first().get() >= position, "{run:?} for {position}");
        assert!(run.pages() >= longest, "{run:?} after {longest}");
        longest = run.pages();
        position = run.end();
    }
    assert!(longest >= 128, "{longest}");
}

#[test]
fn faults_that_walk_downwards_are_run_ahead_of_too() {
    let mut order = adaptive();
    let mut position = 5000;
    order.demand(PageIndex::new(position));
    runs(&mut order, 4, 64);
    position -= 17;
    for _ in 0..6 {
        order.demand(PageIndex::new(position));
        let run = order.next_run(RunLimits::same(512)).unwrap();
        assert!(run.end() <= position, "{run:?} for {position}");
        position = run.first().get() - 1;
    }
}

#[test]
fn guest_that_walks_along_with_the_push_is_run_ahead_of() {
    let mut order = adaptive();
    let mut longest = 0;
    for _ in 0..8 {
        let run = order.next_run(LIMITS).unwrap();
        longest = longest.max(run.pages());
        // It is blocked at the first page of each run.
        assert!(!order.demand(run.first()));
    }
    assert!(longest >= 64, "{longest}");
}

#[test]
fn unrelated_faults_leave_the_link_to_the_push() {
    let mut order = adaptive();
    for fault in 0..40 {
        order.demand(PageIndex::new(5000 + fault * 1009 % 5000));
    }
    while order
        .next_run(RunLimits::same(64))
        .is_some_and(|run| run.first().get() >= 5000)
    {}
    order.demand(PageIndex::new(4500));
    let run = order.next_run(RunLimits::same(64)).unwrap();
    assert_eq!((run.first().get() < 4000, run.pages()), (true, 64));
    // Until faults follow each other again.
    order.demand(PageIndex::new(4501));
    assert_eq!(
        order.next_run(RunLimits::same(64)).unwrap().first().get(),
        4502
    );
}

#[test]
fn walk_that_somebody_waits_at_comes_first() {
    let mut order = adaptive();
    for step in 0..4 {
        order.demand(PageIndex::new(2000 + step));
        order.demand(PageIndex::new(7000 + step));
    }
    assert_eq!(
        order.next_run(RunLimits::same(64)).unwrap().first().get(),
        7004
    );
    order.demand(PageIndex::new(2004));
    assert_eq!(
        order.next_run(RunLimits::same(64)).unwrap().first().get(),
        2005
    );
}

/// Has a guest walk upwards from `page` until it is known to.
fn walk_from(order: &mut SendOrder, page: u64) {
    for step in 0..8 {
        order.demand(PageIndex::new(page + step));
    }
}

#[test]
fn two_walks_take_turns_without_another_fault() {
    let mut order = adaptive();
    walk_from(&mut order, 2000);
    walk_from(&mut order, 7000);
    let is_upper = |run: PageRange| run.first().get() >= 5000;
    let turns: Vec<_> = std::iter::from_fn(|| order.next_run(LIMITS).map(is_upper))
        .take(6)
        .collect();
    assert_eq!(turns, [true, false, true, false, true, false]);
}

#[test]
fn walk_that_others_came_after_goes_on_only_a_little_until_it_is_heard_of() {
    let mut order = adaptive();
    for page in [1000, 3000, 5000] {
        walk_from(&mut order, page);
    }
    let mut pages_of_first = 0;
    for _ in 0..40 {
        let run = order.next_run(LIMITS).unwrap();
        if run.first().get() < 2000 {
            pages_of_first += run.pages();
        }
    }
    assert_eq!(pages_of_first, 128);
}

#[test]
fn fault_in_the_next_run_of_a_walk_is_answered_by_it_and_one_beyond_at_once() {
    let mut order = adaptive();
    walk_from(&mut order, 5000);
    let end = order.next_run(LIMITS).unwrap().end();
    assert!(!order.demand(PageIndex::new(end + 3)));
    let run = order.next_run(LIMITS).unwrap();
    assert!(
        (run.first().get()..run.end()).contains(&(end + 3)),
        "{run:?}"
    );
    assert!(order.demand(PageIndex::new(run.end() + LIMITS.promised_pages)));
}

#[test]
fn no_page_is_promised_where_runs_are_held_back() {
    let mut order = adaptive();
    walk_from(&mut order, 5000);
    let end = order.next_run(LIMITS.held_back(16)).unwrap().end();
    assert!(order.demand(PageIndex::new(end)));
}

#[test]
fn page_that_is_promised_comes_soon_whatever_else_is_touched() {
    let mut order = adaptive();
    walk_from(&mut order, 9000);
    let promised = PageIndex::new(order.next_run(LIMITS).unwrap().end());
    assert!(!order.demand(promised));
    for fault in 0..40 {
        assert!(order.demand(PageIndex::new(100 + 200 * fault)));
    }
    let has_it = |run: PageRange| run.first() <= promised && promised.get() < run.end();
    let mut runs = std::iter::from_fn(|| order.next_run(LIMITS));
    assert!(runs.by_ref().take(14).any(has_it));
}
