//! Pictures of measurements: lines over an axis, as SVG.

use std::ops::Range;
use std::path::Path;

use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::coord::{CoordTranslate, Shift};
use plotters::drawing::DrawingAreaErrorKind;
use plotters::prelude::*;

/// Pixels; our choice: because it fills half a screen.
const SIZE: (u32, u32) = (960, 540);

/// A picture could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// There is nothing to see.
    #[error("the picture `{title}` has no points")]
    Empty {
        /// Its title.
        title: String,
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

/// Points with a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What they are.
    pub name: String,
    /// In the order in which a line connects them.
    pub points: Vec<(f64, f64)>,
}

/// Lines over one axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// What it shows.
    pub title: String,
    /// What is measured to the right, with its unit.
    pub x: String,
    /// How that axis counts.
    pub x_scale: Scale,
    /// What is measured upwards, with its unit.
    pub y: String,
    /// How that axis counts.
    pub y_scale: Scale,
    /// The lines.
    pub series: Vec<Series>,
}

impl Picture {
    /// Draws it into a file.
    ///
    /// # Errors
    /// There are no points, or the file cannot be written.
    pub fn draw(&self, path: &Path) -> Result<(), PictureError> {
        let mut drawn = self.clone();
        for series in &mut drawn.series {
            series.points.retain(|&point| self.has_place(point));
        }
        drawn.draw_all(path)
    }

    /// Whether the scales can show a point.
    fn has_place(&self, (x, y): (f64, f64)) -> bool {
        let on = |scale, number| scale == Scale::Linear || number > 0.0;
        on(self.x_scale, x) && on(self.y_scale, y)
    }

    fn draw_all(&self, path: &Path) -> Result<(), PictureError> {
        let empty = || PictureError::Empty {
            title: self.title.clone(),
        };
        let x = self.range(|point| point.0).ok_or_else(empty)?;
        let y = self.range(|point| point.1).ok_or_else(empty)?;
        let area = SVGBackend::new(path, SIZE).into_drawing_area();
        let x_from_0 = x.start.min(0.0)..x.end;
        // A line that is level all the time has room around it all the same.
        let y_from_0 = y.start.min(0.0)..(y.end * 1.1).max(y.start.min(0.0) + 1e-9);
        let y_around = (y.start / 1.2..y.end * 1.2).log_scale();
        let drawn = match (self.x_scale, self.y_scale) {
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

    fn draw_on<'a, X, Y>(
        &self,
        area: &DrawingArea<SVGBackend<'a>, Shift>,
        x: X,
        y: Y,
    ) -> Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>
    where
        X: AsRangedCoord<Value = f64>,
        X::CoordDescType: ValueFormatter<f64>,
        Y: AsRangedCoord<Value = f64>,
        Y::CoordDescType: ValueFormatter<f64>,
        Cartesian2d<X::CoordDescType, Y::CoordDescType>: CoordTranslate<From = (f64, f64)>,
    {
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, ("sans-serif", 20))
            .margin(12)
            .x_label_area_size(48)
            .y_label_area_size(64)
            .build_cartesian_2d(x, y)?;
        chart
            .configure_mesh()
            .x_desc(&self.x)
            .y_desc(&self.y)
            .draw()?;
        for (index, series) in self.series.iter().enumerate() {
            let color = Palette99::pick(index).to_rgba();
            let line = LineSeries::new(series.points.iter().copied(), color.stroke_width(2));
            chart
                .draw_series(line.point_size(2))?
                .label(&series.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color));
        }
        chart
            .configure_series_labels()
            .background_style(WHITE)
            .border_style(BLACK)
            .draw()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn picture([x_scale, y_scale]: [Scale; 2], points: &[(f64, f64)]) -> Picture {
        Picture {
            title: "slow-down".to_owned(),
            x: "interval, ms".to_owned(),
            x_scale,
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
            let drawn = std::fs::read_to_string(&path).unwrap();
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
