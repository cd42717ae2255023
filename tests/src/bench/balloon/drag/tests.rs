//! Tests of what is made of the runs.

use super::*;

fn row(regime: Regime, rates: &[f64]) -> Row {
    let samples = rates.iter().map(|&pages_per_s| Sample {
        pages_per_s,
        balloon_percent: 0.4,
        seconds: 1.0,
        resident_mib: 1.0,
        targets: Vec::new(),
        noise: Noise {
            load: 0.0,
            foreign_share: 0.0,
            stolen_share: 0.0,
        },
    });
    Row {
        regime,
        samples: samples.collect(),
    }
}

#[test]
fn guests_are_compared_within_a_round_and_judged_by_what_they_counted() {
    let load = Load {
        memory_mib: 512,
        hot_mib: 400,
        revisits: 1,
        breaths: 1,
    };
    let rows = vec![
        row(Regime::Off, &[100.0, 200.0]),
        row(Regime::EveryMs(5000), &[99.0, 197.0]),
    ];
    let drag = Drag { load, rows };
    let claimed = &drag.rows[1];
    let fewer = drag.fewer_percent(claimed).unwrap();
    assert!((fewer.min - 1.0).abs() < 1e-9 && (fewer.max - 1.5).abs() < 1e-9);
    let counted = claimed.balloon_percent().unwrap();
    assert_eq!(verdict(claimed.regime, counted), "  holds");
    let slow = Spread::of([1.6]).unwrap();
    assert_eq!(verdict(claimed.regime, slow), "  DOES NOT HOLD");
    assert_eq!(verdict(Regime::EveryMs(10), slow), "");
    assert_eq!(drag.fewer_percent(&row(Regime::EveryMs(10), &[])), None);
}

#[test]
fn record_of_the_guest_has_time_breaths_and_visits() {
    let line = "probe: t_ms=14100 passes=1 pages=10585407 max_gap_us=3526";
    let breath = Breath {
        t_ms: 14100,
        breaths: 1,
        pages: 10_585_407,
        balloon_us: 0,
    };
    assert_eq!(Breath::parse(line), Some(breath));
    let line = format!("{line} balloon_us=77");
    let balloon_us = 77;
    assert_eq!(
        Breath::parse(&line),
        Some(Breath {
            balloon_us,
            ..breath
        })
    );
    assert_eq!(Breath::parse("probe: ready workload=idle"), None);
}
