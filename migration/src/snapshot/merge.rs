//! Making a whole snapshot of a difference and its base.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::bitmap::PageBitmap;
use crate::cancel::CancelToken;
use crate::digest::Digest;
use crate::page::{PageRange, bytes_of, to_u64};
use crate::progress::INTERVAL;
use crate::report::ms;
use crate::snapshot::base::{Difference, covered};
use crate::snapshot::contents::Contents;
use crate::snapshot::directory::NewSnapshot;
use crate::snapshot::disk::EarlySync;
use crate::snapshot::file::{MemoryFile, PIECE_PAGES, Sealed};
use crate::snapshot::format::Part;
use crate::snapshot::memory::StoredMemory;
use crate::snapshot::verify::digest_of;
use crate::snapshot::{Result, Snapshot, SnapshotError, SnapshotPhase, SnapshotProgress};

/// What is to be merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergeOptions {
    /// The directory of the difference.
    pub difference: PathBuf,
    /// That of the whole snapshot to which it is one.
    pub base: PathBuf,
    /// Where the whole snapshot of the difference's moment goes. It is made, or is empty, or its
    /// snapshot is replaced; that may be one of the two.
    pub directory: PathBuf,
}

/// The account of a merge.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MergeReport {
    /// Version of this form.
    pub schema: u32,
    /// What tells the new snapshot from every other.
    pub identity: String,
    /// From the start until it was on the disk.
    pub total_ms: f64,
    /// Of that, waiting for the disk.
    pub sync_ms: f64,
    /// Counts of pages.
    pub pages: MergedPages,
    /// Bytes written to files.
    pub written_bytes: u64,
    /// The digest of all memory.
    pub digest: Digest,
}

/// Counts of pages: `total` is the sum of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MergedPages {
    /// Pages of RAM.
    pub total: u64,
    /// Pages that the difference has.
    pub difference: u64,
    /// Pages that the base has.
    pub base: u64,
    /// Pages that are zero, and left out.
    pub absent: u64,
}

/// Version of the report.
const SCHEMA: u32 = 1;

/// A merge under way.
struct Merge<'a> {
    difference: &'a Difference,
    base: &'a Snapshot,
    progress: &'a dyn Fn(&SnapshotProgress),
    cancel: &'a CancelToken,
    began: Instant,
    told: Duration,
    pages_total: u64,
}

/// Writes a whole snapshot of the moment of a difference: its state and its memory, every page of which
/// is checked. `progress` is called some times a second, the last time when nothing but a rename is
/// left, and must return at once.
///
/// # Errors
/// If one of the two cannot be used, they do not belong together, the new one cannot be written, or is
/// cancelled. Nothing is left of it then; an older one in the directory is untouched.
pub fn merge(
    options: &MergeOptions,
    progress: &dyn Fn(&SnapshotProgress),
    cancel: &CancelToken,
) -> Result<MergeReport> {
    let began = Instant::now();
    let (difference, base) = open_both(options)?;
    let new = NewSnapshot::begin(&options.directory)?;
    let covered = covered(difference.own.memory().present(), Some(&difference.base));
    let mut merge = Merge {
        difference: &difference,
        base: &base,
        progress,
        cancel,
        began,
        told: Duration::ZERO,
        pages_total: covered.count(),
    };
    let (sealed, syncing) = merge.write(&new)?;
    let written_bytes = sealed.written_bytes;
    let contents = contents_of(&difference.own, sealed)?;
    new.sync_memory()?;
    merge.tell(SnapshotPhase::Syncing, merge.pages_total);
    cancel.close().map_err(|_| SnapshotError::Cancelled)?;
    let (file, identity) = contents.encode()?;
    new.commit(&file)?;
    let (total, of_base) = (covered.pages(), difference.base.pages.count());
    Ok(MergeReport {
        schema: SCHEMA,
        identity: identity.to_string(),
        total_ms: ms(began.elapsed()),
        sync_ms: ms(syncing.elapsed()),
        pages: MergedPages {
            total,
            difference: covered.count() - of_base,
            base: of_base,
            absent: total - covered.count(),
        },
        written_bytes: written_bytes + to_u64(file.len()),
        digest: contents.digest,
    })
}

/// Opens the difference and its base, which belong together.
fn open_both(options: &MergeOptions) -> Result<(Difference, Snapshot)> {
    let (difference, base) = (&options.difference, &options.base);
    let opened = Difference::open(difference).map_err(|error| error.within(difference))?;
    let opened_base = Snapshot::open(base).map_err(|error| error.within(base))?;
    opened
        .check_base(&opened_base)
        .map_err(|error| error.within(difference))?;
    Ok((opened, opened_base))
}

/// The new snapshot, which is that of `own` but for where its memory is, if the memory is the same.
fn contents_of(own: &Snapshot, sealed: Sealed) -> Result<Contents> {
    let (found, expected) = (digest_of(&sealed.chunks, &sealed.present), own.digest());
    if found != expected {
        return Err(SnapshotError::Checksum {
            part: Part::File,
            found: found.to_bits(),
            expected: expected.to_bits(),
        });
    }
    Ok(Contents {
        offer: own.offer().clone(),
        state: own.state().to_vec(),
        memory: sealed.name,
        digest: found,
        present: sealed.present,
        chunks: sealed.chunks,
        base: None,
    })
}

impl Merge<'_> {
    /// Writes the memory file; gives what is known of it, and since when the disk is waited for.
    fn write(&mut self, new: &NewSnapshot) -> Result<(Sealed, Instant)> {
        let pages = self.base.memory().pages();
        thread::scope(|scope| {
            let early = EarlySync::start(scope, new.memory())?;
            let mut file = MemoryFile::new(new, pages, early)?;
            self.copy(&mut file)?;
            self.tell(SnapshotPhase::Syncing, file.written_pages());
            let syncing = Instant::now();
            Ok((file.finish()?, syncing))
        })
    }

    /// Copies every page that is not zero, in order, which suits a disk.
    fn copy(&mut self, file: &mut MemoryFile<'_>) -> Result<()> {
        self.tell(SnapshotPhase::Writing, 0);
        let mut content = Vec::new();
        let mut at = 0;
        while let Some((piece, memory)) = self.next_piece(at) {
            at = piece.end();
            content.resize(piece.bytes(), 0);
            memory.read(piece, &mut content)?;
            self.check(piece)?;
            file.write(piece, &content)?;
            if self.cancel.is_cancelled() {
                return Err(SnapshotError::Cancelled);
            }
            if self.began.elapsed() - self.told >= INTERVAL {
                self.tell(SnapshotPhase::Writing, file.written_pages());
            }
        }
        Ok(())
    }

    /// The first pages from `at` on that are not zero, and whose they are.
    fn next_piece(&self, at: u64) -> Option<(PageRange, &StoredMemory)> {
        let Difference { own, base } = self.difference;
        let (own, theirs): (&StoredMemory, &StoredMemory) = (own.memory(), self.base.memory());
        let run_of = |pages: &PageBitmap| pages.next_run(at, pages.pages());
        let runs = [(run_of(own.present()), own), (run_of(&base.pages), theirs)];
        let runs = runs.into_iter().filter_map(|(run, of)| Some((run?, of)));
        let (run, of) = runs.min_by_key(|(run, _)| run.first())?;
        let first = run.first().get();
        let piece = PageRange::between(first, run.end().min(first + PIECE_PAGES));
        Some((piece.expect("a run is not empty"), of))
    }

    /// Checks that pages of the base are those that the difference means: they have the digests that
    /// stand in both.
    fn check(&self, piece: PageRange) -> Result<()> {
        let Difference { own, base } = self.difference;
        for page in piece.iter().filter(|page| base.pages.contains(*page)) {
            if own.memory().digest_of(page)? != self.base.memory().digest_of(page)? {
                return Err(SnapshotError::BasePage { page: page.get() });
            }
        }
        Ok(())
    }

    fn tell(&mut self, phase: SnapshotPhase, pages_done: u64) {
        let elapsed = self.began.elapsed();
        self.told = elapsed;
        (self.progress)(&SnapshotProgress {
            phase,
            round: 0,
            pages_done,
            pages_total: self.pages_total,
            page_bytes: bytes_of(pages_done),
            elapsed,
        });
    }
}
