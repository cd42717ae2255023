//! Counts as numbers to calculate with.

/// A count as a number to calculate with.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of pages and bytes stay far below 2^53"
)]
pub(crate) fn to_f64(count: u64) -> f64 {
    count as f64
}
