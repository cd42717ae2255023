//! All that a benchmark found, and its JSON form.

use std::env;
use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::{Value, json};

use super::BenchError;
use super::cell::LinkKind;
use super::floors::Floors;
use super::sample::Summary;
use super::table::METRICS;
use super::verdict::Verdict;

/// Version of the JSON form.
const SCHEMA: u32 = 1;

/// The floors of one link.
#[derive(Debug, Clone)]
pub struct LinkFloors {
    /// The link.
    pub link: LinkKind,
    /// The typical ones.
    pub typical: Floors,
    /// One for each round.
    pub rounds: Vec<Floors>,
}

impl LinkFloors {
    /// The floors of all rounds; `None` if there was none.
    #[must_use]
    pub fn new(link: LinkKind, rounds: Vec<Floors>) -> Option<Self> {
        let typical = Floors::median(&rounds)?;
        Some(Self {
            link,
            typical,
            rounds,
        })
    }
}

/// Something that was not measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// What.
    pub what: String,
    /// Why.
    pub reason: String,
}

impl Skipped {
    /// `what` cannot be measured here.
    #[must_use]
    pub fn new(what: String, reason: String) -> Self {
        Self { what, reason }
    }
}

/// All of it.
#[derive(Debug, Default)]
pub struct Results {
    /// Floors by link.
    pub floors: Vec<LinkFloors>,
    /// Cells and columns, in the order of the table.
    pub summaries: Vec<Summary>,
    /// Claims held against them.
    pub verdicts: Vec<Verdict>,
    /// What could not be measured.
    pub skipped: Vec<Skipped>,
    /// Whether the user ended it early.
    pub interrupted: bool,
}

impl Results {
    /// One JSON object: medians and spreads for readers, every single run for whoever doubts them.
    #[must_use]
    pub fn json(&self) -> Value {
        let Self {
            floors,
            summaries,
            verdicts,
            skipped,
            interrupted,
        } = self;
        let floors = floors.iter().map(|floors| {
            json!({
                "link": floors.link.to_string(),
                "median": floors.typical,
                "rounds": floors.rounds,
            })
        });
        let mut json = header("migrate");
        json["interrupted"] = json!(interrupted);
        json["floors"] = floors.collect();
        json["cells"] = summaries.iter().map(summary_json).collect();
        json["verdicts"] = json!(verdicts);
        json["skipped"] = json!(skipped);
        json
    }
}

/// What the results of every benchmark begin with: which it was, when, and on what.
#[must_use]
pub fn header(benchmark: &str) -> Value {
    json!({
        "schema": SCHEMA,
        "benchmark": benchmark,
        "command": env::args().collect::<Vec<_>>().join(" "),
        "unix_time_s": unix_time_s(),
        "machine": machine(),
    })
}

/// Writes results to a file, and makes its directory.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, results: &Value) -> Result<(), BenchError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory)
        .and_then(|()| fs::write(path, format!("{results:#}\n")))
        .map_err(BenchError::system("write the results"))
}

fn summary_json(summary: &Summary) -> Value {
    let Summary {
        cell,
        column,
        samples,
        failures,
    } = summary;
    let metrics = METRICS
        .iter()
        .map(|metric| (metric.name.to_owned(), json!(summary.spread(metric.number))));
    json!({
        "suite": cell.suite.to_string(),
        "workload": cell.workload.to_string(),
        "pace": cell.pace.to_string(),
        "link": cell.link.to_string(),
        "memory_mib": cell.memory_mib,
        "hot_mib": cell.hot_mib,
        "column": column.name,
        "options": column.options,
        "runs": samples.len(),
        "quiet_runs": summary.quiet(),
        "spread": metrics.collect::<serde_json::Map<_, _>>(),
        "samples": samples,
        "failures": failures,
    })
}

/// What the numbers were measured on, as far as the kernel tells.
fn machine() -> Value {
    let line = |path: &str| {
        fs::read_to_string(path)
            .ok()
            .map(|text| text.trim().to_owned())
    };
    let cpuinfo = line("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    json!({
        "kernel": line("/proc/sys/kernel/osrelease"),
        "processor": model.map(|(_, model)| model),
        "processors": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
    })
}

fn unix_time_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{Extent, Selection};

    #[test]
    fn json_of_results_names_cells_floors_and_what_was_left_out() {
        let selection = Selection {
            extent: Extent::Small,
            suites: Vec::new(),
            workloads: Vec::new(),
            paces: Vec::new(),
            links: vec![LinkKind::Loopback],
            memory_mib: 1024,
            hot_mib: 256,
        };
        let column: crate::bench::Column = "push:--mode post-copy".parse().unwrap();
        let mut results = Results::default();
        for cell in selection.cells() {
            results.summaries.push(Summary::new(cell, column.clone()));
        }
        results
            .skipped
            .push(Skipped::new("link 1G".to_owned(), "no root".to_owned()));
        let json = results.json();
        assert_eq!(json["schema"], SCHEMA);
        assert_eq!(json["skipped"][0]["reason"], "no root");
        let cell = &json["cells"][0];
        assert_eq!(cell["workload"], "seq-write");
        assert_eq!(cell["options"], json!(["--mode", "post-copy"]));
        assert_eq!(cell["spread"]["downtime_ms"], Value::Null);
    }
}
