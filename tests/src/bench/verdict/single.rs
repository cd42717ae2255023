//! Claims about one cell and column.

use super::{Bound, Verdict};
use crate::bench::cell::{LinkKind, Pace, Workload};
use crate::bench::floors::Floors;
use crate::bench::matrix::Suite;
use crate::bench::sample::{Sample, Summary};
use crate::paper::Paper;

/// Bytes of earlier pages that the source's kernel may still hold when an urgent page follows: the
/// window of a background connection, as the migration engine sets it for this link, and what its
/// last piece may exceed it by.
const QUEUED_BYTES: f64 = 65_536.0;

/// Downtime that `auto` keeps if none is asked for (`skiff help migrate`).
const USUAL_MAX_DOWNTIME_MS: f64 = 300.0;

/// Fewer faults have no percentiles worth the name.
const FEW_FAULTS: f64 = 20.0;

/// Size of the VM whose downtime is claimed.
const CLAIMED_MEMORY_MIB: u32 = 1024;

pub(super) fn verdicts(summary: &Summary, floors: Option<&Floors>) -> Vec<Verdict> {
    let subject = Subject { summary };
    let mut verdicts = Vec::new();
    if summary.ran_in("post-copy") {
        if let Some(floors) = floors {
            verdicts.extend(subject.total_time(floors));
            verdicts.extend(subject.fault_latency(floors));
        }
        verdicts.extend(subject.downtime());
        verdicts.extend(subject.stall());
    }
    verdicts.extend(subject.lost_work());
    verdicts.extend(subject.promised_downtime());
    verdicts.extend(subject.wire_bytes());
    verdicts.extend(subject.faults_of_the_paper());
    verdicts
}

struct Subject<'a> {
    summary: &'a Summary,
}

impl Subject<'_> {
    fn verdict(&self, claim: &'static str, measured: f64, bound: Bound) -> Verdict {
        let Summary { cell, column, .. } = self.summary;
        Verdict {
            claim,
            subject: format!("{cell} {column}"),
            measured,
            bound,
            is_quiet: self.summary.quiet() > 0,
        }
    }

    /// The median of `number`, held against `bound`.
    fn of(
        &self,
        claim: &'static str,
        number: impl Fn(&Sample) -> f64,
        bound: Bound,
    ) -> Option<Verdict> {
        let measured = self.summary.median(number)?;
        Some(self.verdict(claim, measured, bound))
    }

    fn total_time(&self, floors: &Floors) -> Option<Verdict> {
        // Demand paging alone claims nothing about its total time.
        if self.summary.cell.suite != Suite::Moves || self.summary.prepaged_by("none") {
            return None;
        }
        let rate = |sample: &Sample| sample.content_bytes() * 1e3 / sample.total_ms;
        match self.summary.cell.link {
            // Both ends and the guest share this machine: one that rests leaves it to them.
            LinkKind::Loopback if self.summary.cell.pace == Pace::Full => None,
            LinkKind::Loopback => self.of(
                "rate / rate of bulk UFFDIO_COPY",
                |sample| rate(sample) / floors.bulk_copy_bytes_per_s,
                Bound::AtLeast(0.6),
            ),
            LinkKind::Shaped { .. } => self.of(
                "total time / time of one TCP stream for the content",
                |sample| floors.tcp_bytes_per_s / rate(sample),
                Bound::AtMost(1.05),
            ),
        }
    }

    fn fault_latency(&self, floors: &Floors) -> Option<Verdict> {
        if self.summary.median(|sample| sample.faults)? < FEW_FAULTS {
            return None;
        }
        if self.summary.prepaged_by("none") {
            return self.of(
                "fault p50 / floor, link idle",
                |sample| sample.fault_p50_us / floors.network_fault_us,
                Bound::AtMost(1.5),
            );
        }
        // A chunk has to cross the link behind what the kernel holds, and to be installed.
        let chunk_bytes = self.summary.median(|sample| sample.largest_push_bytes)?;
        let chunk_us = (chunk_bytes + QUEUED_BYTES) * 1e6 / floors.tcp_bytes_per_s
            + chunk_bytes * 1e6 / floors.bulk_copy_bytes_per_s;
        let limit_us = floors.fetch_us + chunk_us + floors.network_fault_us;
        (self.summary.cell.link == LinkKind::GIGABIT).then(|| {
            self.of(
                "fault p99 us, link busy: RTT + chunk + floor",
                |sample| sample.fault_p99_us,
                Bound::AtMost(limit_us),
            )
        })?
    }

    fn downtime(&self) -> Option<Verdict> {
        let cell = &self.summary.cell;
        let claimed = cell.link == LinkKind::Loopback && cell.memory_mib == CLAIMED_MEMORY_MIB;
        claimed.then(|| {
            self.of(
                "downtime ms",
                |sample| sample.downtime_ms,
                Bound::AtMost(2.0),
            )
        })?
    }

    fn stall(&self) -> Option<Verdict> {
        let cell = &self.summary.cell;
        let claimed = cell.suite == Suite::Moves
            && cell.pace == Pace::PagesPerS(2000)
            && [LinkKind::Loopback, LinkKind::GIGABIT].contains(&cell.link);
        claimed.then(|| {
            self.of(
                "longest stall ms",
                |sample| sample.cost.longest_stall_ms,
                Bound::AtMost(10.0),
            )
        })?
    }

    /// Of loads that a link can feed.
    fn lost_work(&self) -> Option<Verdict> {
        let Summary { cell, column, .. } = self.summary;
        let limit_percent = match cell.pace {
            _ if cell.suite != Suite::Moves || cell.link != LinkKind::GIGABIT => return None,
            Pace::PagesPerS(2000) if column.is_auto() => 3.0,
            Pace::PagesPerS(20_000) if column.is_auto() => 15.0,
            Pace::PagesPerS(2000) if self.summary.ran_in("post-copy") => 10.0,
            _ => return None,
        };
        let lost = self.summary.spread(Sample::lost_percent)?;
        Some(self.verdict("work lost %", lost.median, Bound::AtMost(limit_percent)))
    }

    /// Every single run must keep it, not only the typical one.
    fn promised_downtime(&self) -> Option<Verdict> {
        let column = &self.summary.column;
        if !column.is_auto() {
            return None;
        }
        let limit_ms = column.max_downtime_ms().unwrap_or(USUAL_MAX_DOWNTIME_MS);
        let longest = self.summary.spread(|sample| Some(sample.downtime_ms))?.max;
        Some(self.verdict("longest downtime ms", longest, Bound::AtMost(limit_ms)))
    }

    fn faults_of_the_paper(&self) -> Option<Verdict> {
        let cell = &self.summary.cell;
        let Workload::Quicksort { procs } = cell.workload else {
            return None;
        };
        // A push is only what bubbles are compared with.
        if self.summary.prepaged_by("push") {
            return None;
        }
        if cell.suite != Suite::Sorts {
            return None;
        }
        let limit = Paper::load().fewest_faults(procs)?;
        self.of(
            "network faults; the paper's fewest",
            |sample| sample.faults,
            Bound::AtMost(limit),
        )
    }

    fn wire_bytes(&self) -> Option<Verdict> {
        let used_bytes = f64::from(self.summary.cell.hot_mib) * f64::from(1 << 20);
        (self.summary.cell.suite == Suite::Sparse).then(|| {
            self.of(
                "wire bytes / used bytes",
                |sample| sample.wire_bytes / used_bytes,
                Bound::AtMost(1.05),
            )
        })?
    }
}
