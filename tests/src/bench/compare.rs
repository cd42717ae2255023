//! Two files of results of one benchmark: what got worse beyond the noise.
//!
//! A number got worse if each of its new runs is worse than each of its old ones, and the typical one by
//! more than 15 % and a least amount, which depends on what it is.

use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use super::statistics::Spread;

/// Our choice: less is not worth a look on machines whose equal runs differ by as much.
const LEAST_SHARE: f64 = 0.15;

/// Fewer runs than that say nothing about noise.
const LEAST_RUNS: usize = 3;

/// Numbers of a move, all of which are better when they are small, and the least change that counts.
const MOVES: [(&str, f64); 8] = [
    ("work_lost_s", 0.02),
    ("longest_stall_ms", 2.0),
    ("blocked_ms", 5.0),
    ("network_faults", 20.0),
    ("fault_p99_us", 200.0),
    ("downtime_ms", 0.5),
    ("total_ms", 20.0),
    ("wire_mib", 1.0),
];

/// Which side is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Better {
    Less,
    More,
}

/// One number of a file of results.
#[derive(Debug, Clone)]
struct Measure {
    what: String,
    spread: Spread,
    better: Better,
    least_change: f64,
}

/// A number that got worse.
#[derive(Debug, Clone, PartialEq)]
pub struct Worse {
    /// What it is.
    pub what: String,
    /// As it was.
    pub before: Spread,
    /// As it is.
    pub after: Spread,
}

impl fmt::Display for Worse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            before,
            after,
        } = self;
        write!(
            f,
            "{what}: {:.2} ({:.2} to {:.2}), was {:.2} ({:.2} to {:.2})",
            after.median, after.min, after.max, before.median, before.min, before.max
        )
    }
}

/// What a comparison shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Numbers that both have, with runs enough.
    pub compared: usize,
    /// Those that got worse.
    pub worse: Vec<Worse>,
}

/// Compares the results of one benchmark, `before` and `after` a change.
#[must_use]
pub fn compare(before: &Value, after: &Value) -> Comparison {
    let has_runs = |measure: &Measure| measure.spread.count >= LEAST_RUNS;
    let old = measures(before).into_iter().filter(has_runs);
    let old: HashMap<_, _> = old
        .map(|measure| (measure.what.clone(), measure.spread))
        .collect();
    let new = measures(after).into_iter().filter(has_runs);
    let pairs = new.filter_map(|new| Some((*old.get(&new.what)?, new)));
    let (mut compared, mut worse) = (0, Vec::new());
    for (before, new) in pairs {
        compared += 1;
        if is_worse(before, &new) {
            worse.push(Worse {
                what: new.what,
                before,
                after: new.spread,
            });
        }
    }
    Comparison { compared, worse }
}

fn is_worse(before: Spread, new: &Measure) -> bool {
    let after = new.spread;
    let (apart, change) = match new.better {
        Better::Less => (after.min > before.max, after.median - before.median),
        Better::More => (after.max < before.min, before.median - after.median),
    };
    apart && change > new.least_change && change > LEAST_SHARE * before.median
}

/// All numbers of a file of results that can be compared.
fn measures(results: &Value) -> Vec<Measure> {
    match results["benchmark"].as_str() {
        Some("migrate") => of_moves(results),
        Some("resume") => of_resumes(results),
        Some("devices") => of_devices(results),
        _ => Vec::new(),
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn of_moves(results: &Value) -> Vec<Measure> {
    let cells = list(&results["cells"]).flat_map(|cell| {
        let keys = [
            "suite",
            "workload",
            "pace",
            "link",
            "hot_mib",
            "memory_mib",
            "column",
        ];
        let words = keys.map(|key| cell[key].to_string().replace('"', ""));
        let words = words.join(" ");
        MOVES.iter().filter_map(move |&(metric, least_change)| {
            let spread = Spread::deserialize(&cell["spread"][metric]).ok()?;
            Some(Measure {
                what: format!("{words}: {metric}"),
                spread,
                better: Better::Less,
                least_change,
            })
        })
    });
    cells.collect()
}

/// Times and faults; ratios follow from them.
fn of_resumes(results: &Value) -> Vec<Measure> {
    let suites = results.as_object().into_iter().flatten();
    let rows = suites.flat_map(|(suite, findings)| {
        list(&findings["rows"]).filter_map(move |row| {
            let least_change = match row["unit"].as_str()? {
                "ms" => 1.0,
                "s" => 0.02,
                "pages" => 20.0,
                _ => return None,
            };
            Some(Measure {
                what: format!("{suite}: {}", row["what"].as_str()?),
                spread: Spread::of(list(&row["values"]).filter_map(Value::as_f64))?,
                better: Better::Less,
                least_change,
            })
        })
    });
    rows.collect()
}

/// By what the host itself does in the same round.
fn of_devices(results: &Value) -> Vec<Measure> {
    let rows = ["disk", "net"]
        .into_iter()
        .flat_map(|device| list(&results[device]).map(move |row| (device, row)));
    let rows = rows.filter_map(|(device, row)| {
        let ratio = |round: &Value| Some(round["skiff"].as_f64()? / round["host"].as_f64()?);
        Some(Measure {
            what: format!("{device}: {}, by the host", row["name"].as_str()?),
            spread: Spread::of(list(&row["rounds"]).filter_map(ratio))?,
            better: Better::More,
            least_change: 0.0,
        })
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bench::METRICS;

    fn moves(faults: [f64; 3], downtime_ms: [f64; 3]) -> Value {
        let spread = |[min, median, max]: [f64; 3]| json!({ "median": median, "min": min, "max": max, "count": 3 });
        json!({ "benchmark": "migrate", "cells": [{
            "suite": "moves", "workload": "random", "pace": "full", "link": "1G",
            "hot_mib": 256, "memory_mib": 1024, "column": "bubble",
            "spread": { "network_faults": spread(faults), "downtime_ms": spread(downtime_ms) },
        }]})
    }

    #[test]
    fn numbers_compared_are_numbers_that_the_benchmark_writes() {
        for (name, _) in MOVES {
            assert!(METRICS.iter().any(|metric| metric.name == name), "{name}");
        }
    }

    #[test]
    fn number_that_is_worse_in_every_run_is_named() {
        let before = moves([100.0, 120.0, 150.0], [1.2, 1.4, 1.6]);
        let after = moves([900.0, 950.0, 999.0], [1.3, 1.5, 1.7]);
        let found = compare(&before, &after);
        assert_eq!((found.compared, found.worse.len()), (2, 1));
        let line = found.worse[0].to_string();
        assert!(
            line.contains("moves random full 1G 256 1024 bubble: network_faults: 950.00"),
            "{line}"
        );
        assert!(compare(&after, &before).worse.is_empty());
    }

    #[test]
    fn change_within_the_noise_or_too_small_to_matter_is_none() {
        let before = moves([100.0, 120.0, 150.0], [1.2, 1.3, 1.4]);
        // It overlaps; it is apart, but by less than counts.
        let after = moves([140.0, 300.0, 400.0], [1.5, 1.6, 1.7]);
        assert!(compare(&before, &after).worse.is_empty());
    }

    #[test]
    fn rate_is_better_when_it_is_higher_and_a_few_runs_say_nothing() {
        let disks = |rates: &[f64]| {
            let rounds: Vec<_> = rates
                .iter()
                .map(|rate| json!({ "skiff": rate, "host": 1000.0 }))
                .collect();
            json!({ "benchmark": "devices", "disk": [{ "name": "random", "rounds": rounds }] })
        };
        let (fast, slow) = (disks(&[900.0, 910.0, 920.0]), disks(&[500.0, 510.0, 520.0]));
        assert_eq!(compare(&fast, &slow).worse.len(), 1);
        assert!(compare(&slow, &fast).worse.is_empty());
        let few = compare(&fast, &disks(&[1.0, 1.0]));
        assert_eq!((few.compared, few.worse.len()), (0, 0));
    }

    #[test]
    fn resumes_are_compared_by_suite_and_row() {
        let resumes = |ms: [f64; 3]| {
            json!({ "benchmark": "resume", "first": { "rows": [
                { "what": "8G lazy", "unit": "ms", "values": ms },
                { "what": "share", "unit": "ratio", "values": ms },
            ]}})
        };
        let found = compare(&resumes([9.0, 10.0, 11.0]), &resumes([19.0, 20.0, 21.0]));
        assert_eq!(found.compared, 1);
        assert_eq!(found.worse[0].what, "first: 8G lazy");
    }
}
