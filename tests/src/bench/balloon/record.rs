//! The record that `skiff balloon --record` writes, as a picture.

use crate::bench::BenchError;
use crate::picture::{Axis, Picture, Scale, Series};

/// Amounts of a record that are drawn.
const DRAWN: [&str; 5] = ["target", "actual", "resident", "free", "available"];

/// The amounts of a record over time. A column without a number, because the guest does not tell it, is
/// left out.
///
/// # Errors
/// It is no such record.
pub fn picture(csv: &str) -> Result<Picture, BenchError> {
    let mut lines = csv.lines();
    let head: Vec<_> = lines.next().unwrap_or_default().split(',').collect();
    let rows: Vec<Vec<Option<f64>>> = lines
        .map(|line| line.split(',').map(|word| word.parse().ok()).collect())
        .collect();
    let column = |name: &'static str| {
        let place = head.iter().position(|word| *word == name);
        place.ok_or_else(|| BenchError::Lacks {
            what: name,
            text: head.join(","),
        })
    };
    let time = column("t_ms")?;
    let mut series = Vec::new();
    for name in DRAWN {
        let place = column(name)?;
        let number = |row: &Vec<Option<f64>>, place: usize| row.get(place).copied().flatten();
        let points: Vec<_> = rows
            .iter()
            .filter_map(|row| {
                let bytes = number(row, place)?;
                Some((number(row, time)? / 1e3, bytes / f64::from(1 << 20)))
            })
            .collect();
        if !points.is_empty() {
            series.push(Series {
                name: name.to_owned(),
                points,
            });
        }
    }
    Ok(Picture {
        title: "A balloon and its guest".to_owned(),
        x: "time, s".to_owned(),
        x_axis: Axis::Numbers(Scale::Linear),
        y: "MiB".to_owned(),
        y_scale: Scale::Linear,
        series,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_becomes_a_line_for_each_amount_that_the_guest_told() {
        let csv = "t_ms,target,actual,reported,discarded,resident,free,available,caches,major_faults\n\
                   0,1048576,0,0,0,5242880,,,,\n\
                   500,1048576,1048576,0,0,4194304,,,,\n";
        let picture = picture(csv).unwrap();
        let names: Vec<_> = picture.series.iter().map(|series| &series.name).collect();
        assert_eq!(names, ["target", "actual", "resident"]);
        assert_eq!(picture.series[2].points, [(0.0, 5.0), (0.5, 4.0)]);
    }

    #[test]
    fn file_that_is_no_record_is_an_error() {
        assert!(matches!(
            picture(""),
            Err(BenchError::Lacks { what: "t_ms", .. })
        ));
        assert!(picture("t_ms,target\n0,1\n").is_err());
    }
}
