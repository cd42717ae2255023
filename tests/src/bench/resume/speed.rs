//! How long until a guest that works on 256 MiB out of 1 GiB is at full speed again?
//!
//! Full speed is the one that it has in the end: machines that share their hosts are faster in one minute
//! than in the next. That by the one before its snapshot is held to a claim of its own.

use std::fs::{self, File};
use std::path::Path;

use rustix::fs::{Advice, fadvise};

use super::guest::{Guest, MIB_PAGES, PATIENCE, Resumed, forget, ms, resume, save, wait_until};
use super::{FETCHED, Findings, LAZY, MAPPED};
use crate::bench::BenchError;
use crate::bench::guest::{RATE_RECORDS, Record, stitch};
use crate::bench::host_memory;
use crate::bench::noise::Watch;
use crate::bench::sample::number_in;
use crate::bench::verdict::Bound;
use crate::count::to_f64;
use crate::harness::Host;

/// The working set.
const SET_KIB: u64 = 256 << 10;

/// All of the guest's memory, more than it has for itself.
const ALL_PAGES: u64 = 1024 * MIB_PAGES;

/// The same in MiB.
const GUEST_MIB: u32 = 1024;

/// Records of a resumed guest, one each 100 ms. Our choice: because nothing that it gets faster by
/// takes as long.
const RECORDS: usize = 25;

/// The last of them, which tell its speed in the end.
const LAST_RECORDS: usize = 10;

/// The share of full speed from which on a guest is at it.
const FULL: f64 = 0.9;

/// The least speed in the end by that before. Our choice: because equal guests have been seen to differ by
/// a tenth.
const LEAST_SHARE: f64 = 0.8;

/// The least such share of a guest that has come to an end of getting faster. Our choice: because machines that
/// share their hosts have been seen to differ by less.
const SETTLED_SHARE: f64 = 0.5;

/// The most that it may take, in s.
const MOST_S: f64 = 0.3;

/// Resumes from which the working set is learned.
const LESSONS: usize = 3;

/// The ways to resume. Cold memory that is mapped is not read to its end: what is lazy warms it again.
const WAYS: [(&str, [&str; 4], Cache); 5] = [
    (PREFETCH, LEARNED, Cache::Hot),
    (
        "lazy, blocks",
        [LAZY[0], LAZY[1], "--prefetch", "off"],
        Cache::Hot,
    ),
    ("mapped", MAPPED_ALONE, Cache::Hot),
    ("mapped, cold", MAPPED_ALONE, Cache::Cold),
    ("lazy, prefetch, cold", LEARNED, Cache::Cold),
];

const PREFETCH: &str = "lazy, prefetch";
const LEARNED: [&str; 4] = [LAZY[0], LAZY[1], "--prefetch", "on"];
const MAPPED_ALONE: [&str; 4] = [MAPPED[0], MAPPED[1], "--prefetch", "off"];

/// Whether the host has the snapshot in its page cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cache {
    Hot,
    /// It has to come from the disk.
    Cold,
}

/// Saves a guest at full speed, teaches its snapshot the working set, and resumes it in each way once a
/// run.
///
/// # Errors
/// A guest fails.
pub fn measure(runs: usize) -> Result<Findings, BenchError> {
    let mut findings = Findings::default();
    let host = Host::new()?;
    let directory = host.runtime().join("snapshot");
    let saved = save_at_work(&host, &directory)?;
    forget(&directory)?;
    for _ in 0..LESSONS {
        let resumed = resume(&host, &directory, &LEARNED)?;
        resumed.report(&host, &LEARNED)?;
        resumed.end()?;
    }
    for _ in 0..runs {
        let watch = Watch::begin()?;
        for (way, options, cache) in WAYS {
            let fetched = host_memory::fetch(GUEST_MIB)?;
            findings.note(FETCHED, "ms", ms(fetched));
            if cache == Cache::Cold {
                cool(&directory)?;
            }
            let resumed = resume(&host, &directory, &options)?;
            let after = arrivals(&saved, &resumed)?;
            let report = resumed.report(&host, &options)?;
            resumed.end()?;
            let Recovery { after_s, share } =
                recovery(&records_of(&saved), &after).ok_or_else(|| BenchError::Lacks {
                    what: "full speed before the snapshot",
                    text: saved.join("\n"),
                })?;
            findings.note(&until_full(way), "s", after_s);
            findings.note(&in_the_end(way), "share", share);
            for (what, path) in [
                ("ahead of demand", "/prefetch_pages"),
                ("faults", "/faults"),
            ] {
                findings.note(
                    &format!("{way}: {what}"),
                    "pages",
                    number_in(&report, path)?,
                );
            }
        }
        findings.heard(watch.end()?);
    }
    let median = findings.median(&until_full(PREFETCH));
    findings.hold(
        "median, s",
        &until_full(PREFETCH),
        median,
        Bound::AtMost(MOST_S),
    );
    let share = findings.median(&in_the_end(PREFETCH));
    findings.hold(
        "median, share",
        &in_the_end(PREFETCH),
        share,
        Bound::AtLeast(LEAST_SHARE),
    );
    Ok(findings)
}

fn in_the_end(way: &str) -> String {
    format!("{way}: speed in the end")
}

fn until_full(way: &str) -> String {
    format!("{way}: until full speed")
}

/// Has the host forget what it has of the files in `directory`, but not what is on the disk.
fn cool(directory: &Path) -> Result<(), BenchError> {
    let failed = |error| BenchError::system("empty the page cache of a snapshot")(error);
    for entry in fs::read_dir(directory).map_err(failed)? {
        let file = File::open(entry.map_err(failed)?.path()).map_err(failed)?;
        // Pages that are not on the disk yet would stay.
        file.sync_all().map_err(failed)?;
        fadvise(&file, 0, None, Advice::DontNeed).map_err(|errno| failed(errno.into()))?;
    }
    Ok(())
}

/// Gives what the guest said until it was saved.
fn save_at_work(host: &Host, directory: &Path) -> Result<Vec<String>, BenchError> {
    let guest = Guest {
        memory: "1G",
        set_kib: SET_KIB,
        words: "workload=seq-write",
        filled_pages: ALL_PAGES,
    };
    let mut vm = guest.boot(host)?;
    let output = vm.skiff.output().clone();
    let from = output.count();
    // One record more: it spans the filling.
    wait_until(&output, "pages=", |lines| {
        records_of(&lines[from..]).len() > RATE_RECORDS + 1
    })?;
    save(&mut vm, directory)?;
    Ok(output.all().split_off(from))
}

/// A record of a resumed guest, and when it came.
#[derive(Debug, Clone, Copy)]
struct Arrival {
    /// Since the guest was about to run.
    after_s: f64,
    record: Record,
}

/// What a resume cost the guest.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Recovery {
    /// Until it was at full speed; all the time it was watched, if it was not.
    after_s: f64,
    /// Its speed in the end by that before.
    share: f64,
}

fn arrivals(saved: &[String], resumed: &Resumed) -> Result<Vec<Arrival>, BenchError> {
    let output = resumed.vm.skiff.output();
    let before = records_of(saved).len();
    let mut arrivals: Vec<Arrival> = Vec::new();
    loop {
        let lines = output.all();
        let after_s = ms(resumed.ready.elapsed()) / 1e3;
        // The first line says that the VM is ready.
        let records = records_of(&stitch(saved, &lines[1..]));
        let fresh = records.into_iter().skip(before + arrivals.len());
        arrivals.extend(fresh.map(|record| Arrival { after_s, record }));
        if arrivals.len() >= RECORDS {
            return Ok(arrivals);
        }
        output.wait_from(lines.len(), "probe: ", PATIENCE)?;
    }
}

fn records_of(lines: &[String]) -> Vec<Record> {
    let records = lines.iter().filter_map(|line| Record::parse(line));
    records.collect()
}

/// `None` if nothing is known of the time before, or of that after. Rates are of the guest's clock, which
/// may stand still between snapshot and resume, or not.
fn recovery(before: &[Record], after: &[Arrival]) -> Option<Recovery> {
    let quiet = before.get(before.len().checked_sub(RATE_RECORDS + 1)?..)?;
    let former = pages_per_s(quiet.first()?, quiet.last()?)?;
    let settled = after.get(after.len().checked_sub(LAST_RECORDS + 1)?..)?;
    let full = pages_per_s(&settled.first()?.record, &settled.last()?.record)?;
    let is_full = |pair: &&[Arrival]| {
        let rate = pages_per_s(&pair[0].record, &pair[1].record);
        rate.is_some_and(|rate| rate >= FULL * full)
    };
    let is_settled = full >= SETTLED_SHARE * former;
    let first_full = after.windows(2).find(is_full).filter(|_| is_settled);
    let back = first_full.map_or(after.last(), |pair| pair.first())?;
    Some(Recovery {
        after_s: back.after_s,
        share: full / former,
    })
}

/// `None` if no time passed, or no work is done.
fn pages_per_s(from: &Record, until: &Record) -> Option<f64> {
    let passed_ms = until.t_ms.checked_sub(from.t_ms).filter(|&ms| ms > 0)?;
    let done = until
        .pages
        .checked_sub(from.pages)
        .filter(|&done| done > 0)?;
    Some(to_f64(done) * 1e3 / to_f64(passed_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record each 100 ms, with so many pages done since the one before.
    fn records(done: &[u64]) -> Vec<Record> {
        let mut pages = 0;
        let record = |(number, done): (u64, &u64)| {
            pages += done;
            Record {
                t_ms: number * 100,
                pages,
                max_gap_us: 1,
            }
        };
        (0..).zip(done).map(record).collect()
    }

    /// The same as they come, the first one at once.
    fn arrivals(done: &[u64]) -> Vec<Arrival> {
        let arrival = |record: Record| Arrival {
            after_s: to_f64(record.t_ms) / 1e3,
            record,
        };
        records(done).into_iter().map(arrival).collect()
    }

    #[test]
    fn full_speed_is_back_where_the_first_interval_at_nine_tenths_begins() {
        let before = records(&[1000; RATE_RECORDS + 1]);
        let after = [&[0, 100, 800, 900][..], &[1000; LAST_RECORDS + 1]].concat();
        let found = recovery(&before, &arrivals(&after)).unwrap();
        assert_eq!((found.after_s, found.share), (0.2, 1.0));
    }

    #[test]
    fn speed_that_does_not_come_back_is_told_by_its_share_and_far_from_it_is_not_full() {
        let before = records(&[1000; RATE_RECORDS + 1]);
        for (in_the_end, after_s, share) in [(500, 0.1, 0.5), (400, 1.2, 0.4)] {
            let after = [&[0, 100][..], &[in_the_end; LAST_RECORDS + 1]].concat();
            let found = recovery(&before, &arrivals(&after)).unwrap();
            assert_eq!((found.after_s, found.share), (after_s, share));
        }
    }

    #[test]
    fn full_speed_is_unknown_without_records_before() {
        let after = arrivals(&[1000; LAST_RECORDS + 1]);
        assert_eq!(recovery(&records(&[1000; RATE_RECORDS]), &after), None);
        assert_eq!(recovery(&records(&[0; RATE_RECORDS + 1]), &after), None);
    }
}
