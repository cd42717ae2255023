//! Every order in which pages can leave, over real connections.

use std::time::Duration;

use migration::{Growth, Order, Pivots, Prepaging, SendPlan, Streams};

use crate::machine::can_receive;
use crate::moves::move_and_compare;

/// 16 MiB.
const PAGES: u64 = 1 << 12;

#[test]
fn every_plan_over_several_streams_delivers_every_page() {
    if !can_receive() {
        return;
    }
    for prepaging in Prepaging::ALL {
        for growth in [Growth::Adaptive, Growth::Fixed] {
            let plan = SendPlan {
                prepaging,
                pivots: Some(Pivots::new(3).unwrap()),
                growth,
                order: Order::Recency,
            };
            let report = move_and_compare(PAGES, |options| {
                options.send_plan = plan;
                options.streams = Some(Streams::new(2).unwrap());
                options.drain_after = Duration::from_millis(20);
            });
            assert_eq!((report.prepaging, report.growth), (prepaging, growth));
            assert_eq!(report.order, Order::Recency);
            let pivots = plan.live_pivots().map_or(0, Pivots::get);
            assert_eq!(report.pivots, pivots);
        }
    }
}

#[test]
fn none_pushes_nothing_that_the_guest_touches_in_time() {
    if !can_receive() {
        return;
    }
    let report = move_and_compare(PAGES, |options| {
        options.send_plan = SendPlan::new(Prepaging::None);
        options.drain_after = Duration::from_secs(5);
    });
    // The guest touches every page, so none is left to be pushed.
    assert_eq!(report.pages.pushed, 0);
    assert!(report.total_ms < 5000.0, "it waited for pages to push");
}

#[test]
fn only_connection_lists_what_was_never_touched_before_it_waits_for_demands() {
    if !can_receive() {
        return;
    }
    // The page table is searched in parts of 2048 pages.
    let report = move_and_compare(1 << 14, |options| {
        options.send_plan = SendPlan::new(Prepaging::None);
        options.streams = Some(Streams::new(1).unwrap());
        options.drain_after = Duration::from_secs(5);
    });
    // Who touches a page before it is listed is sent a zero page; a third was never touched.
    let pages = report.pages;
    assert!(pages.absent > pages.total / 4, "{pages:?}");
}
