//! Tests of what is made of the runs.

use super::guest::{Breath, Load};
use super::*;

fn sample(pages_per_s: f64) -> Sample {
    Sample {
        pages_per_s,
        processor_share: 0.5,
        balloon_percent: 0.4,
        seconds: 1.0,
        resident_mib: 1.0,
        targets: Vec::new(),
    }
}

fn pair(without: f64, with: f64) -> Pair {
    Pair {
        without: sample(without),
        with: sample(with),
        noise: Noise {
            load: 0.0,
            foreign_share: 0.0,
            stolen_share: 0.0,
        },
    }
}

#[test]
fn guests_are_compared_with_those_beside_them_and_judged_by_the_median() {
    let row = Row {
        interval_ms: CLAIMED_MS,
        pairs: vec![pair(100.0, 99.0), pair(200.0, 197.0)],
    };
    let slowdown = row.slowdown_percent().unwrap();
    assert!((slowdown.min - 1.0).abs() < 1e-9 && (slowdown.max - 1.5).abs() < 1e-9);
    assert_eq!(verdict(slowdown), "  holds");
    assert_eq!(verdict(Spread::of([1.6]).unwrap()), "  DOES NOT HOLD");
    let none = Row {
        interval_ms: 10,
        pairs: Vec::new(),
    };
    assert_eq!(none.slowdown_percent(), None);
}

#[test]
fn guest_that_had_more_of_the_processor_for_as_much_work_was_slower() {
    let mut pair = pair(100.0, 100.0);
    pair.with.processor_share = 0.505;
    pair.without.processor_share = 0.495;
    assert!((pair.slowdown_percent() - 1.98).abs() < 0.01);
    // One that waits does less by the clock, and as much by what it had.
    pair.with.pages_per_s = 90.0;
    pair.with.processor_share = 0.45;
    pair.without.processor_share = 0.5;
    assert!((pair.slowdown_percent() - 10.0).abs() < 0.01);
}

#[test]
fn record_of_the_guest_has_time_breaths_and_visits() {
    let line = "probe: t_ms=14100 passes=1 pages=10585407 max_gap_us=3526 balloon_us=000000077";
    let breath = Breath {
        t_ms: 14100,
        breaths: 1,
        pages: 10_585_407,
        balloon_us: 77,
    };
    assert_eq!(Breath::parse(line), Some(breath));
    assert_eq!(Breath::parse("probe: ready workload=idle"), None);
}

#[test]
fn guest_is_measured_for_so_many_breaths_and_so_long() {
    let load = Load {
        memory_mib: 512,
        hot_mib: 400,
        revisits: 840,
        step_kib: 1024,
        breaths: 2,
        seconds: 600,
    };
    let breath = |breaths, seconds: u64| Breath {
        t_ms: seconds * 1000,
        breaths,
        pages: 1,
        balloon_us: 0,
    };
    let first = breath(1, 100);
    assert!(load.is_measured(&first, &breath(3, 700)));
    assert!(!load.is_measured(&first, &breath(3, 699)));
    assert!(!load.is_measured(&first, &breath(2, 900)));
}
