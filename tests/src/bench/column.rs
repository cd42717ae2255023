//! How a VM moves: one column of the matrix.

use std::fmt;
use std::str::FromStr;

use super::matrix::{Extent, Suite};

const NONE: &str = "none:--mode post-copy --prepaging none";
const PUSH: &str = "push:--mode post-copy --prepaging push";
const BUBBLE: &str = "bubble:--mode post-copy --prepaging bubble";
const HYBRID: &str = "hybrid:--mode hybrid";
const AUTO: &str = "auto:--mode auto";
const PRE_COPY: &str = "pre-copy:--mode pre-copy";
const STOP_AND_COPY: &str = "stop-and-copy:--mode stop-and-copy";

/// Options of `skiff migrate` and a name for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// How it is called in the table.
    pub name: String,
    /// What is typed after `skiff migrate NAME --to HOST:PORT`.
    pub options: Vec<String>,
}

impl Column {
    /// The columns in which a suite is measured if none is named. Those that a skiff does not know
    /// are left out when it says so.
    #[must_use]
    pub fn usual(suite: Suite, extent: Extent) -> Vec<Self> {
        let texts: &[&str] = match (suite, extent) {
            (Suite::Moves, Extent::Small) => &[NONE, PUSH, BUBBLE, AUTO],
            (Suite::Moves, Extent::Full) => &[
                NONE,
                PUSH,
                "forward:--mode post-copy --prepaging forward",
                BUBBLE,
                "paper:--mode post-copy --prepaging bubble --growth fixed",
                "recency:--mode post-copy --prepaging bubble --order recency",
                HYBRID,
                AUTO,
                PRE_COPY,
                STOP_AND_COPY,
            ],
            (Suite::Sizes | Suite::Sorts, _) => &[PUSH, BUBBLE],
            (Suite::Sparse, _) => &[BUBBLE, HYBRID, AUTO, PRE_COPY, STOP_AND_COPY],
            (Suite::Hot, _) => &[AUTO],
            (Suite::Stress, Extent::Small) => &[BUBBLE, PRE_COPY],
            (Suite::Stress, Extent::Full) => &[PUSH, BUBBLE, HYBRID, PRE_COPY, STOP_AND_COPY],
        };
        let columns = texts.iter().map(|text| text.parse());
        columns
            .map(|column| column.expect("a name and options"))
            .collect()
    }

    /// Whether the VM itself chooses how it moves.
    #[must_use]
    pub fn is_auto(&self) -> bool {
        self.option("--mode").is_none_or(|mode| mode == "auto")
    }

    /// The downtime it asks for.
    #[must_use]
    pub fn max_downtime_ms(&self) -> Option<f64> {
        let text = self.option("--max-downtime")?;
        let units = [("us", 1e-3), ("ms", 1.0), ("s", 1e3)];
        let number =
            |(unit, ms): (&str, f64)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * ms);
        units.into_iter().find_map(number)
    }

    /// The value that is typed for `option`.
    #[must_use]
    pub fn option(&self, option: &str) -> Option<&str> {
        let mut words = self.options.iter();
        while let Some(word) = words.next() {
            if word == option {
                return words.next().map(String::as_str);
            }
            if let Some(value) = word.strip_prefix(option)
                && let Some(value) = value.strip_prefix('=')
            {
                return Some(value);
            }
        }
        None
    }
}

impl FromStr for Column {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("`{text}` is not NAME:OPTIONS");
        let (name, options) = text.split_once(':').ok_or_else(refused)?;
        let name = name.trim();
        if name.is_empty() {
            return Err(refused());
        }
        Ok(Self {
            name: name.to_owned(),
            options: options.split_whitespace().map(str::to_owned).collect(),
        })
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn column_is_a_name_and_options() {
        let column: Column = "push:--mode post-copy  --prepaging=push".parse().unwrap();
        assert_eq!(column.name, "push");
        assert_eq!(
            column.options,
            ["--mode", "post-copy", "--prepaging=push"].map(str::to_owned)
        );
        assert_eq!(column.option("--mode"), Some("post-copy"));
        assert_eq!(column.option("--prepaging"), Some("push"));
        assert_eq!(column.option("--pivots"), None);
        assert!(!column.is_auto());
    }

    #[test]
    fn downtime_asked_for_is_known_in_every_unit() {
        let asked = |time: &str| {
            let column: Column = format!("auto:--max-downtime {time}").parse().unwrap();
            column.max_downtime_ms()
        };
        assert_eq!(asked("500us"), Some(0.5));
        assert_eq!(asked("300ms"), Some(300.0));
        assert_eq!(asked("2s"), Some(2000.0));
        assert_eq!(asked("soon"), None);
    }

    #[test]
    fn column_without_options_moves_as_skiff_likes() {
        let column: Column = "default:".parse().unwrap();
        assert!(column.options.is_empty());
        assert!(column.is_auto());
    }

    #[test]
    fn column_without_a_name_is_refused() {
        assert!("--mode auto".parse::<Column>().is_err());
        assert!(":--mode auto".parse::<Column>().is_err());
    }

    #[test]
    fn usual_columns_have_different_names() {
        for suite in Suite::ALL {
            for extent in [Extent::Small, Extent::Full] {
                let columns = Column::usual(suite, extent);
                let mut names: Vec<_> = columns.iter().map(|column| &column.name).collect();
                names.sort();
                names.dedup();
                assert_eq!(names.len(), columns.len(), "{suite}");
            }
        }
    }
}
