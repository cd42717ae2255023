//! What can be wrong with a snapshot, or with the place where one is to be.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::MigrationError;
use crate::layout::MemoryLayout;
use crate::snapshot::format::{MAJOR, MAX_SECTIONS, Part};
use crate::snapshot::{Identity, Unusable};

/// A snapshot that cannot be written, or not be used.
#[derive(Debug, thiserror::Error)]
#[expect(
    missing_docs,
    reason = "the message of each variant says what its fields are"
)]
pub enum SnapshotError {
    #[error("there is no snapshot in `{}`", directory.display())]
    Missing { directory: PathBuf },
    #[error("another snapshot is just being written to `{}`", directory.display())]
    Busy { directory: PathBuf },
    #[error("`{}` holds `{}`, which is no part of a snapshot", directory.display(), found.display())]
    Foreign { directory: PathBuf, found: PathBuf },
    #[error("cannot {action} `{}`", path.display())]
    File {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("cannot get random bytes")]
    Random { source: io::Error },

    #[error("it does not begin like a snapshot")]
    Magic,
    #[error(
        "it is of a machine of architecture {found}, not of x86-64 ({})",
        super::format::X86_64
    )]
    Architecture { found: u32 },
    #[error("it has format {found_major}.{found_minor}, and this version reads format {MAJOR}")]
    Version { found_major: u16, found_minor: u16 },
    #[error("it has {found} sections, not 1 to {MAX_SECTIONS}")]
    SectionCount { found: u32 },
    #[error("{part} ends after {found} of {expected} bytes")]
    Truncated {
        part: Part,
        found: u64,
        expected: u64,
    },
    #[error("{part} has {found} bytes where {expected} are due")]
    Length {
        part: Part,
        found: u64,
        expected: u64,
    },
    #[error("{part} has {bytes} bytes, more than {max_bytes}")]
    TooLarge {
        part: Part,
        bytes: u64,
        max_bytes: u64,
    },
    #[error("{part} is damaged: its checksum is {found:016x}, not {expected:016x}")]
    Checksum {
        part: Part,
        found: u64,
        expected: u64,
    },
    #[error("it needs section {kind} of a later version (format {MAJOR}.{minor})")]
    UnknownSection { kind: u32, minor: u16 },
    #[error("{part} has version {found}, this version of skiff reads version {ours}")]
    SectionVersion { part: Part, found: u16, ours: u16 },
    #[error("{part} is missing")]
    SectionMissing { part: Part },
    #[error("{part} is there twice")]
    SectionTwice { part: Part },
    #[error("{part} does not decode")]
    Decode { part: Part, source: postcard::Error },
    #[error("{part} makes no sense")]
    Malformed { part: Part },

    #[error("its memory file `{}` is missing", path.display())]
    MemoryMissing { path: PathBuf },
    #[error("its memory file `{}` has {found} bytes, not {expected}", path.display())]
    MemoryLength {
        path: PathBuf,
        found: u64,
        expected: u64,
    },
    #[error("page {page} in `{}` is damaged", path.display())]
    Page { path: PathBuf, page: u64 },
    #[error("the checksums of pages {first} to {last} in `{}` are damaged", path.display())]
    Chunk {
        path: PathBuf,
        first: u64,
        last: u64,
    },

    #[error("it is a difference to snapshot {base}, of which it does not hold the pages")]
    Difference { base: Identity },
    #[error("it is whole, and no difference to another snapshot")]
    NoDifference,
    #[error("it is a difference to snapshot {expected}, and `{}` holds {found}", base.display())]
    OtherBase {
        base: PathBuf,
        found: Identity,
        expected: Identity,
    },
    #[error("its memory is at {found}, and that of the base `{}` at {expected}", base.display())]
    BaseLayout {
        base: PathBuf,
        found: MemoryLayout,
        expected: MemoryLayout,
    },
    #[error("page {page} is in its memory file, and is to be its base's")]
    PageTwice { page: u64 },
    #[error("page {page} is to be its base's, which has another one there")]
    BasePage { page: u64 },
    #[error("`{}` holds the base, without which a difference to it is nothing", directory.display())]
    OntoBase { directory: PathBuf },
    #[error("the snapshot in `{}` cannot be used", directory.display())]
    Unfit {
        directory: PathBuf,
        source: Box<SnapshotError>,
    },

    #[error("the record of a working set in `{}` is not used", directory.display())]
    WorkingSet {
        directory: PathBuf,
        source: Unusable,
    },

    #[error("the snapshot was cancelled")]
    Cancelled,
    #[error("the VM does not do what a snapshot needs")]
    Vm(#[source] Box<MigrationError>),
    #[error("the snapshot failed, and the VM cannot be resumed")]
    Stuck { source: Box<MigrationError> },
}

impl From<MigrationError> for SnapshotError {
    fn from(error: MigrationError) -> Self {
        Self::Vm(Box::new(error))
    }
}

impl SnapshotError {
    /// The same where it may not be clear which snapshot it is about.
    pub(super) fn within(self, directory: &Path) -> Self {
        Self::Unfit {
            directory: directory.to_owned(),
            source: Box::new(self),
        }
    }

    /// What the user can do about it, where the message does not say it already.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Missing { .. } => Some("write one: skiff snapshot NAME --to DIR".into()),
            Self::Unfit { source, .. } => source.remedy(),
            Self::Difference { .. } => Some(
                "make a whole snapshot of both: skiff snapshot merge DIR --base BASE --to NEW".into(),
            ),
            Self::OtherBase { .. } => Some(
                "give the base that it was written against; skiff snapshot verify says which one a \
                 directory holds"
                    .into(),
            ),
            Self::OntoBase { .. } => Some(
                "choose another directory, or leave --base out to replace the snapshot there".into(),
            ),
            Self::Busy { .. } => Some("wait until it is done, or choose another directory".into()),
            Self::Foreign { .. } => Some(
                "choose a directory that does not exist, is empty, or holds a snapshot".into(),
            ),
            Self::Version { .. } | Self::UnknownSection { .. } | Self::SectionVersion { .. } => {
                Some("use the version of skiff that wrote it, or a later one".into())
            }
            Self::Truncated { .. }
            | Self::Length { .. }
            | Self::Checksum { .. }
            | Self::MemoryMissing { .. }
            | Self::MemoryLength { .. }
            | Self::Page { .. }
            | Self::Chunk { .. } => Some(
                "copy the whole directory again from where it came from; skiff snapshot verify DIR \
                 checks it"
                    .into(),
            ),
            Self::File { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("make room on that disk, or choose another directory".into())
            }
            _ => None,
        }
    }
}
