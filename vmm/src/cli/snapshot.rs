//! `skiff snapshot`: has a monitor write one, checks one, or makes a whole one of a difference.

use std::path::Path;

use migration::snapshot::{MergeOptions, Verified, VerifiedBase, verify};
use serde::Deserialize;
use serde_json::Value;

use super::args::SnapshotDeed;
use super::errand;
use super::errors::{ClientError, CommandError};
use super::format::{bytes, milliseconds};
use super::output::{print, print_report};
use super::progress::ProgressDisplay;
use crate::control::Request;
use crate::memory::PAGE_BYTES;
use crate::monitor;

/// Does what was asked for.
pub(super) fn snapshot(deed: SnapshotDeed) -> Result<(), CommandError> {
    match deed {
        SnapshotDeed::Verify(directory) => check(&directory),
        SnapshotDeed::Merge { options, report } => merge(&options, report.as_deref()),
        SnapshotDeed::Write { vm, config, report } => {
            let to = config.to.clone();
            let result = errand::attend(&vm, &Request::Snapshot(config))?;
            let text = format!("{vm}: snapshot in {}\n{}", to.display(), summary(&result));
            Ok(print_report(&text, &result, report.as_deref())?)
        }
    }
}

fn merge(options: &MergeOptions, report: Option<&Path>) -> Result<(), CommandError> {
    let mut display = ProgressDisplay::new();
    let merged = monitor::merge(options, |progress| display.show(progress));
    display.clear();
    let merged = merged?;
    let text = format!(
        "snapshot in {}\n  \
           total    {}, {} of it for the disk\n  \
           memory   {} of the difference, {} of its base, {} written\n",
        options.directory.display(),
        milliseconds(merged.total_ms),
        milliseconds(merged.sync_ms),
        bytes(merged.pages.difference * PAGE_BYTES),
        bytes(merged.pages.base * PAGE_BYTES),
        bytes(merged.written_bytes),
    );
    Ok(print_report(&text, &merged, report)?)
}

fn check(directory: &Path) -> Result<(), CommandError> {
    let Verified {
        identity,
        pages,
        stored_pages,
        base,
        digest,
    } = verify(directory).map_err(|source| ClientError::Snapshot {
        directory: directory.to_owned(),
        source,
    })?;
    let (condition, of_base) = match base {
        None => ("whole".to_owned(), String::new()),
        Some(VerifiedBase { identity, pages }) => (
            format!("undamaged, a difference to {identity}"),
            format!(", {} of the base", bytes(pages * PAGE_BYTES)),
        ),
    };
    Ok(print(&format!(
        "{} is {condition}: {} of memory, {} stored{of_base}, digest {digest}, identity {identity}\n",
        directory.display(),
        bytes(pages * PAGE_BYTES),
        bytes(stored_pages * PAGE_BYTES),
    ))?)
}

/// What people want to know of a report; fields that a report lacks are zero.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Summary {
    pause_ms: f64,
    total_ms: f64,
    sync_ms: f64,
    written_bytes: u64,
    rounds: Vec<Value>,
    pages: Pages,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Pages {
    total: u64,
    stored: u64,
    base: u64,
}

fn summary(report: &Value) -> String {
    let Summary {
        pause_ms,
        total_ms,
        sync_ms,
        written_bytes,
        rounds,
        pages: Pages {
            total,
            stored,
            base,
        },
    } = Summary::deserialize(report).unwrap_or_default();
    let rounds = match rounds.len() {
        0 => String::new(),
        1 => ", after 1 round while it ran".to_owned(),
        rounds => format!(", after {rounds} rounds while it ran"),
    };
    let base = match base {
        0 => String::new(),
        base => format!(", {} the base's", bytes(base * PAGE_BYTES)),
    };
    format!(
        "  pause    {}{rounds}\n  \
           total    {}, {} of it for the disk\n  \
           memory   {} of {} stored{base}, {} written\n",
        milliseconds(pause_ms),
        milliseconds(total_ms),
        milliseconds(sync_ms),
        bytes(stored * PAGE_BYTES),
        bytes(total * PAGE_BYTES),
        bytes(written_bytes),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn summary_tells_pause_time_and_size() {
        let report = json!({
            "pause_ms": 1.5, "total_ms": 1250.0, "sync_ms": 250.0, "written_bytes": 3 << 20,
            "rounds": [{}, {}], "pages": { "total": 262_144, "stored": 512 }
        });
        assert_eq!(
            summary(&report),
            "  pause    1.5 ms, after 2 rounds while it ran\n  \
               total    1.25 s, 250.0 ms of it for the disk\n  \
               memory   2.0 MiB of 1.0 GiB stored, 3.0 MiB written\n"
        );
        let difference = json!({ "pages": { "total": 1024, "stored": 256, "base": 512 } });
        assert!(summary(&difference).contains("1.0 MiB of 4.0 MiB stored, 2.0 MiB the base's, "));
    }
}
