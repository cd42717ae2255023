//! Reading a snapshot from the first to the last byte.

use std::path::Path;

use crate::bitmap::PageBitmap;
use crate::digest::Digest;
use crate::page::PageRange;
use crate::snapshot::format::{Identity, Part};
use crate::snapshot::{CHUNK_PAGES, Result, Snapshot, SnapshotError};

/// A snapshot that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What tells it from every other snapshot.
    pub identity: Identity,
    /// Pages of its VM.
    pub pages: u64,
    /// Pages that are stored; all others are zero.
    pub stored_pages: u64,
    /// The digest of all memory.
    pub digest: Digest,
}

/// Reads all of the snapshot in `directory` and checks it.
///
/// # Errors
/// If anything of it is damaged, or it cannot be read.
pub fn verify(directory: &Path) -> Result<Verified> {
    let snapshot = Snapshot::open(directory)?;
    let memory = snapshot.memory();
    let (pages, present) = (memory.pages(), memory.present());
    let mut content = Vec::new();
    let mut at = 0;
    while let Some(run) = present.next_run(at, pages) {
        at = run.end().min(run.first().get() + CHUNK_PAGES);
        let piece = PageRange::between(run.first().get(), at).expect("a run is not empty");
        content.resize(piece.bytes(), 0);
        memory.read(piece, &mut content)?;
    }
    let digest = digest_of(snapshot.chunks(), memory.present());
    if digest != snapshot.digest() {
        return Err(SnapshotError::Checksum {
            part: Part::File,
            found: digest.to_bits(),
            expected: snapshot.digest().to_bits(),
        });
    }
    Ok(Verified {
        identity: snapshot.identity(),
        pages,
        stored_pages: present.count(),
        digest,
    })
}

/// The digest of a memory of which these pages are stored, in chunks with these digests.
pub(super) fn digest_of(chunks: &[Digest], present: &PageBitmap) -> Digest {
    let mut digest = Digest::sum(chunks);
    let mut absent = PageBitmap::full(present.pages());
    absent.remove_all(present);
    absent
        .iter()
        .for_each(|page| digest.add(Digest::of_absent(page)));
    digest
}
