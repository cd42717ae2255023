//! The lines of the probe guest, of which one may begin at one monitor and end at the other.

use serde::Serialize;

use crate::harness::field;

/// How every line of the probe begins.
const PREFIX: &str = "probe: ";

/// One progress line. All numbers are the guest's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Record {
    /// Time since the guest was ready.
    pub t_ms: u64,
    /// Pages visited since then.
    pub pages: u64,
    /// Longest time without a step since the record before.
    pub max_gap_us: u64,
}

impl Record {
    /// Reads a progress line; `None` if the line is another one, or not whole.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let line = line.strip_prefix(PREFIX)?;
        let number = |key| field(line, key).ok();
        Some(Self {
            t_ms: number("t_ms")?,
            pages: number("pages")?,
            max_gap_us: number("max_gap_us")?,
        })
    }
}

/// The progress lines among all lines.
pub fn records(lines: &[String]) -> Vec<Record> {
    let records = lines.iter().filter_map(|line| Record::parse(line));
    records.collect()
}

/// The guest's lines of before and after the move as one sequence. The guest may have been paused in
/// the middle of a line: then the first thing it says at the destination is the rest of it.
#[must_use]
pub fn stitch(source: &[String], destination: &[String]) -> Vec<String> {
    let mut lines = source.to_vec();
    let mut rest = destination;
    if let Some((first, others)) = destination.split_first()
        && !first.starts_with(PREFIX)
    {
        match lines.last_mut() {
            Some(begun) => begun.push_str(first),
            None => lines.push(first.clone()),
        }
        rest = others;
    }
    lines.extend_from_slice(rest);
    lines
}
