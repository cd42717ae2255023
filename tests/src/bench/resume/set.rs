//! How long does a guest take to touch 64 MiB out of 1 GiB, and how often does it wait?
//!
//! It is saved in the middle of checking its working set, several more checks being asked for. So every
//! copy finishes that one and makes the next whole, and what it takes depends only on where its memory
//! is. The order is one that nothing but a record of it foretells.

use super::guest::{Guest, MIB_PAGES, Resumed, forget, ms, resume, save, wait_until};
use super::{EAGER, Findings, LAZY};
use crate::bench::noise::Watch;
use crate::bench::sample::number_in;
use crate::bench::verdict::Bound;
use crate::bench::{BenchError, LinkKind, floors, link::Link};
use crate::count::to_f64;
use crate::harness::Host;

/// The working set.
const SET_MIB: u64 = 64;

/// All of the guest's memory, more than it has for itself.
const ALL_PAGES: u64 = 1024 * MIB_PAGES;

/// Checks asked for before the snapshot. Our choice: what the serial port's FIFO holds, which is saved
/// with it.
const CHECKS: usize = 64;

/// Checks until all of the set was touched: the rest of one, and another.
const TOUCHED_BY: usize = 2;

/// The most that it may take, by the sum of the floors.
const MOST_SHARE: f64 = 1.15;

/// How many times more faults there are at least without prefetch, which is demand paging, and while
/// the set is learned. What comes in blocks around each fault is prefetched, too, if not learned: it is
/// printed, and nothing claimed.
const FEWER_FAULTS: f64 = 5.0;

/// The ways to resume, in the order in which the working set is learned.
const WAYS: [(&str, [&str; 4]); 6] = [
    ("resident", [EAGER[0], EAGER[1], "--prefetch", "off"]),
    (
        "lazy, demand paging",
        [LAZY[0], LAZY[1], "--prefetch", "demand"],
    ),
    ("lazy, blocks", [LAZY[0], LAZY[1], "--prefetch", "off"]),
    ("lazy, first", [LAZY[0], LAZY[1], "--prefetch", "on"]),
    ("lazy, second", [LAZY[0], LAZY[1], "--prefetch", "on"]),
    ("lazy, third", [LAZY[0], LAZY[1], "--prefetch", "on"]),
];

/// Resumes in each way once a run.
///
/// # Errors
/// A guest or a floor fails.
pub fn measure(runs: usize) -> Result<Findings, BenchError> {
    let mut findings = Findings::default();
    let host = Host::new()?;
    let directory = host.runtime().join("snapshot");
    let guest = Guest {
        memory: "1G",
        set_kib: SET_MIB << 10,
        words: "workload=chase rate=1",
        filled_pages: ALL_PAGES,
    };
    let mut vm = guest.boot(&host)?;
    vm.skiff.type_text(&"d".repeat(CHECKS))?;
    vm.wait_output("probe: digest=")?;
    save(&mut vm, &directory)?;

    let link = Link::new(LinkKind::Loopback)?;
    for _ in 0..runs {
        let watch = Watch::begin()?;
        let bulk_bytes_per_s = floors::measure(&link)?.bulk_copy_bytes_per_s;
        let bulk_ms = to_f64(SET_MIB << 20) / bulk_bytes_per_s * 1e3;
        findings.note(&touched("bulk copy"), "ms", bulk_ms);
        forget(&directory)?;
        for (way, options) in WAYS {
            let resumed = resume(&host, &directory, &options)?;
            findings.note(&touched(way), "ms", until_touched(&resumed)?);
            let report = resumed.report(&host, &options)?;
            findings.note(&faults(way), "pages", number_in(&report, "/faults")?);
            let ahead = number_in(&report, "/prefetch_pages")?;
            findings.note(&format!("{way}: ahead of demand"), "pages", ahead);
            resumed.end()?;
        }
        findings.heard(watch.end()?);
    }
    judge(&mut findings);
    Ok(findings)
}

fn judge(findings: &mut Findings) {
    let time = |findings: &Findings, way| findings.median(&touched(way));
    let floor = time(findings, "resident").zip(time(findings, "bulk copy"));
    for way in ["lazy, second", "lazy, third"] {
        let share = time(findings, way)
            .zip(floor)
            .map(|(time, (resident, bulk))| time / (resident + bulk));
        findings.hold("time by floors", way, share, Bound::AtMost(MOST_SHARE));
        let with = findings.median(&faults(way));
        for (claim, without) in [
            (
                "faults without prefetch by those with it",
                "lazy, demand paging",
            ),
            ("faults of the first resume by those with it", "lazy, first"),
        ] {
            let fewer = findings
                .median(&faults(without))
                .zip(with)
                .map(|(without, with)| without / with.max(1.0));
            findings.hold(claim, way, fewer, Bound::AtLeast(FEWER_FAULTS));
        }
    }
}

fn touched(way: &str) -> String {
    format!("{way}: touched")
}

fn faults(way: &str) -> String {
    format!("{way}: faults")
}

/// From when the guest was about to run.
fn until_touched(resumed: &Resumed) -> Result<f64, BenchError> {
    let is_check = |line: &&String| line.contains("digest=");
    wait_until(resumed.vm.skiff.output(), "digest=", |lines| {
        lines.iter().filter(is_check).count() >= TOUCHED_BY
    })?;
    Ok(ms(resumed.ready.elapsed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefetch_is_held_against_resident_memory_and_bulk_copy_and_faults_without_it() {
        let mut findings = Findings::default();
        for (what, value) in [
            (touched("resident"), 20.0),
            (touched("bulk copy"), 20.0),
            (touched("lazy, second"), 44.0),
            (faults("lazy, demand paging"), 900.0),
            (faults("lazy, first"), 600.0),
            (faults("lazy, second"), 150.0),
        ] {
            findings.note(&what, "", value);
        }
        judge(&mut findings);
        let found = findings.verdicts.iter();
        let found: Vec<_> = found.map(|one| (one.measured, one.holds())).collect();
        assert_eq!(found, [(1.1, true), (6.0, true), (4.0, false)]);
    }
}
