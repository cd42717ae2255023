//! Directories of snapshots.

use std::fs;
use std::path::{Path, PathBuf};

use migration::CancelToken;
use migration::snapshot::{
    Afterwards, Liveness, SnapshotError, SnapshotOptions, SnapshotReport, write,
};

use tempfile::TempDir;

use crate::machine::FakeSource;
use crate::memory::Memory;

/// Enough for several chunks, the last of them short.
pub const PAGES: u64 = 1200;

/// A directory with a snapshot of [`Memory::filled`] in it.
pub fn snapshot() -> (TempDir, PathBuf, SnapshotReport) {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("snapshot");
    let source = FakeSource::new(Memory::filled(PAGES));
    let report = write_to(&directory, &source).unwrap();
    assert!(source.runs());
    (place, directory, report)
}

pub fn options(directory: &Path) -> SnapshotOptions {
    SnapshotOptions {
        directory: directory.to_owned(),
        base: None,
        liveness: Liveness::Paused,
        afterwards: Afterwards::Resumed,
    }
}

pub fn write_to(directory: &Path, source: &FakeSource) -> Result<SnapshotReport, SnapshotError> {
    let cancel = CancelToken::new().unwrap();
    write(source, &options(directory), &|_| {}, &cancel)
}

pub fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

pub fn memory_file(directory: &Path) -> PathBuf {
    let name = names(directory)
        .into_iter()
        .find(|name| name.starts_with("memory-"));
    directory.join(name.unwrap())
}
