//! Pictures of what moves do to an application.

use serde_json::Value;

use super::{Figure, figure};
use crate::paper::Paper;
use crate::picture::{Axis, Picture, Scale, Series};

/// A move of an application, and how its picture is called.
struct Course {
    name: &'static str,
    application: &'static str,
    column: &'static str,
    title: &'static str,
    remark: &'static str,
}

const COURSES: [Course; 4] = [
    Course {
        name: "course-sender-post-copy",
        application: "sender",
        column: "post-copy",
        title: "A sender moves by post-copy (VEE 2009, figure 9)",
        remark: "In the title: preparation, downtime and resume time, by the monitor's report. Ours is the probe guest, which sends datagrams at 500 Mb/s whatever becomes of them, and has 113 MiB \
             besides; guest and monitor share a link of 1 Gb/s. The paper's NetPerf filled its link by TCP, at 945 Mb/s: it fell to \
             some 260 while memory was given up, stood still for 0.7 to 1 s, and had dips to 300 to 600 for 1.7 s.",
    },
    Course {
        name: "course-sender-pre-copy",
        application: "sender",
        column: "pre-copy",
        title: "A sender moves by pre-copy (VEE 2009, figure 10)",
        remark: "As above. The paper's NetPerf was at 300 to 450 Mb/s for 3.5 to 4 s of rounds, and stood still for a short while.",
    },
    Course {
        name: "course-build-post-copy",
        application: "build",
        column: "post-copy",
        title: "Work on 82 MiB moves by post-copy",
        remark: "In the title: preparation, downtime and resume time, by the monitor's report. Pages drawn after Zipf's law, of as many as the paper's kernel build had, one after the other at full speed.",
    },
    Course {
        name: "course-build-pre-copy",
        application: "build",
        column: "pre-copy",
        title: "Work on 82 MiB moves by pre-copy",
        remark: "As above.",
    },
];

/// All of them.
pub fn all(degradation: &Value, paper: &Paper) -> Vec<Figure> {
    let courses = COURSES
        .iter()
        .filter_map(|course| drawn(degradation, course));
    let repeated = [
        repeated(
            degradation,
            paper,
            ("repeated-build", "build", "fig7_kernel_build_s"),
            "Work while its VM moves again and again (VEE 2009, figure 7)",
            "Ours is work on 82 MiB, the paper's a kernel build; 5 s follow each move in both. `make bench` makes one move, with --full it is ten.",
        ),
        repeated(
            degradation,
            paper,
            ("repeated-sender", "sender", "fig8_netperf_s"),
            "Sending while its VM moves again and again (VEE 2009, figure 8)",
            "Ours is a sender of 500 Mb/s that has 113 MiB, of which what came to a client counts; the paper's is NetPerf \
             at the full rate of its link. Moves as above.",
        ),
    ];
    courses.chain(repeated.into_iter().flatten()).collect()
}

/// A move over time.
fn drawn(degradation: &Value, course: &Course) -> Option<Figure> {
    let courses = degradation["courses"].as_array()?;
    let ours = courses
        .iter()
        .find(|one| one["application"] == course.application && one["column"] == course.column)?;
    let series = |key: &str, name: &str| {
        let points = ours["points"].as_array().into_iter().flatten();
        let point = |point: &Value| Some((point["at_s"].as_f64()?, point[key].as_f64()?));
        Series {
            name: name.to_owned(),
            points: points.filter_map(point).collect(),
        }
    };
    let phases = ["preparation_ms", "downtime_ms", "resume_ms"];
    let [ran, stood, resumed] = phases.map(|key| ours[key].as_f64().unwrap_or(0.0));
    let title = format!("{}: {ran:.0} + {stood:.1} + {resumed:.0} ms", course.title);
    let picture = Picture {
        title,
        x: "s since the move began".to_owned(),
        x_axis: Axis::Numbers(Scale::Linear),
        y: "%".to_owned(),
        y_scale: Scale::Linear,
        series: vec![
            series("guest_percent", "guest: its work, of that before"),
            series("client_percent", "client: what comes, of 500 Mb/s"),
            series("wire_percent", "wire: all of it, of 1 Gb/s"),
        ],
    };
    figure(course.name, picture, Vec::new(), course.remark)
}

/// How much longer work takes, by the VM's size.
fn repeated(
    degradation: &Value,
    paper: &Paper,
    (name, application, theirs): (&'static str, &str, &str),
    title: &str,
    remark: &'static str,
) -> Option<Figure> {
    let ours = |column: &str| {
        let rows = degradation["repeated"].as_array().into_iter().flatten();
        let rows = rows.filter(|row| row["application"] == application && row["column"] == column);
        let point = |row: &Value| {
            Some((
                row["memory_mib"].as_f64()?,
                row["slowdown_percent"].as_f64()?,
            ))
        };
        Series {
            name: column.to_owned(),
            points: rows.filter_map(point).collect(),
        }
    };
    let picture = Picture {
        title: title.to_owned(),
        x: "memory of the VM, MB".to_owned(),
        x_axis: Axis::Numbers(Scale::Logarithmic),
        y: "longer by, %".to_owned(),
        y_scale: Scale::Linear,
        series: ["post-copy", "pre-copy"].map(ours).into(),
    };
    let theirs = vec![
        paper.longer_percent(theirs, "post_copy", "post-copy"),
        paper.longer_percent(theirs, "pre_copy_dsb", "pre-copy"),
    ];
    figure(name, picture, theirs, remark)
}
