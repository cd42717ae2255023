//! What self-ballooning costs over its interval, beside the slow-down of the paper's figure 11.

use std::path::Path;

use super::{Drag, Row};
use crate::bench::Spread;
use crate::picture::{Picture, PictureError, Scale, Series};

/// Seconds that the paper's kernel build took without a balloon (VEE 2009, figure 11).
const BUILD_S: f64 = 439.0;

/// Interval in ms and slow-down in s in a VM of 128 MB, read off the paper's figure 11.
const PAPER_128: [(f64, f64); 10] = [
    (200.0, 44.0),
    (300.0, 31.0),
    (500.0, 21.0),
    (1000.0, 17.0),
    (2000.0, 13.0),
    (3000.0, 11.0),
    (4000.0, 8.0),
    (5000.0, 2.0),
    (6000.0, 1.0),
    (9000.0, 1.0),
];

/// The same in a VM of 512 MB.
const PAPER_512: [(f64, f64); 12] = [
    (100.0, 41.0),
    (200.0, 16.0),
    (300.0, 10.0),
    (500.0, 7.0),
    (1000.0, 8.0),
    (2000.0, 9.0),
    (3000.0, 9.0),
    (4000.0, 6.0),
    (6000.0, 6.0),
    (7000.0, 5.0),
    (8000.0, 4.0),
    (9000.0, 0.0),
];

/// Draws ours and the paper's.
///
/// # Errors
/// The file cannot be written.
pub fn draw(drag: &Drag, path: &Path) -> Result<(), PictureError> {
    let ours = |name: &str, percent: fn(&Row) -> Option<Spread>| {
        let point = |row: &Row| Some((f64::from(row.interval_ms), percent(row)?.median));
        Series {
            name: name.to_owned(),
            points: drag.rows.iter().filter_map(point).collect(),
        }
    };
    let paper = |name: &str, points: &[(f64, f64)]| Series {
        name: name.to_owned(),
        points: points
            .iter()
            .map(|&(ms, slow_s)| (ms, slow_s / BUILD_S * 100.0))
            .collect(),
    };
    let picture = Picture {
        title: "What self-ballooning costs, by its interval (VEE 2009, figure 11)".to_owned(),
        x: "interval, ms".to_owned(),
        x_scale: Scale::Logarithmic,
        y: "slow-down or time for the balloon, %".to_owned(),
        series: vec![
            ours("skiff, grow-shrink, slow-down", Row::slowdown_percent),
            ours(
                "skiff, grow-shrink, time that the guest counts",
                Row::balloon_percent,
            ),
            paper("paper, kernel build in 128 MB", &PAPER_128),
            paper("paper, kernel build in 512 MB", &PAPER_512),
        ],
    };
    picture.draw(path)
}
