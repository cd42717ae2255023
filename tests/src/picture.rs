//! Pictures of measurements: lines or bars over an axis, as SVG or PNG.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;

use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::coord::{CoordTranslate, Shift};
use plotters::drawing::DrawingAreaErrorKind;
use plotters::prelude::*;

use crate::count::to_f64;

/// Pixels; our choice: because it fills half a screen.
const SIZE: (u32, u32) = (960, 540);

/// The share of a group's room that its bars take. Our choice: the rest tells groups apart.
const GROUP: f64 = 0.8;

/// The smallest number of a logarithmic axis is so many times what the axis begins with. Our choice: a bar of
/// the smallest number is seen.
const BELOW: f64 = 1.2;

/// The name of the font in which everything is written.
const FONT: &str = "sans-serif";

/// The font itself, from Debian's `fonts-dejavu-core`.
const FONT_FILE: &str = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf";

/// A picture could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// There is nothing to see.
    #[error("the picture `{title}` has no points")]
    Empty {
        /// Its title.
        title: String,
    },
    /// There is nothing to write its words with.
    #[error("pictures need the font {FONT_FILE}: {reason}; install fonts-dejavu-core")]
    Font {
        /// What is the matter with it.
        reason: String,
    },
    /// It could not be written.
    #[error("cannot draw the picture {path}: {reason}")]
    Draw {
        /// Where it was to be.
        path: String,
        /// What the drawing library says.
        reason: String,
    },
}

/// How an axis counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Equal steps are equal differences; it begins at 0.
    Linear,
    /// Equal steps are equal ratios; points that are not above 0 are left out.
    Logarithmic,
}

/// What is to the right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    /// Numbers, over which there are lines.
    Numbers(Scale),
    /// Names, over each of which every series has a bar: its x is the number of the name, from 0.
    Names(&'static [&'static str]),
}

/// Points with a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What they are.
    pub name: String,
    /// In the order in which a line connects them.
    pub points: Vec<(f64, f64)>,
}

/// Lines or bars over one axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// What it shows.
    pub title: String,
    /// What is measured to the right, with its unit.
    pub x: String,
    /// What there is of it.
    pub x_axis: Axis,
    /// What is measured upwards, with its unit.
    pub y: String,
    /// How that axis counts.
    pub y_scale: Scale,
    /// The lines, or one bar of each group.
    pub series: Vec<Series>,
}

impl Picture {
    /// Draws it into a file: as PNG if that is how its name ends, else as SVG.
    ///
    /// # Errors
    /// There are no points, or the file cannot be written, or there is no font.
    pub fn draw(&self, path: &Path) -> Result<(), PictureError> {
        let mut drawn = self.clone();
        for series in &mut drawn.series {
            series.points.retain(|&point| self.has_place(point));
        }
        load_font()?;
        if path.extension().is_some_and(|ending| ending == "png") {
            drawn.draw_with(BitMapBackend::new(path, SIZE), path)
        } else {
            drawn.draw_with(SVGBackend::new(path, SIZE), path)
        }
    }

    /// Whether the scales can show a point.
    fn has_place(&self, (x, y): (f64, f64)) -> bool {
        let on = |scale, number| scale == Scale::Linear || number > 0.0;
        let is_across = match self.x_axis {
            Axis::Numbers(scale) => on(scale, x),
            Axis::Names(_) => true,
        };
        is_across && on(self.y_scale, y)
    }

    fn draw_with<B: DrawingBackend>(&self, backend: B, path: &Path) -> Result<(), PictureError> {
        let empty = || PictureError::Empty {
            title: self.title.clone(),
        };
        let x = self.range(|point| point.0).ok_or_else(empty)?;
        let y = self.range(|point| point.1).ok_or_else(empty)?;
        let area = backend.into_drawing_area();
        let (x_scale, x_from_0) = match self.x_axis {
            Axis::Numbers(scale) => (scale, x.start.min(0.0)..x.end),
            // Behind the last of them is room for what the colours stand for.
            Axis::Names(names) => (Scale::Linear, 0.0..to_f64(names.len() as u64 + 1)),
        };
        // A line that is level all the time has room around it all the same.
        let y_from_0 = y.start.min(0.0)..(y.end * 1.1).max(y.start.min(0.0) + 1e-9);
        let y_around = (y.start / BELOW..y.end * 1.2).log_scale();
        let drawn = match (x_scale, self.y_scale) {
            (Scale::Linear, Scale::Linear) => self.draw_on(&area, x_from_0, y_from_0),
            (Scale::Linear, Scale::Logarithmic) => self.draw_on(&area, x_from_0, y_around),
            (Scale::Logarithmic, Scale::Linear) => self.draw_on(&area, x.log_scale(), y_from_0),
            (Scale::Logarithmic, Scale::Logarithmic) => {
                self.draw_on(&area, x.log_scale(), y_around)
            }
        };
        drawn
            .and_then(|()| area.present())
            .map_err(|error| PictureError::Draw {
                path: path.display().to_string(),
                reason: error.to_string(),
            })
    }

    fn draw_on<B, X, Y>(
        &self,
        area: &DrawingArea<B, Shift>,
        x: X,
        y: Y,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>>
    where
        B: DrawingBackend,
        X: AsRangedCoord<Value = f64>,
        X::CoordDescType: ValueFormatter<f64>,
        Y: AsRangedCoord<Value = f64>,
        Y::CoordDescType: ValueFormatter<f64>,
        Cartesian2d<X::CoordDescType, Y::CoordDescType>: CoordTranslate<From = (f64, f64)>,
    {
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, (FONT, 20))
            .margin(12)
            .x_label_area_size(48)
            .y_label_area_size(64)
            .build_cartesian_2d(x, y)?;
        let names = match self.x_axis {
            Axis::Numbers(_) => None,
            Axis::Names(names) => Some(names),
        };
        let name_at = |x: &f64| name_in(names.unwrap_or_default(), *x);
        let mut mesh = chart.configure_mesh();
        mesh.label_style((FONT, 12)).x_desc(&self.x).y_desc(&self.y);
        if let Some(names) = names {
            // One where each group begins, and one in its middle.
            mesh.disable_x_mesh()
                .x_labels(2 * names.len() + 3)
                .x_label_formatter(&name_at);
        }
        mesh.draw()?;
        let y = self.range(|point| point.1).unwrap_or(0.0..0.0);
        let bottom = match self.y_scale {
            Scale::Linear => 0.0,
            Scale::Logarithmic => y.start / BELOW,
        };
        for (index, series) in self.series.iter().enumerate() {
            let color = Palette99::pick(index).to_rgba();
            let drawn = if names.is_some() {
                let bars = series.points.iter().map(|&(x, y)| {
                    let [left, right] = self.bar(index, x);
                    Rectangle::new([(left, bottom), (right, y)], color.filled())
                });
                chart.draw_series(bars)?
            } else {
                let line = LineSeries::new(series.points.iter().copied(), color.stroke_width(2));
                chart.draw_series(line.point_size(2))?
            };
            drawn
                .label(&series.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color));
        }
        chart
            .configure_series_labels()
            .label_font((FONT, 12))
            .background_style(WHITE)
            .border_style(BLACK)
            .draw()
    }

    /// From where to where the bar of that series goes whose group begins at `x`.
    fn bar(&self, index: usize, x: f64) -> [f64; 2] {
        let width = GROUP / to_f64(self.series.len() as u64);
        let left = x + (1.0 - GROUP) / 2.0 + width * to_f64(index as u64);
        [left, left + width]
    }

    /// From the smallest to the largest number of all points.
    fn range(&self, number: impl Fn(&(f64, f64)) -> f64) -> Option<Range<f64>> {
        let numbers = self.series.iter().flat_map(|series| &series.points);
        let numbers = numbers.map(number);
        numbers.fold(None, |range, number| match range {
            None => Some(number..number),
            Some(range) => Some(range.start.min(number)..range.end.max(number)),
        })
    }
}

/// The name of the group whose middle `x` is.
fn name_in(names: &[&str], x: f64) -> String {
    let middles = (0..).zip(names);
    let name = middles
        .filter(|&(number, _)| (x - to_f64(number) - 0.5).abs() < 0.01)
        .map(|(_, name)| *name);
    name.collect()
}

/// Makes the font known to the drawing library, once.
fn load_font() -> Result<(), PictureError> {
    static FONT_BYTES: OnceLock<Result<(), String>> = OnceLock::new();
    let loaded = FONT_BYTES.get_or_init(|| {
        let bytes = fs::read(FONT_FILE).map_err(|error| error.to_string())?;
        // The library keeps it as long as the process lives.
        plotters::style::register_font(FONT, FontStyle::Normal, bytes.leak())
            .map_err(|_| "no font".to_owned())
    });
    let failed = |reason| PictureError::Font { reason };
    loaded.clone().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture([x_scale, y_scale]: [Scale; 2], points: &[(f64, f64)]) -> Picture {
        Picture {
            title: "slow-down".to_owned(),
            x: "interval, ms".to_owned(),
            x_axis: Axis::Numbers(x_scale),
            y: "slow-down, %".to_owned(),
            y_scale,
            series: vec![Series {
                name: "ours & theirs".to_owned(),
                points: points.to_vec(),
            }],
        }
    }

    #[test]
    fn picture_has_its_title_its_axes_and_a_name_for_each_line() {
        let directory = tempfile::tempdir().unwrap();
        let both = [Scale::Linear, Scale::Logarithmic];
        for scales in both.map(|x| both.map(|y| [x, y])).concat() {
            let path = directory.path().join("picture.svg");
            let points = [(10.0, 3.0), (100.0, 1.0), (10_000.0, 0.0)];
            picture(scales, &points).draw(&path).unwrap();
            let drawn = fs::read_to_string(&path).unwrap();
            assert!(drawn.starts_with("<svg"), "{drawn}");
            for text in [
                "slow-down",
                "interval, ms",
                "slow-down, %",
                "ours &amp; theirs",
            ] {
                assert!(drawn.contains(text), "no {text} in {drawn}");
            }
        }
    }

    #[test]
    fn picture_whose_name_ends_in_png_is_one_with_something_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let sizes = [
            "ours",
            "ours, and a second line's name that takes more room",
        ]
        .map(|name| {
            let path = directory.path().join("picture.png");
            let mut picture = picture([Scale::Linear; 2], &[(10.0, 3.0), (100.0, 1.0)]);
            picture.series[0].name = name.to_owned();
            picture.draw(&path).unwrap();
            let drawn = fs::read(&path).unwrap();
            assert!(drawn.starts_with(b"\x89PNG\r\n\x1a\n"));
            drawn.len()
        });
        assert!(sizes[0] < sizes[1], "names are not written: {sizes:?}");
    }

    #[test]
    fn bars_of_a_group_are_beside_each_other_over_its_name() {
        let directory = tempfile::tempdir().unwrap();
        for scale in [Scale::Linear, Scale::Logarithmic] {
            let mut picture = picture([scale; 2], &[(0.0, 3.0), (1.0, 1.0)]);
            picture.x_axis = Axis::Names(&["web server", "sender"]);
            picture.series.push(Series {
                name: "further".to_owned(),
                points: vec![(1.0, 2.0)],
            });
            let path = directory.path().join("bars.svg");
            picture.draw(&path).unwrap();
            let drawn = fs::read_to_string(&path).unwrap();
            for text in ["web server", "sender", "further"] {
                assert_eq!(drawn.matches(text).count(), 1, "{text} in {drawn}");
            }
            let bars = [picture.bar(0, 1.0), picture.bar(1, 1.0)].concat();
            assert!(
                1.0 < bars[0] && bars[1] == bars[2] && bars[3] < 2.0,
                "{bars:?}"
            );
        }
    }

    #[test]
    fn point_that_a_scale_cannot_show_is_left_out() {
        let scales = [Scale::Linear, Scale::Logarithmic];
        let picture = picture(scales, &[(0.0, 1.0), (1.0, 0.0)]);
        let has_place = |point| picture.has_place(point);
        assert_eq!([(0.0, 1.0), (1.0, 0.0)].map(has_place), [true, false]);
        let directory = tempfile::tempdir().unwrap();
        picture.draw(&directory.path().join("picture.svg")).unwrap();
    }

    #[test]
    fn picture_without_points_or_without_a_place_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("picture.svg");
        let empty = picture([Scale::Linear; 2], &[]).draw(&path);
        assert!(matches!(empty, Err(PictureError::Empty { .. })));
        let nowhere = directory.path().join("none").join("picture.svg");
        let nowhere = picture([Scale::Linear; 2], &[(1.0, 1.0)]).draw(&nowhere);
        assert!(matches!(nowhere, Err(PictureError::Draw { .. })));
    }
}
