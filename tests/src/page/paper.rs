//! The paper's points: `paper-figures.json`, by figure and series.

use serde_json::Value;

use crate::picture::Series;

/// What was read off the paper's figures.
#[derive(Debug, Clone)]
pub struct Paper(Value);

impl Paper {
    /// All of it.
    ///
    /// # Panics
    /// Never: the file is part of this program.
    #[must_use]
    pub fn load() -> Self {
        let text = include_str!("paper-figures.json");
        Self(serde_json::from_str(text).expect("the file is JSON"))
    }

    /// A series of a figure over the numbers `x` beside it, all of them times `scale`; no points if there
    /// is none.
    #[must_use]
    pub fn series(&self, figure: &str, [x, y]: [&str; 2], scale: f64, name: &str) -> Series {
        let numbers = |key: &str| {
            let pointer = format!("/{figure}/{key}");
            let list = self.0.pointer(&pointer).and_then(Value::as_array);
            let list = list.map(Vec::as_slice).unwrap_or_default();
            list.iter().filter_map(Value::as_f64).collect::<Vec<_>>()
        };
        let points = numbers(x).into_iter().zip(numbers(y));
        Series {
            name: format!("paper: {name}"),
            points: points.map(|(x, y)| (x, y * scale)).collect(),
        }
    }

    /// One strategy of the table of sorts (OSR 2009, figure 17): network faults by number of processes.
    #[must_use]
    pub fn sorts(&self, strategy: &str, name: &str) -> Series {
        let table = &self.0["osr17"];
        let strategies = table["series"].as_array();
        let place = strategies
            .and_then(|all| all.iter().position(|one| one == strategy))
            .unwrap_or(usize::MAX);
        let rows = table["rows"].as_object().into_iter().flatten();
        // `8x64`: 8 processes of 64 MB each.
        let mut points: Vec<_> = rows
            .filter_map(|(label, faults)| {
                let procs = label.split('x').next()?.parse::<f64>().ok()?;
                Some((procs, faults.get(place)?.as_f64()?))
            })
            .collect();
        points.sort_by(|one, other| one.0.total_cmp(&other.0));
        Series {
            name: format!("paper: {name}"),
            points,
        }
    }
}
