//! The files in which benchmarks leave what they found, one each: `results/migrate.json` and so on.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A file that is not as it is needed.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read or written.
    #[error("cannot {action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is not what a benchmark writes.
    #[error("{path} is no file of results")]
    Results {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
}

impl FileError {
    /// What became of `action` with the file at `path`.
    pub fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }

    /// Whether there is no such file.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::File { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// A benchmark that leaves a file of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Benchmark {
    /// Start and size.
    Boot,
    /// Moves.
    Migrate,
    /// What moves do to an application.
    Degradation,
    /// What moves do to Linux applications.
    Applications,
    /// Moves beside QEMU's.
    Peers,
    /// Resumes.
    Resume,
    /// Devices.
    Devices,
    /// The balloon.
    Balloon,
}

impl Benchmark {
    /// In the order in which they are shown.
    pub const ALL: [Self; 8] = [
        Self::Migrate,
        Self::Degradation,
        Self::Applications,
        Self::Peers,
        Self::Resume,
        Self::Balloon,
        Self::Devices,
        Self::Boot,
    ];

    /// Its name, that of its file and of its program.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Boot => "boot",
            Self::Migrate => "migrate",
            Self::Degradation => "degradation",
            Self::Applications => "applications",
            Self::Peers => "peers",
            Self::Resume => "resume",
            Self::Devices => "devices",
            Self::Balloon => "balloon",
        }
    }
}

/// Where the results of `benchmark` are in `directory`.
#[must_use]
pub fn path_of(directory: &Path, benchmark: Benchmark) -> PathBuf {
    directory.join(benchmark.name()).with_extension("json")
}

/// The results of `benchmark` in `directory`.
///
/// # Errors
/// They are missing, cannot be read, or are none.
pub fn read(directory: &Path, benchmark: Benchmark) -> Result<Value, FileError> {
    let path = path_of(directory, benchmark);
    let bytes = fs::read(&path).map_err(FileError::at("read", &path))?;
    serde_json::from_slice(&bytes).map_err(|source| FileError::Results { path, source })
}
