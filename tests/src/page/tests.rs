//! Tests of the page: what is drawn, and what is said where nothing was measured.

use serde_json::json;

use super::*;
use crate::bench::METRICS;

fn cell(suite: &str, workload: &str, hot_mib: u32, column: &str) -> Value {
    let spread =
        |median: f64| json!({ "median": median, "min": median, "max": median, "count": 1 });
    json!({
        "suite": suite, "workload": workload, "pace": "full", "link": "1G",
        "memory_mib": 2048, "hot_mib": hot_mib, "column": column, "runs": 1, "quiet_runs": 1,
        "spread": {
            "total_ms": spread(2500.0), "downtime_ms": spread(1.5), "network_faults": spread(41.0),
        },
        "samples": [{ "transferred_pages": 2100.0 }],
    })
}

fn sources(migrate: Option<Value>) -> [Source; 1] {
    [Source {
        benchmark: Benchmark::Migrate,
        results: migrate,
    }]
}

fn figure<'a>(figures: &'a [Figure], name: &str) -> &'a Figure {
    figures.iter().find(|figure| figure.name == name).unwrap()
}

fn points(figure: &Figure, series: &str) -> Vec<(f64, f64)> {
    let mut all = figure.picture.series.iter();
    all.find(|one| one.name == series).unwrap().points.clone()
}

#[test]
fn moves_are_drawn_by_working_set_beside_the_paper_s() {
    let migrate = json!({ "cells": [
        cell("stress", "seq-read", 64, "bubble"),
        cell("stress", "seq-read", 8, "bubble"),
        cell("sorts", "quicksort:8", 512, "push"),
        cell("moves", "random", 256, "bubble"),
    ]});
    let figures = figures::all(&sources(Some(migrate)), &Paper::load());
    let total = figure(&figures, "total-time");
    assert_eq!(points(total, "bubble, read"), [(8.0, 2.5), (64.0, 2.5)]);
    assert_eq!(points(total, "paper: pre-copy, write")[6], (512.0, 60.0));
    let down = figure(&figures, "downtime");
    assert_eq!(points(down, "paper: post-copy, read")[0], (8.0, 672.0));
    assert_eq!(
        points(figure(&figures, "pages"), "bubble, read")[0],
        (8.0, 2.1)
    );
    let share = points(figure(&figures, "network-faults"), "bubble, read")[0].1;
    assert!((share - 41.0 / 2048.0 * 100.0).abs() < 1e-9, "{share}");
    let sorts = figure(&figures, "sorts");
    assert_eq!(points(sorts, "push"), [(8.0, 41.0)]);
}

#[test]
fn numbers_shown_are_numbers_that_the_benchmark_writes() {
    for name in tables::SHOWN {
        assert!(METRICS.iter().any(|metric| metric.name == name), "{name}");
    }
}

#[test]
fn intervals_are_drawn_as_both_see_them() {
    let row = json!({
        "interval_ms": 5000,
        "slowdown_percent": { "median": 1.2 }, "balloon_percent": { "median": 1.0 }, "pairs": [],
    });
    let balloon = [Source {
        benchmark: Benchmark::Balloon,
        results: Some(json!({ "sweep": { "rows": [row] } })),
    }];
    let figures = figures::all(&balloon, &Paper::load());
    let picture = figure(&figures, "self-ballooning");
    assert_eq!(
        points(picture, "less work than the guest beside it"),
        [(5000.0, 1.2)]
    );
    assert_eq!(points(picture, "paper: kernel build in 512 MB").len(), 12);
}

#[test]
fn picture_without_a_point_of_ours_is_left_out() {
    let migrate = json!({ "cells": [cell("moves", "random", 256, "bubble")] });
    assert!(figures::all(&sources(Some(migrate)), &Paper::load()).is_empty());
    assert!(figures::all(&sources(None), &Paper::load()).is_empty());
}

#[test]
fn page_has_every_picture_and_says_what_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let migrate = json!({
        "cells": [cell("stress", "seq-write", 8, "pre-copy")],
        "verdicts": [{
            "claim": "downtime ms", "subject": "a < b", "measured": 3.0, "bound": { "at-most": 2.0 },
            "judgement": "undecided",
        }],
        "skipped": [{ "what": "link 1G", "reason": "no root" }],
    });
    fs::write(directory.path().join("migrate.json"), migrate.to_string()).unwrap();
    let page = fs::read_to_string(build(directory.path()).unwrap()).unwrap();
    for part in [
        "total-time.svg",
        "boot: not measured",
        "link 1G: no root",
        "a &lt; b",
        "undecided",
        "at most 2.00",
        "2500 (2500 to 2500)",
    ] {
        assert!(page.contains(part), "no {part} in {page}");
    }
    for name in ["total-time", "downtime", "pages", "network-faults"] {
        let picture = fs::read_to_string(directory.path().join(name).with_extension("svg"));
        assert!(picture.unwrap().starts_with("<svg"), "{name}");
    }
}

#[test]
fn directory_without_results_or_with_broken_ones_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let empty = build(directory.path());
    assert!(matches!(empty, Err(PageError::Nothing { .. })), "{empty:?}");
    fs::write(directory.path().join("boot.json"), "{").unwrap();
    let broken = build(directory.path());
    assert!(
        matches!(broken, Err(PageError::File(FileError::Results { .. }))),
        "{broken:?}"
    );
}

#[test]
fn moves_of_an_application_are_drawn_over_time_and_beside_the_paper_s() {
    let point = |at_s: f64| json!({ "at_s": at_s, "guest_percent": 90.0, "wire_percent": 50.0, "client_percent": null });
    let degradation = json!({
        "courses": [{
            "application": "build", "column": "pre-copy", "points": [point(-1.0), point(2.0)],
            "preparation_ms": 1800.4, "downtime_ms": 3.25, "resume_ms": 0.2, "total_ms": 1804.0,
        }],
        "repeated": [{
            "application": "sender", "column": "post-copy", "memory_mib": 512, "slowdown_percent": 1.5,
        }],
    });
    let source = Source {
        benchmark: Benchmark::Degradation,
        results: Some(degradation),
    };
    let figures = figures::all(&[source], &Paper::load());
    assert_eq!(figures.len(), 4);
    let course = figure(&figures, "course-build-pre-copy");
    let phases = ": 1800 + 3.2 + 0 ms";
    assert!(course.picture.title.ends_with(phases), "{course:?}");
    // Who sends nothing has no client.
    assert_eq!(course.picture.series.len(), 2);
    let wire = "wire: all of it, of 1 Gb/s";
    assert_eq!(points(course, wire), [(-1.0, 50.0), (2.0, 50.0)]);
    let total = figure(&figures, "applications-total-time");
    assert_eq!(points(total, "probe: pre-copy"), [(1.0, 1.804)]);
    assert_eq!(points(total, "paper: pre-copy")[1], (1.0, 6.4));
    let repeated = figure(&figures, "repeated-sender");
    assert_eq!(points(repeated, "post-copy"), [(512.0, 1.5)]);
    assert_eq!(points(repeated, "paper: pre-copy").len(), 4);
}

#[test]
fn moves_of_linux_applications_are_drawn_and_listed_and_emulated_ones_say_so() {
    let row = json!({
        "application": "sender", "column": "post-copy", "unit": "Mb",
        "alone": { "per_s": 80.0, "longest_ms": 100.0 }, "moved": { "per_s": 60.0, "longest_ms": null },
        "total_ms": 2500.0, "downtime_ms": 9.0, "transferred_pages": 29_000.0, "network_faults": 40.0,
    });
    let linux = |is_emulated: bool| Source {
        benchmark: Benchmark::Applications,
        results: Some(json!({ "is_emulated": is_emulated, "rows": [row] })),
    };
    for (is_emulated, series, title) in [
        (false, "Linux: post-copy", "Linux applications: "),
        (
            true,
            "emulated Linux: post-copy",
            "Linux applications, emulated: ",
        ),
    ] {
        let figures = figures::all(&[linux(is_emulated)], &Paper::load());
        let total = figure(&figures, "applications-total-time");
        assert_eq!(points(total, series), [(3.0, 2.5)]);
        let tables = tables::all(&[linux(is_emulated)], &Paper::load());
        assert!(tables[0].title.starts_with(title), "{}", tables[0].title);
        assert_eq!(tables[0].rows[0][2..4], ["60.00 / 80.00 Mb", "- / 100"]);
    }
}
