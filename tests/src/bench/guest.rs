//! What the probe guest felt of a move, from its own records.

mod record;
#[cfg(test)]
mod tests;

pub use record::{Record, records, stitch};

use serde::Serialize;

use super::BenchError;
use crate::count::to_f64;

/// Bytes of a page visit's page.
pub const PAGE_BYTES: u16 = 4096;

/// Records, one each 100 ms, over which an undisturbed rate is measured.
pub const RATE_RECORDS: usize = 10;

/// The records of one guest around one move, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GuestView {
    /// All of them.
    pub records: Vec<Record>,
    /// Index of the last one that was printed before the move began.
    pub before: usize,
}

/// What a move cost the guest.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct GuestCost {
    /// Pages visited per second before the move.
    pub rate_before: f64,
    /// The same after it.
    pub rate_after: f64,
    /// Time for which the guest would have had to work undisturbed to do what it did not do; `None`
    /// if it does no work. Noise can make it slightly negative.
    pub lost_s: Option<f64>,
    /// Longest time in which it made no step, from the move on.
    pub longest_stall_ms: f64,
    /// The same before the move: what the machine does to the guest by itself.
    pub usual_stall_ms: f64,
}

impl GuestView {
    /// What the guest printed at the source and then at the destination of a move, before which there were
    /// `before` records and one more.
    ///
    /// # Errors
    /// It reports damage.
    pub fn of_move(
        source: &[String],
        destination: &[String],
        before: usize,
    ) -> Result<Self, BenchError> {
        let lines = stitch(source, destination);
        if let Some(record) = lines.iter().find(|line| line.contains("corrupt")) {
            let record = record.clone();
            return Err(BenchError::Corrupt { record });
        }
        Ok(Self {
            records: records(&lines),
            before,
        })
    }

    /// Weighs the move.
    ///
    /// # Errors
    /// The guest said too little.
    pub fn weigh(&self) -> Result<GuestCost, BenchError> {
        self.cost().ok_or_else(|| BenchError::Lacks {
            what: "progress before and after the move",
            text: format!("{:?}", self.records),
        })
    }

    /// Weighs the move; `None` unless there are [`RATE_RECORDS`] intervals before the move and as
    /// many after it.
    #[must_use]
    pub fn cost(&self) -> Option<GuestCost> {
        let Self { records, before } = self;
        let quiet = records.get(before.checked_sub(RATE_RECORDS)?..=*before)?;
        let disturbed = records.get(before + 1..)?;
        let recovered = disturbed.get(disturbed.len().checked_sub(RATE_RECORDS + 1)?..)?;
        let (rate_before, rate_after) = (rate(quiet)?, rate(recovered)?);
        let undisturbed = f64::midpoint(rate_before, rate_after);

        let (from, until) = (quiet.last()?, recovered.first()?);
        let passed_s = to_f64(until.t_ms.saturating_sub(from.t_ms)) / 1e3;
        let done = to_f64(until.pages.saturating_sub(from.pages));
        let lost_s = (undisturbed > 0.0).then(|| passed_s - done / undisturbed);
        let last_disturbed = disturbed.len() - RATE_RECORDS;
        Some(GuestCost {
            rate_before,
            rate_after,
            lost_s,
            longest_stall_ms: longest_gap_ms(&disturbed[..last_disturbed]),
            usual_stall_ms: longest_gap_ms(&quiet[1..]),
        })
    }
}

/// Pages per second from the first of the records to the last.
fn rate(records: &[Record]) -> Option<f64> {
    let (first, last) = (records.first()?, records.last()?);
    let passed_ms = last.t_ms.checked_sub(first.t_ms).filter(|&ms| ms > 0)?;
    let done = last.pages.saturating_sub(first.pages);
    Some(to_f64(done) * 1e3 / to_f64(passed_ms))
}

fn longest_gap_ms(records: &[Record]) -> f64 {
    let longest_us = records.iter().map(|record| record.max_gap_us).max();
    to_f64(longest_us.unwrap_or(0)) / 1e3
}
