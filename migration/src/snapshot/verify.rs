//! Reading a snapshot from the first to the last byte.

use std::path::Path;

use crate::bitmap::PageBitmap;
use crate::digest::Digest;
use crate::page::PageRange;
use crate::snapshot::base::covered;
use crate::snapshot::format::{Identity, Part};
use crate::snapshot::reader::open_any;
use crate::snapshot::{CHUNK_PAGES, Result, SnapshotError};

/// A snapshot that is undamaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What tells it from every other snapshot.
    pub identity: Identity,
    /// Pages of its VM.
    pub pages: u64,
    /// Pages that are stored; all others are zero, or the base's.
    pub stored_pages: u64,
    /// What it is a difference to, if it is one.
    pub base: Option<VerifiedBase>,
    /// The digest of all memory.
    pub digest: Digest,
}

/// What a difference lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedBase {
    /// What tells its base from every other snapshot.
    pub identity: Identity,
    /// How many of its pages are the base's.
    pub pages: u64,
}

/// Reads all of the snapshot in `directory` and checks it. Of a difference that is all but the pages
/// of its base.
///
/// # Errors
/// If anything of it is damaged, or it cannot be read.
pub fn verify(directory: &Path) -> Result<Verified> {
    let (snapshot, base) = open_any(directory)?;
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
    for page in base.iter().flat_map(|base| base.pages.iter()) {
        memory.digest_of(page)?;
    }
    let digest = digest_of(snapshot.chunks(), &covered(present, base.as_ref()));
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
        base: base.map(|base| VerifiedBase {
            identity: base.identity,
            pages: base.pages.count(),
        }),
        digest,
    })
}

/// The digest of a memory of which all pages are zero but those that are `covered`, in chunks with these
/// digests.
pub(super) fn digest_of(chunks: &[Digest], covered: &PageBitmap) -> Digest {
    let mut digest = Digest::sum(chunks);
    let mut absent = PageBitmap::full(covered.pages());
    absent.remove_all(covered);
    absent
        .iter()
        .for_each(|page| digest.add(Digest::of_absent(page)));
    digest
}
