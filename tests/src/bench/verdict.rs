//! The claims that a measurement can prove or refute, as ratios to floors of the same run.

mod across;
mod single;
#[cfg(test)]
mod tests;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::cell::LinkKind;
use super::floors::Floors;
use super::results::LinkFloors;
use super::sample::Summary;

/// One claim held against the medians of one cell and column.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// What is claimed.
    pub claim: &'static str,
    /// Of which cell and column.
    pub subject: String,
    /// What was measured.
    pub measured: f64,
    /// What is claimed of it.
    pub bound: Bound,
    /// Whether it rests on runs that had the machine to themselves.
    pub is_quiet: bool,
}

/// The claimed side of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// The measured number is not above it.
    AtMost(f64),
    /// The measured number is not below it.
    AtLeast(f64),
}

/// What is said of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judgement {
    /// It holds.
    Holds,
    /// It does not.
    Fails,
    /// It does not, in runs all of which were disturbed by others.
    Undecided,
}

/// In results stands what is said of a claim, too.
impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self {
            claim,
            subject,
            measured,
            bound,
            is_quiet: _, // a part of the judgement
        } = self;
        let mut verdict = serializer.serialize_struct("Verdict", 6)?;
        verdict.serialize_field("claim", claim)?;
        verdict.serialize_field("subject", subject)?;
        verdict.serialize_field("measured", measured)?;
        verdict.serialize_field("bound", bound)?;
        verdict.serialize_field("ratio", &self.ratio())?;
        verdict.serialize_field("judgement", &self.judgement())?;
        verdict.end()
    }
}

impl Verdict {
    /// What is said of the claim.
    #[must_use]
    pub fn judgement(&self) -> Judgement {
        match (self.holds(), self.is_quiet) {
            (true, _) => Judgement::Holds,
            (false, true) => Judgement::Fails,
            (false, false) => Judgement::Undecided,
        }
    }

    /// Whether the claim holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        match self.bound {
            Bound::AtMost(limit) => self.measured <= limit,
            Bound::AtLeast(limit) => self.measured >= limit,
        }
    }

    /// What was measured by what is claimed.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.measured / self.limit()
    }

    /// The limit.
    #[must_use]
    pub fn limit(&self) -> f64 {
        let (Bound::AtMost(limit) | Bound::AtLeast(limit)) = self.bound;
        limit
    }
}

/// All verdicts that these results allow.
#[must_use]
pub fn all(summaries: &[Summary], floors: &[LinkFloors]) -> Vec<Verdict> {
    let of = |link: LinkKind| -> Option<&Floors> {
        let floors = floors.iter().find(|floors| floors.link == link)?;
        Some(&floors.typical)
    };
    let mut verdicts = Vec::new();
    for summary in summaries {
        if !summary.samples.is_empty() {
            verdicts.extend(single::verdicts(summary, of(summary.cell.link)));
        }
    }
    verdicts.extend(across::verdicts(summaries));
    verdicts
}
