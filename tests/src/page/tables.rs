//! Which tables there are: the claims of each benchmark, and the numbers that no picture shows.

mod claims;

use serde_json::Value;

use super::{Source, Table};
use crate::bench::Spread;
use crate::paper::Paper;
use crate::result_files::Benchmark;
use claims::{claims, shortfalls};

/// The tables for which there are results.
pub fn all(sources: &[Source], paper: &Paper) -> Vec<Table> {
    let tables = sources.iter().flat_map(|source| {
        let Some(results) = &source.results else {
            return Vec::new();
        };
        match source.benchmark {
            Benchmark::Migrate => vec![
                moves(results),
                claims("Claims about moves", &results["verdicts"]),
            ],
            Benchmark::Peers => vec![
                peers(results),
                claims("Claims about moves beside QEMU's", &results["verdicts"]),
                shortfalls(&results["shortfalls"]),
            ],
            Benchmark::Degradation => vec![applications(results, paper), degradation(results)],
            Benchmark::Applications => vec![linux(results)],
            Benchmark::Resume => resumes(results),
            Benchmark::Balloon => vec![drag(results)],
            Benchmark::Devices => vec![
                device(&results["disk"], "Reading a disk, MiB/s"),
                device(&results["net"], "A network card, 1000 frames/s"),
            ],
            Benchmark::Boot => vec![start(results)],
        }
    });
    tables.filter(|table| !table.rows.is_empty()).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A number with as many places as are worth reading.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size < 1.0 => format!("{value:.3}"),
        size if size < 100.0 => format!("{value:.2}"),
        _ => format!("{value:.0}"),
    }
}

fn numeric(value: &Value) -> String {
    value.as_f64().map_or_else(|| "-".to_owned(), number)
}

/// Median and range.
fn spread(value: &Value) -> String {
    let part = |name: &str| numeric(&value[name]);
    match value["median"].as_f64() {
        Some(median) => format!("{} ({} to {})", number(median), part("min"), part("max")),
        None => "-".to_owned(),
    }
}

fn spread_of(values: impl IntoIterator<Item = f64>) -> String {
    Spread::of(values).map_or_else(
        || "-".to_owned(),
        |spread| {
            let [median, min, max] = [spread.median, spread.min, spread.max].map(number);
            format!("{median} ({min} to {max})")
        },
    )
}

/// What is shown of a move.
pub const SHOWN: [&str; 7] = [
    "total_ms",
    "downtime_ms",
    "longest_stall_ms",
    "work_lost_percent",
    "network_faults",
    "fault_p99_us",
    "wire_mib",
];

fn moves(migrate: &Value) -> Table {
    let row = |cell: &Value| {
        let what = ["suite", "workload", "pace", "link"].map(|key| text(&cell[key]));
        let sizes = format!("{} of {} MiB", cell["hot_mib"], cell["memory_mib"]);
        let runs = format!("{}/{}", cell["quiet_runs"], cell["runs"]);
        let numbers = SHOWN.map(|metric| spread(&cell["spread"][metric]));
        [&what.join(" "), &sizes, &text(&cell["column"]), &runs]
            .into_iter()
            .cloned()
            .chain(numbers)
            .collect()
    };
    Table {
        title: "Moves: medians and ranges".to_owned(),
        heads: [&["what", "hot", "how", "quiet runs"], &SHOWN[..]].concat(),
        rows: list(&migrate["cells"]).iter().map(row).collect(),
    }
}

/// What is shown of a move beside a peer's.
const BESIDE: [&str; 9] = [
    "total_ms",
    "downtime_ms",
    "lost_s",
    "blocked_ms",
    "queued_ms",
    "kernel_ms",
    "longest_stall_ms",
    "requests",
    "wire_bytes",
];

fn peers(peers: &Value) -> Table {
    let rows = list(&peers["contests"]).iter().flat_map(|contest| {
        let what = ["workload", "pace", "link"].map(|key| text(&contest[key]));
        let what = what.join(" ");
        list(&contest["entries"]).iter().map(move |entry| {
            let moves = list(&entry["moves"]);
            let ended = moves.iter().filter(|one| !one.is_null()).count();
            let numbers =
                BESIDE.map(|key| spread_of(moves.iter().filter_map(|one| one[key].as_f64())));
            [
                what.clone(),
                text(&entry["contestant"]),
                format!("{ended}/{}", moves.len()),
            ]
            .into_iter()
            .chain(numbers)
            .collect()
        })
    });
    Table {
        title: "Moves beside QEMU's".to_owned(),
        heads: [&["what", "who", "moves that ended"], &BESIDE[..]].concat(),
        rows: rows.collect(),
    }
}

/// Ours beside the paper's.
fn applications(degradation: &Value, paper: &Paper) -> Table {
    let row = |course: &Value| {
        let [application, column] = ["application", "column"].map(|key| text(&course[key]));
        let [pages, total, down] = if column == "post-copy" {
            ["pages_post", "total_post_s", "down_post_ms"]
        } else {
            ["pages_pre", "total_pre_s", "down_pre_ms"]
        };
        let faults = if column == "post-copy" {
            "network_faults"
        } else {
            "none"
        };
        let beside = |ours: Option<f64>, theirs: &str| {
            let theirs = paper.application(&application, theirs);
            let [ours, theirs] =
                [ours, theirs].map(|one| one.map_or_else(|| "-".to_owned(), number));
            format!("{ours} / {theirs}")
        };
        let ours = |key: &str| course[key].as_f64();
        let numbers = [
            beside(ours("total_ms").map(|ms| ms / 1e3), total),
            beside(ours("downtime_ms"), down),
            beside(ours("transferred_pages"), pages),
            beside(ours("network_faults"), faults),
        ];
        [application, column].into_iter().chain(numbers).collect()
    };
    Table {
        title: "Applications that move: ours / the paper's (VEE 2009, table 1)".to_owned(),
        heads: vec![
            "application",
            "how",
            "total s",
            "downtime ms",
            "pages",
            "network faults",
        ],
        rows: list(&degradation["courses"]).iter().map(row).collect(),
    }
}

/// What clients of Linux applications got, alone and while they moved.
fn linux(applications: &Value) -> Table {
    let row = |row: &Value| {
        let [application, column, unit] =
            ["application", "column", "unit"].map(|key| text(&row[key]));
        let beside = |key: &str| {
            let [alone, moved] = ["alone", "moved"].map(|when| numeric(&row[when][key]));
            format!("{moved} / {alone}")
        };
        let numbers = [
            "total_ms",
            "downtime_ms",
            "transferred_pages",
            "network_faults",
        ];
        [
            application,
            column,
            format!("{} {unit}", beside("per_s")),
            beside("longest_ms"),
        ]
        .into_iter()
        .chain(numbers.map(|key| numeric(&row[key])))
        .collect()
    };
    let emulated = if applications["is_emulated"] == true {
        ", emulated"
    } else {
        ""
    };
    Table {
        title: format!("Linux applications{emulated}: in a span with a move / alone"),
        heads: vec![
            "application",
            "how",
            "a second",
            "longest wait, ms",
            "total ms",
            "downtime ms",
            "pages",
            "network faults",
        ],
        rows: list(&applications["rows"]).iter().map(row).collect(),
    }
}

fn degradation(degradation: &Value) -> Table {
    let row = |row: &Value| {
        let [application, column] = ["application", "column"].map(|key| text(&row[key]));
        let numbers = [
            "memory_mib",
            "moves",
            "alone_per_s",
            "moved_per_s",
            "slowdown_percent",
        ];
        [application, column]
            .into_iter()
            .chain(numbers.map(|key| numeric(&row[key])))
            .collect()
    };
    Table {
        title: "Work while its VM moves again and again".to_owned(),
        heads: vec![
            "application",
            "how",
            "memory MiB",
            "moves",
            "alone /s",
            "moved /s",
            "longer by %",
        ],
        rows: list(&degradation["repeated"]).iter().map(row).collect(),
    }
}

fn resumes(resume: &Value) -> Vec<Table> {
    let suites = ["first", "set", "speed", "write", "clones"];
    let tables = suites.into_iter().flat_map(|suite| {
        let findings = &resume[suite];
        let row = |row: &Value| {
            let values = list(&row["values"]).iter().filter_map(Value::as_f64);
            vec![text(&row["what"]), text(&row["unit"]), spread_of(values)]
        };
        let numbers = Table {
            title: format!("Resume: {suite}"),
            heads: vec!["what", "unit", "median and range"],
            rows: list(&findings["rows"]).iter().map(row).collect(),
        };
        let title = format!("Claims about resume: {suite}");
        [numbers, claims(&title, &findings["verdicts"])]
    });
    tables.collect()
}

fn drag(balloon: &Value) -> Table {
    let suites = ["drag", "sweep"].into_iter();
    let rows = suites.flat_map(|suite| {
        let rows = list(&balloon[suite]["rows"]).iter();
        rows.map(move |row| {
            let pairs = list(&row["pairs"]);
            let resident = |whose: &str| {
                let of = |pair: &Value| pair[whose]["resident_mib"].as_f64();
                spread_of(pairs.iter().filter_map(of))
            };
            vec![
                suite.to_owned(),
                format!("{} ms", row["interval_ms"]),
                pairs.len().to_string(),
                spread(&row["slowdown_percent"]),
                spread(&row["balloon_percent"]),
                resident("with"),
                resident("without"),
            ]
        })
    });
    Table {
        title: "Self-ballooning beside a guest without".to_owned(),
        heads: vec![
            "suite",
            "interval",
            "pairs",
            "less work, %",
            "the guest counts, %",
            "resident MiB",
            "without",
        ],
        rows: rows.collect(),
    }
}

fn device(rows: &Value, title: &str) -> Table {
    let row = |row: &Value| {
        let rounds = list(&row["rounds"]);
        let rate = |whose: &str| spread_of(rounds.iter().filter_map(|round| round[whose].as_f64()));
        let ratio = |to: &str| {
            let ratio = |round: &Value| Some(round["skiff"].as_f64()? / round[to].as_f64()?);
            spread_of(rounds.iter().filter_map(ratio))
        };
        vec![
            text(&row["name"]),
            rate("skiff"),
            rate("qemu"),
            rate("host"),
            ratio("qemu"),
            ratio("host"),
        ]
    };
    Table {
        title: title.to_owned(),
        heads: vec![
            "what",
            "skiff",
            "QEMU",
            "the host",
            "to QEMU",
            "to the host",
        ],
        rows: list(rows).iter().map(row).collect(),
    }
}

fn start(boot: &Value) -> Table {
    let rows = [
        (
            "process start to the guest's first line, ms",
            "first_line_ms",
        ),
        ("an empty process, ms", "process_floor_ms"),
        (
            "resident memory of monitor and idle guest of 128 MiB, MB",
            "resident_mb",
        ),
    ];
    Table {
        title: "Start and size".to_owned(),
        heads: vec!["what", "median and range"],
        rows: rows
            .map(|(what, key)| vec![what.to_owned(), spread(&boot[key])])
            .into(),
    }
}
