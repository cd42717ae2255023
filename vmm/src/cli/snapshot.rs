//! `skiff snapshot`: has a monitor write one, or checks one.

use std::path::Path;

use migration::snapshot::{Verified, verify};
use serde::Deserialize;
use serde_json::Value;

use super::args::SnapshotDeed;
use super::errand;
use super::errors::{ClientError, CommandError};
use super::format::{bytes, milliseconds};
use super::output::{print, print_report};
use crate::control::Request;
use crate::memory::PAGE_BYTES;

/// Does what was asked for.
pub(super) fn snapshot(deed: SnapshotDeed) -> Result<(), CommandError> {
    match deed {
        SnapshotDeed::Verify(directory) => check(&directory),
        SnapshotDeed::Write { vm, config, report } => {
            let to = config.to.clone();
            let result = errand::attend(&vm, &Request::Snapshot(config))?;
            let text = format!("{vm}: snapshot in {}\n{}", to.display(), summary(&result));
            Ok(print_report(&text, &result, report.as_deref())?)
        }
    }
}

fn check(directory: &Path) -> Result<(), CommandError> {
    let Verified {
        identity,
        pages,
        stored_pages,
        digest,
    } = verify(directory).map_err(|source| ClientError::Snapshot {
        directory: directory.to_owned(),
        source,
    })?;
    Ok(print(&format!(
        "{} is whole: {} of memory, {} stored, digest {digest}, identity {identity}\n",
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
}

fn summary(report: &Value) -> String {
    let Summary {
        pause_ms,
        total_ms,
        sync_ms,
        written_bytes,
        rounds,
        pages: Pages { total, stored },
    } = Summary::deserialize(report).unwrap_or_default();
    let rounds = match rounds.len() {
        0 => String::new(),
        1 => ", after 1 round while it ran".to_owned(),
        rounds => format!(", after {rounds} rounds while it ran"),
    };
    format!(
        "  pause    {}{rounds}\n  \
           total    {}, {} of it for the disk\n  \
           memory   {} of {} stored, {} written\n",
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
    }
}
