//! What a suite found: numbers with their spread, and claims held against them.

use serde::Serialize;

use crate::bench::noise::Noise;
use crate::bench::statistics::Spread;
use crate::bench::verdict::{Bound, Verdict};

/// Everything that one suite has to say.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Findings {
    rows: Vec<Row>,
    pub(super) verdicts: Vec<Verdict>,
    /// What else the machine did, run by run.
    noise: Vec<Noise>,
}

/// One number, measured several times.
#[derive(Debug, Clone, Serialize)]
struct Row {
    what: String,
    unit: &'static str,
    values: Vec<f64>,
}

impl Findings {
    /// Adds a measured value of `what`; its unit is that of the first.
    pub(super) fn note(&mut self, what: &str, unit: &'static str, value: f64) {
        if let Some(row) = self.rows.iter_mut().find(|row| row.what == what) {
            row.values.push(value);
        } else {
            self.rows.push(Row {
                what: what.to_owned(),
                unit,
                values: vec![value],
            });
        }
    }

    /// Adds the load around a run.
    pub(super) fn heard(&mut self, noise: Noise) {
        self.noise.push(noise);
    }

    /// The median of `what`; `None` if it was not measured.
    pub(super) fn median(&self, what: &str) -> Option<f64> {
        let row = self.rows.iter().find(|row| row.what == what)?;
        Some(Spread::of(row.values.iter().copied())?.median)
    }

    /// Holds a claim against `measured`, if there is such a number.
    pub(super) fn hold(
        &mut self,
        claim: &'static str,
        subject: &str,
        measured: Option<f64>,
        bound: Bound,
    ) {
        self.verdicts.extend(measured.map(|measured| Verdict {
            claim,
            subject: subject.to_owned(),
            measured,
            bound,
            is_quiet: self.noise.iter().any(Noise::is_quiet),
        }));
    }

    /// Prints all of it under the name of its suite.
    pub fn print(&self, suite: &str) {
        println!(
            "\n{suite:44} {:5} {:>5} {:>10} {:>10} {:>10}",
            "unit", "runs", "median", "min", "max"
        );
        for row in &self.rows {
            if let Some(spread) = Spread::of(row.values.iter().copied()) {
                println!(
                    "{:44} {:5} {:5} {:10.2} {:10.2} {:10.2}",
                    row.what, row.unit, spread.count, spread.median, spread.min, spread.max
                );
            }
        }
        for verdict in &self.verdicts {
            println!("{}", judged(verdict));
        }
        let noisy = self.noise.iter().filter(|noise| !noise.is_quiet()).count();
        if noisy > 0 {
            println!(
                "{noisy} of {} runs had not the machine to themselves",
                self.noise.len()
            );
        }
    }
}

fn judged(verdict: &Verdict) -> String {
    let side = match verdict.bound {
        Bound::AtMost(_) => "at most",
        Bound::AtLeast(_) => "at least",
    };
    format!(
        "{}, {}: {:.2}, claimed {side} {:.2}: {}",
        verdict.claim,
        verdict.subject,
        verdict.measured,
        verdict.limit(),
        if verdict.holds() {
            "holds"
        } else {
            "DOES NOT HOLD"
        }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_that_of_all_values_with_the_same_name() {
        let mut findings = Findings::default();
        for (what, value) in [("a", 3.0), ("b", 10.0), ("a", 1.0), ("a", 2.0)] {
            findings.note(what, "ms", value);
        }
        assert_eq!(findings.median("a"), Some(2.0));
        assert_eq!(findings.median("b"), Some(10.0));
        assert_eq!(findings.median("c"), None);
    }

    #[test]
    fn claim_is_judged_by_its_side_of_the_limit_and_not_at_all_without_a_number() {
        let mut findings = Findings::default();
        findings.hold("time, ms", "lazy", Some(10.0), Bound::AtMost(10.0));
        findings.hold("rate", "lazy", Some(0.6), Bound::AtLeast(0.7));
        findings.hold("rate", "eager", None, Bound::AtLeast(0.7));
        let judged: Vec<_> = findings.verdicts.iter().map(judged).collect();
        assert_eq!(
            judged,
            [
                "time, ms, lazy: 10.00, claimed at most 10.00: holds",
                "rate, lazy: 0.60, claimed at least 0.70: DOES NOT HOLD",
            ]
        );
    }
}
