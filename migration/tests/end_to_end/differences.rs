//! Differences to a snapshot, and whole snapshots made of both.

use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use migration::snapshot::{
    Afterwards, Liveness, MergeOptions, MergeReport, Snapshot, SnapshotError, SnapshotOptions,
    SnapshotReport, fill, merge, verify, write,
};
use migration::{CancelToken, PAGE_BYTES};
use tempfile::TempDir;

use crate::directory::{memory_file, names, options, write_to};
use crate::machine::{Call, FakeSource};
use crate::memory::{Kind, Memory, content, kind};

/// Enough for several chunks, the last of them short.
pub const PAGES: u64 = 1200;

/// A base, and a VM that has changed since.
pub struct Ground {
    pub place: TempDir,
    pub source: FakeSource,
}

impl Ground {
    pub fn new() -> Self {
        let memory = Memory::filled(PAGES);
        let place = tempfile::tempdir().unwrap();
        let source = FakeSource::new(memory);
        let ground = Self { place, source };
        write_to(&ground.base(), &ground.source).unwrap();
        ground
    }

    /// Changes, empties, gives back and touches some pages.
    pub fn changed() -> Self {
        let mut ground = Self::new();
        for page in 0..PAGES {
            match change(page) {
                Change::None => {}
                Change::Written => ground.source.memory.write(page, &content(page + 9000)),
                Change::Same => ground.source.memory.write(page, &content(page)),
                Change::Emptied => ground.source.memory.write(page, &[0; PAGE_BYTES]),
                Change::GivenBack => ground.source.memory.discard(page),
            }
        }
        ground.source.state = b"state of a later moment".to_vec();
        ground
    }

    pub fn base(&self) -> PathBuf {
        self.place.path().join("base")
    }

    pub fn difference(&self) -> PathBuf {
        self.place.path().join("difference")
    }

    pub fn merged(&self) -> PathBuf {
        self.place.path().join("merged")
    }

    pub fn write_difference(&self) -> Result<SnapshotReport, SnapshotError> {
        let options = difference_to(&self.base(), &self.difference());
        let cancel = CancelToken::new().unwrap();
        write(&self.source, &options, &|_| {}, &cancel)
    }

    pub fn merge_to(&self, directory: &Path) -> Result<MergeReport, SnapshotError> {
        merge_of(&self.difference(), &self.base(), directory)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    None,
    Written,
    Same,
    Emptied,
    GivenBack,
}

/// What becomes of a page, which may have been untouched.
pub fn change(page: u64) -> Change {
    match page % 17 {
        3 | 4 => Change::Written,
        7 if kind(page) == Kind::Content => Change::Same,
        9 => Change::Emptied,
        12 => Change::GivenBack,
        _ => Change::None,
    }
}

pub fn difference_to(base: &Path, directory: &Path) -> SnapshotOptions {
    SnapshotOptions {
        base: Some(base.to_owned()),
        ..options(directory)
    }
}

pub fn merge_of(
    difference: &Path,
    base: &Path,
    directory: &Path,
) -> Result<MergeReport, SnapshotError> {
    let options = MergeOptions {
        difference: difference.to_owned(),
        base: base.to_owned(),
        directory: directory.to_owned(),
    };
    merge(&options, &|_| {}, &CancelToken::new().unwrap())
}

/// How many pages of the snapshot are not those of `memory`.
fn differing_pages(directory: &Path, memory: &Memory) -> usize {
    let copy = Memory::new(PAGES);
    let opened = Snapshot::open(directory).unwrap();
    fill(opened.memory(), &copy.mapping()).unwrap();
    let differing = (0..PAGES).filter(|&page| copy.read(page) != memory.read(page));
    differing.count()
}

/// What the memory file takes on the disk, digests included.
fn used_pages(directory: &Path) -> u64 {
    let blocks = memory_file(directory).metadata().unwrap().blocks();
    blocks * 512 / PAGE_BYTES as u64
}

fn count(is_meant: impl Fn(u64) -> bool) -> u64 {
    (0..PAGES).filter(|&page| is_meant(page)).count() as u64
}

#[test]
fn difference_holds_what_has_changed_and_merged_it_is_the_whole() {
    let ground = Ground::changed();
    let report = ground.write_difference().unwrap();
    assert!(ground.source.runs());
    let written = count(|page| change(page) == Change::Written);
    let same = count(|page| {
        kind(page) == Kind::Content && matches!(change(page), Change::None | Change::Same)
    });
    assert_eq!((report.pages.stored, report.pages.base), (written, same));
    assert_eq!(report.pages.absent, PAGES - written - same);
    assert!(used_pages(&ground.difference()) <= written + 2 * 3);

    let verified = verify(&ground.difference()).unwrap();
    let base = verified.base.unwrap();
    assert_eq!((verified.stored_pages, base.pages), (written, same));
    assert_eq!(base.identity, verify(&ground.base()).unwrap().identity);
    let error = Snapshot::open(&ground.difference()).unwrap_err();
    assert!(
        matches!(&error, SnapshotError::Difference { base: found } if *found == base.identity),
        "{error}"
    );
    assert!(error.remedy().unwrap().contains("skiff snapshot merge"));

    let merged = ground.merge_to(&ground.merged()).unwrap();
    assert_eq!(
        (merged.pages.difference, merged.pages.base),
        (written, same)
    );
    let whole = write_to(&ground.place.path().join("whole"), &ground.source).unwrap();
    assert_eq!([report.digest, merged.digest], [whole.digest; 2]);
    let verified = verify(&ground.merged()).unwrap();
    assert_eq!(verified.base, None);
    assert_eq!(verified.stored_pages, written + same);
    assert_eq!(differing_pages(&ground.merged(), &ground.source.memory), 0);
    let opened = Snapshot::open(&ground.merged()).unwrap();
    assert_eq!(opened.state(), b"state of a later moment");
    assert!(used_pages(&ground.merged()) <= written + same + 2 * 3);
}

#[test]
fn difference_of_a_vm_that_did_nothing_has_no_page() {
    let ground = Ground::new();
    let report = ground.write_difference().unwrap();
    assert_eq!(report.pages.stored, 0);
    ground.merge_to(&ground.merged()).unwrap();
    assert_eq!(differing_pages(&ground.merged(), &ground.source.memory), 0);
}

#[test]
fn live_difference_is_of_one_moment_while_the_guest_writes() {
    let ground = Ground::changed();
    let source = Arc::new(FakeSource::new(Arc::clone(&ground.source.memory)));
    let stop = Arc::new(AtomicBool::new(false));
    let guest = thread::spawn({
        let (source, stop) = (Arc::clone(&source), Arc::clone(&stop));
        move || {
            for round in 0.. {
                for page in 0..64 {
                    // Whoever pauses holds the calls while it says so.
                    let calls = source.calls.lock().unwrap();
                    if calls.contains(&Call::Pause) && !calls.contains(&Call::Resume) {
                        continue;
                    }
                    // What the base has, something else, and nothing.
                    match round % 3 {
                        0 => source.memory.write(page * 17, &content(page * 17)),
                        1 => source.memory.write(page * 17, &content(page + round)),
                        _ => source.memory.write(page * 17, &[0; PAGE_BYTES]),
                    }
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                }
            }
        }
    });
    let options = SnapshotOptions {
        liveness: Liveness::Live,
        afterwards: Afterwards::Held,
        ..difference_to(&ground.base(), &ground.difference())
    };
    let cancel = CancelToken::new().unwrap();
    let report = write(&*source, &options, &|_| {}, &cancel).unwrap();
    assert!(!report.rounds.is_empty());
    verify(&ground.difference()).unwrap();
    let merged = ground.merge_to(&ground.merged()).unwrap();
    assert_eq!(merged.digest, report.digest);
    assert_eq!(differing_pages(&ground.merged(), &source.memory), 0);
    stop.store(true, Ordering::Relaxed);
    source.calls.lock().unwrap().push(Call::Resume);
    guest.join().unwrap();
}

#[test]
fn page_with_the_digest_of_the_base_and_another_content_is_stored() {
    let ground = Ground::new();
    let page = (300..PAGES)
        .find(|&page| kind(page) == Kind::Content)
        .unwrap();
    let file = OpenOptions::new()
        .write(true)
        .open(memory_file(&ground.base()))
        .unwrap();
    let offset = page * PAGE_BYTES as u64 + 7;
    // The base's digest is the one that this page of the VM has.
    file.write_all_at(&[!content(page)[7]], offset).unwrap();
    let report = ground.write_difference().unwrap();
    assert_eq!(report.pages.stored, 1);
    ground.merge_to(&ground.merged()).unwrap();
    assert_eq!(differing_pages(&ground.merged(), &ground.source.memory), 0);
}

#[test]
fn merge_onto_the_base_or_the_difference_replaces_it() {
    for onto in [Ground::base, Ground::difference] {
        let ground = Ground::changed();
        ground.write_difference().unwrap();
        ground.merge_to(&onto(&ground)).unwrap();
        assert_eq!(names(&onto(&ground)).len(), 2);
        assert_eq!(differing_pages(&onto(&ground), &ground.source.memory), 0);
    }
}
