//! Snapshots: a VM in a directory, written while it runs or stands, and given away from there.
//!
//! A snapshot is the other carrier of the engine: [`write()`] takes a [`SourceVm`](crate::SourceVm)
//! as a migration does, and [`resume`](fn@crate::resume) is a post-copy migration out of a directory.
//!
//! ```text
//! DIR/snapshot            small: header, table of sections, sections (`format`)
//! DIR/memory-<16 hex>     large: page n at n * 4096, pages that are zero left out; then a digest
//!                         for each page (`memory`)
//! DIR/working-set         optional: the pages that the guest touched first (`working_set`)
//! ```
//!
//! A difference is a snapshot of which some pages are to be had from another one, its base (`base`);
//! [`merge()`] makes a whole one of both.
//!
//! A snapshot exists from the moment `DIR/snapshot` is renamed to its place: it names its memory
//! file, which is complete and on the disk by then and belongs to no other. What a crash leaves
//! behind is a memory file that nobody names; the next snapshot there removes it.

mod base;
mod contents;
mod directory;
mod disk;
mod error;
mod file;
mod fill;
mod format;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod memory;
mod merge;
mod reader;
mod verify;
mod working_set;
mod writer;

pub use error::SnapshotError;
pub use fill::fill;
pub use format::Identity;
pub use memory::StoredMemory;
pub use merge::{MergeOptions, MergeReport, MergedPages, merge};
pub use reader::Snapshot;
pub use verify::{Verified, VerifiedBase, verify};
pub use working_set::{Unusable, WorkingSet};
pub use writer::{
    Afterwards, Liveness, SnapshotOptions, SnapshotPhase, SnapshotProgress, SnapshotReport,
    StoredPages, write,
};

/// Result of the operations here.
type Result<T, E = SnapshotError> = std::result::Result<T, E>;

/// Pages that share a checksum: 2 MiB.
const CHUNK_PAGES: u64 = 512;
