//! Pictures of what a move of an application costs, beside what it cost the paper's.

use serde_json::Value;

use super::{Figure, figure};
use crate::paper::Paper;
use crate::picture::{Axis, Picture, Scale, Series};

/// The applications, as our results and the paper's name them.
const APPLICATIONS: [&str; 4] = ["web", "build", "torrent", "sender"];

/// The same for readers.
const NAMES: [&str; 4] = ["web server", "kernel build", "file sharing", "sender"];

/// What is drawn of each of them.
struct Cost {
    name: &'static str,
    title: &'static str,
    y: &'static str,
    /// Its key in our results.
    ours: &'static str,
    /// What to multiply ours by.
    factor: f64,
    /// How moved, and the paper's key for it.
    theirs: &'static [(&'static str, &'static str)],
}

const COSTS: [Cost; 4] = [
    Cost {
        name: "applications-pages",
        title: "Pages transferred of applications (VEE 2009, figures 12 to 15)",
        y: "pages",
        ours: "transferred_pages",
        factor: 1.0,
        theirs: &[("post-copy", "pages_post"), ("pre-copy", "pages_pre")],
    },
    Cost {
        name: "applications-faults",
        title: "Network faults of applications (VEE 2009, figures 12 to 15, table 1)",
        y: "network faults",
        ours: "network_faults",
        factor: 1.0,
        theirs: &[("post-copy", "network_faults")],
    },
    Cost {
        name: "applications-total-time",
        title: "Total migration time of applications (VEE 2009, figures 12 to 15)",
        y: "total time, s",
        ours: "total_ms",
        factor: 1e-3,
        theirs: &[("post-copy", "total_post_s"), ("pre-copy", "total_pre_s")],
    },
    Cost {
        name: "applications-downtime",
        title: "Downtime of applications (VEE 2009, figures 12 to 15)",
        y: "downtime, ms",
        ours: "downtime_ms",
        factor: 1.0,
        theirs: &[("post-copy", "down_post_ms"), ("pre-copy", "down_pre_ms")],
    },
];

const REMARK: &str = "The paper's were SPECweb, a kernel build, BitTorrent and NetPerf; 512 MB, and a link of 1 Gb/s. The probe is a guest \
     that has as many pages as they had in 512 MiB, and works on them or sends at 500 Mb/s, over 1 Gb/s. Linux is a Debian guest of \
     512 MiB with nginx and wrk, a part of a kernel build, random writes beside a download, and iperf3 (make bench-applications); where no stock \
     kernel runs it is emulated, all times with it, and its link has no rate.";

/// All of them: of the probe, of Linux, or of both.
pub fn all<'a>(
    probe: Option<&'a Value>,
    linux: Option<&'a Value>,
    paper: &'a Paper,
) -> impl Iterator<Item = Figure> + 'a {
    COSTS
        .iter()
        .filter_map(move |cost| drawn(probe, linux, paper, cost))
}

fn drawn(
    probe: Option<&Value>,
    linux: Option<&Value>,
    paper: &Paper,
    cost: &Cost,
) -> Option<Figure> {
    let is_emulated = linux.is_some_and(|linux| linux["is_emulated"] == true);
    let sources = [
        ("probe", probe.map(|probe| &probe["courses"])),
        (
            if is_emulated {
                "emulated Linux"
            } else {
                "Linux"
            },
            linux.map(|linux| &linux["rows"]),
        ),
    ];
    let ours = sources.into_iter().flat_map(|(guest, moves)| {
        let moves = moves
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice);
        cost.theirs.iter().map(move |&(column, _)| Series {
            name: format!("{guest}: {column}"),
            points: points(|application| {
                let mut moves = moves.iter();
                let course = moves
                    .find(|one| one["application"] == application && one["column"] == column)?;
                Some(course[cost.ours].as_f64()? * cost.factor)
            }),
        })
    });
    let theirs = |&(column, key): &(&str, &str)| Series {
        name: format!("paper: {column}"),
        points: points(|application| paper.application(application, key)),
    };
    let picture = Picture {
        title: cost.title.to_owned(),
        x: String::new(),
        x_axis: Axis::Names(&NAMES),
        y: cost.y.to_owned(),
        y_scale: Scale::Logarithmic,
        series: ours.collect(),
    };
    figure(
        cost.name,
        picture,
        cost.theirs.iter().map(theirs).collect(),
        REMARK,
    )
}

/// A point for each application of which there is a number.
fn points(number: impl Fn(&str) -> Option<f64>) -> Vec<(f64, f64)> {
    let places = [0.0, 1.0, 2.0, 3.0].into_iter().zip(APPLICATIONS);
    let point = |(place, application)| Some((place, number(application)?));
    places.filter_map(point).collect()
}
