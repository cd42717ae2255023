//! Claims that compare cells or columns.

use super::{Bound, Verdict};
use crate::bench::cell::{LinkKind, Pace, Workload};
use crate::bench::matrix::Suite;
use crate::bench::sample::{Sample, Summary};
use crate::bench::statistics::Spread;

/// Work lost is known to so much of a second: a tenth of the guest's interval between records. Where
/// the runs of one column differ from each other by more, to half of that.
const LOST_RESOLUTION_S: f64 = 0.01;

/// And to this share of it. Our choice: because two runs of the same differ by as much where nearly all
/// is lost.
const LOST_RESOLUTION_SHARE: f64 = 0.02;

/// The time that vCPUs were blocked is known to so much, or to half of what runs differ by.
const BLOCKED_RESOLUTION_MS: f64 = 10.0;

/// What a downtime may vary by itself, in ms. Our choice: because a wake-up on another processor
/// varies by as much.
const DOWNTIME_RESOLUTION_MS: f64 = 0.5;

pub(super) fn verdicts(summaries: &[Summary]) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for push in summaries {
        if !(push.ran_in("post-copy") && push.prepaged_by("push")) {
            continue;
        }
        for bubble in summaries {
            let comparable = bubble.cell == push.cell && bubble.ran_in("post-copy");
            if comparable && bubble.prepaged_by("bubble") {
                verdicts.extend(less_lost(push, bubble));
                verdicts.extend(fewer_faults(push, bubble));
                verdicts.extend(no_longer_blocked(push, bubble));
            }
        }
    }
    for (index, one) in summaries.iter().enumerate() {
        // Once for each column.
        let first = |other: &Summary| is_of_sizes(other) && other.column == one.column;
        if one.ran_in("post-copy") && summaries.iter().position(first) == Some(index) {
            verdicts.extend(same_downtime(summaries, one));
        }
    }
    verdicts
}

/// Whether each of them has a run that had the machine to itself.
fn are_quiet(summaries: &[&Summary]) -> bool {
    summaries.iter().all(|summary| summary.quiet() > 0)
}

fn is_of_sizes(summary: &Summary) -> bool {
    summary.cell.suite == Suite::Sizes && !summary.samples.is_empty()
}

fn against(push: &Summary, bubble: &Summary) -> String {
    format!("{} {} against {}", push.cell, bubble.column, push.column)
}

fn less_lost(push: &Summary, bubble: &Summary) -> Option<Verdict> {
    let lost_s = |summary: &Summary| summary.spread(|sample| sample.cost.lost_s);
    let pushed = lost_s(push)?;
    let resolution_s = LOST_RESOLUTION_S.max(LOST_RESOLUTION_SHARE * pushed.median);
    // Who loses nothing may seem to gain a little.
    let limit_s = no_more_than(&pushed, resolution_s).max(LOST_RESOLUTION_S);
    Some(Verdict {
        claim: "work lost s: bubble, push",
        subject: against(push, bubble),
        measured: lost_s(bubble)?.median,
        bound: Bound::AtMost(limit_s),
        is_quiet: are_quiet(&[push, bubble]),
    })
}

fn fewer_faults(push: &Summary, bubble: &Summary) -> Option<Verdict> {
    let sequential = matches!(push.cell.workload, Workload::SeqRead | Workload::SeqWrite);
    let walks = sequential && push.cell.pace == Pace::Full && push.cell.suite == Suite::Moves;
    // A link that is faster than the guest has few faults to save.
    if !walks || push.cell.link != LinkKind::GIGABIT {
        return None;
    }
    let faults = |summary: &Summary| summary.median(|sample| sample.faults);
    Some(Verdict {
        claim: "network faults: push / bubble",
        subject: against(push, bubble),
        measured: faults(push)? / faults(bubble)?.max(1.0),
        bound: Bound::AtLeast(5.0),
        is_quiet: are_quiet(&[push, bubble]),
    })
}

/// Few faults are worth nothing if each takes long: sorts are compared by them.
fn no_longer_blocked(push: &Summary, bubble: &Summary) -> Option<Verdict> {
    if push.cell.suite != Suite::Sorts {
        return None;
    }
    let blocked_ms = |summary: &Summary| summary.spread(|sample| Some(sample.blocked_ms));
    let limit_ms = no_more_than(&blocked_ms(push)?, BLOCKED_RESOLUTION_MS);
    Some(Verdict {
        claim: "blocked ms: bubble, push",
        subject: against(push, bubble),
        measured: blocked_ms(bubble)?.median,
        bound: Bound::AtMost(limit_ms),
        is_quiet: are_quiet(&[push, bubble]),
    })
}

/// What is not more than `other`, as far as the runs of that one tell.
fn no_more_than(other: &Spread, resolution: f64) -> f64 {
    other.median + resolution.max((other.max - other.min) / 2.0)
}

/// The median downtimes of all sizes of memory, the longest against the shortest.
fn same_downtime(summaries: &[Summary], one: &Summary) -> Option<Verdict> {
    let same = summaries
        .iter()
        .filter(|other| is_of_sizes(other) && other.column == one.column);
    let same: Vec<_> = same.collect();
    let medians = same
        .iter()
        .filter_map(|one| one.median(|sample: &Sample| sample.downtime_ms));
    let spread = Spread::of(medians).filter(|spread| spread.count > 1)?;
    Some(Verdict {
        claim: "downtime ms, longest of all memory sizes; shortest + resolution",
        subject: format!("sizes {}", one.column),
        measured: spread.max,
        bound: Bound::AtMost(spread.min * 1.1 + DOWNTIME_RESOLUTION_MS),
        is_quiet: are_quiet(&same),
    })
}
