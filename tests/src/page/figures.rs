//! Which pictures there are, and what is drawn in each.

mod applications;
mod degradation;

use serde_json::Value;

use super::{Figure, Source};
use crate::bench::Spread;
use crate::paper::Paper;
use crate::picture::{Axis, Picture, Scale, Series};
use crate::result_files::Benchmark;

/// Pages in a MiB.
const MIB_PAGES: f64 = 256.0;

const STRESS_REMARK: &str = "Ours is the probe guest, which visits each page of its working set and nothing else; \
     the rest of its 2 GiB was never touched, which is what ballooning made of the paper's. \
     The link has 1 Gb/s in both (ours: a token bucket filter on a veth pair).";

/// The pictures for which there are results.
pub fn all(sources: &[Source], paper: &Paper) -> Vec<Figure> {
    let of = |benchmark| {
        let source = sources.iter().find(|source| source.benchmark == benchmark);
        source.and_then(|source| source.results.as_ref())
    };
    let mut figures = Vec::new();
    if let Some(migrate) = of(Benchmark::Migrate) {
        figures.extend(stress(migrate, paper));
        figures.extend(sorts(migrate, paper));
    }
    if let Some(degradation) = of(Benchmark::Degradation) {
        figures.extend(degradation::all(degradation, paper));
    }
    let (probe, linux) = (of(Benchmark::Degradation), of(Benchmark::Applications));
    figures.extend(applications::all(probe, linux, paper));
    if let Some(balloon) = of(Benchmark::Balloon) {
        figures.extend(intervals(&balloon["sweep"], paper));
    }
    figures
}

/// A figure with our lines, which the picture has, and the paper's; nothing if we have measured none.
fn figure(
    name: &'static str,
    mut picture: Picture,
    paper: Vec<Series>,
    remark: &'static str,
) -> Option<Figure> {
    picture.series.retain(|series| !series.points.is_empty());
    if picture.series.is_empty() {
        return None;
    }
    picture.series.extend(paper);
    Some(Figure {
        name,
        picture,
        remark,
    })
}

/// The paper's sequential stress.
fn stress(migrate: &Value, paper: &Paper) -> impl Iterator<Item = Figure> {
    let over_set = |title: &str, y: &str, y_scale, number: fn(&Value) -> Option<f64>| Picture {
        title: title.to_owned(),
        x: "working set, MB".to_owned(),
        x_axis: Axis::Numbers(Scale::Logarithmic),
        y: y.to_owned(),
        y_scale,
        series: of_cells(migrate, "stress", number, set_mib),
    };
    let theirs = |figure: &str, names: &[(&str, &str)]| {
        let series = names.iter();
        let series = series.map(|(key, name)| paper.series(figure, ["ws_mb", key], name));
        series.collect()
    };
    let modes = [
        ("post_read_dsb", "post-copy, read"),
        ("post_write_dsb", "post-copy, write"),
        ("pre_read_dsb", "pre-copy, read"),
        ("pre_write_dsb", "pre-copy, write"),
    ];
    let ways = [
        ("prepaging_network", "pre-paging"),
        ("push_network", "active push alone"),
    ];
    let figures = [
        figure(
            "total-time",
            over_set(
                "Total migration time (VEE 2009, figure 4)",
                "s",
                Scale::Linear,
                |cell| Some(median(cell, "total_ms")? / 1e3),
            ),
            theirs("fig4_total_s", &modes),
            STRESS_REMARK,
        ),
        figure(
            "downtime",
            over_set(
                "Downtime (VEE 2009, figure 5)",
                "ms",
                Scale::Logarithmic,
                |cell| median(cell, "downtime_ms"),
            ),
            theirs("fig5_downtime_ms", &modes),
            STRESS_REMARK,
        ),
        figure(
            "pages",
            over_set(
                "Pages transferred (VEE 2009, figure 6)",
                "thousands",
                Scale::Linear,
                |cell| Some(of_samples(cell, "transferred_pages")? / 1e3),
            ),
            theirs("fig6_kpages", &modes),
            STRESS_REMARK,
        ),
        figure(
            "network-faults",
            over_set(
                "Pages that were faulted on before they came (VEE 2009, table 2)",
                "% of the pages touched",
                Scale::Linear,
                |cell| {
                    let pages = set_mib(cell)? * MIB_PAGES;
                    Some(median(cell, "network_faults")? / pages * 100.0)
                },
            ),
            theirs("table2_percent", &ways),
            "The paper counts network and minor faults; ours are network faults by the pages of the working \
             set, each of which is touched once before it is touched again. Pre-copy has none.",
        ),
    ];
    figures.into_iter().flatten()
}

/// The paper's table of sorts.
fn sorts(migrate: &Value, paper: &Paper) -> Option<Figure> {
    let procs = |cell: &Value| {
        let procs = cell["workload"].as_str()?.strip_prefix("quicksort:")?;
        procs.parse().ok()
    };
    let theirs = [
        ("push", "active push"),
        ("fwd", "forward"),
        ("dual", "dual"),
        ("dual_mp_lru", "dual, multi-pivot, LRU"),
    ];
    let picture = Picture {
        title: "Network faults while processes sort 512 MB (OSR 2009, figure 17)".to_owned(),
        x: "processes".to_owned(),
        x_axis: Axis::Numbers(Scale::Logarithmic),
        y: "network faults".to_owned(),
        y_scale: Scale::Logarithmic,
        series: of_cells(
            migrate,
            "sorts",
            |cell| median(cell, "network_faults"),
            procs,
        ),
    };
    figure(
        "sorts",
        picture,
        theirs.map(|(key, name)| paper.sorts(key, name)).into(),
        "Ours are arrays that one vCPU of the probe guest sorts in turn, a few milliseconds each; the paper's \
         are Linux processes. Of the paper's nine strategies four are shown.",
    )
}

/// The interval of self-ballooning.
fn intervals(sweep: &Value, paper: &Paper) -> Option<Figure> {
    let ours = |key: &str, name: &str| {
        let rows = sweep["rows"].as_array().into_iter().flatten();
        let point =
            |row: &Value| Some((row["interval_ms"].as_f64()?, row[key]["median"].as_f64()?));
        Series {
            name: name.to_owned(),
            points: rows.filter_map(point).collect(),
        }
    };
    let picture = Picture {
        title: "What self-ballooning costs, by its interval (VEE 2009, figure 11)".to_owned(),
        x: "interval, ms".to_owned(),
        x_axis: Axis::Numbers(Scale::Logarithmic),
        y: "slow-down, %".to_owned(),
        y_scale: Scale::Linear,
        series: vec![
            ours("slowdown_percent", "less work than the guest beside it"),
            ours("balloon_percent", "time that the guest counts"),
        ],
    };
    let theirs = vec![
        paper.slowdown_percent("vm128", "kernel build in 128 MB"),
        paper.slowdown_percent("vm512", "kernel build in 512 MB"),
    ];
    figure(
        "self-ballooning",
        picture,
        theirs,
        "Ours is a guest of 512 MiB whose working set grows to 400 MiB and shrinks to 50 within half a minute, a MiB at a time, on \
         one half of a processor, beside its equal without a balloon on the other; the paper's is a kernel build, which needs its memory for longer.",
    )
}

fn set_mib(cell: &Value) -> Option<f64> {
    cell["hot_mib"].as_f64()
}

fn median(cell: &Value, metric: &str) -> Option<f64> {
    cell["spread"][metric]["median"].as_f64()
}

fn of_samples(cell: &Value, number: &str) -> Option<f64> {
    let samples = cell["samples"].as_array()?.iter();
    Spread::of(samples.filter_map(|sample| sample[number].as_f64())).map(|spread| spread.median)
}

/// A series for each column and workload of a suite.
fn of_cells(
    migrate: &Value,
    suite: &str,
    y: impl Fn(&Value) -> Option<f64>,
    x: impl Fn(&Value) -> Option<f64>,
) -> Vec<Series> {
    let cells = migrate["cells"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let mut all: Vec<Series> = Vec::new();
    for cell in cells.iter().filter(|cell| cell["suite"] == suite) {
        let (Some(point), Some(column)) = (x(cell).zip(y(cell)), cell["column"].as_str()) else {
            continue;
        };
        let workload = cell["workload"].as_str().unwrap_or_default();
        let name = match workload.strip_prefix("seq-") {
            Some(verb) => format!("{column}, {verb}"),
            None => column.to_owned(),
        };
        match all.iter_mut().find(|series| series.name == name) {
            Some(series) => series.points.push(point),
            None => all.push(Series {
                name,
                points: vec![point],
            }),
        }
    }
    for series in &mut all {
        series
            .points
            .sort_by(|one, other| one.0.total_cmp(&other.0));
    }
    all
}
