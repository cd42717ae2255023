//! VMs into directories and out of them.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use migration::snapshot::{
    Afterwards, Liveness, Snapshot, SnapshotError, SnapshotOptions, fill, verify, write,
};
use migration::{CancelToken, MigrationError, PAGE_BYTES, ResumeError};

use crate::directory::{PAGES, memory_file, names, options, snapshot, write_to};
use crate::machine::{Call, FakeDestination, FakeSource, can_receive};
use crate::memory::{Kind, Memory, content, expected, kind};
use crate::resumes::resume_in;

#[test]
fn snapshot_holds_every_page_that_is_not_zero_and_no_other() {
    let (_place, directory, report) = snapshot();
    let stored: u64 = (0..PAGES)
        .filter(|&page| kind(page) == Kind::Content)
        .count() as u64;
    assert_eq!(report.pages.stored, stored);
    assert_eq!(report.pages.absent, PAGES - stored);
    let memory = memory_file(&directory);
    assert_eq!(names(&directory).len(), 2);
    let used_bytes = memory.metadata().unwrap().blocks() * 512;
    let stored_bytes = stored * PAGE_BYTES as u64;
    assert!(
        used_bytes <= stored_bytes + stored_bytes / 20 + 3 * 4096,
        "{used_bytes} for {stored_bytes}"
    );

    let verified = verify(&directory).unwrap();
    assert_eq!(verified.digest, report.digest);
    assert_eq!((verified.pages, verified.stored_pages), (PAGES, stored));
    let opened = Snapshot::open(&directory).unwrap();
    assert_eq!(opened.state(), b"state of the machine");
    let copy = Memory::new(PAGES);
    fill(opened.memory(), &copy.mapping()).unwrap();
    assert!((0..PAGES).all(|page| copy.read(page) == expected(page)));
}

#[test]
fn live_snapshot_is_of_one_moment_while_the_guest_writes() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("live");
    let memory = Memory::filled(PAGES);
    let source = Arc::new(FakeSource::new(Arc::clone(&memory)));
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
                    memory.write(page * 17, &content(page + round * 1000));
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
        ..options(&directory)
    };
    let cancel = CancelToken::new().unwrap();
    let report = write(&*source, &options, &|_| {}, &cancel).unwrap();
    assert!(!source.runs(), "a VM that is to end does not run again");
    assert!(!report.rounds.is_empty());
    let copy = Memory::new(PAGES);
    let opened = Snapshot::open(&directory).unwrap();
    fill(opened.memory(), &copy.mapping()).unwrap();
    let differing = (0..PAGES).filter(|&page| copy.read(page) != source.memory.read(page));
    assert_eq!(differing.count(), 0);
    stop.store(true, Ordering::Relaxed);
    source.calls.lock().unwrap().push(Call::Resume);
    guest.join().unwrap();
}

#[test]
fn snapshot_cut_or_flipped_anywhere_is_refused() {
    let (_place, directory, _) = snapshot();
    let path = directory.join("snapshot");
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x40;
        fs::write(&path, &damaged).unwrap();
        assert!(Snapshot::open(&directory).is_err(), "byte {at}");
        fs::write(&path, &whole[..at]).unwrap();
        let error = Snapshot::open(&directory).unwrap_err();
        assert!(
            matches!(error, SnapshotError::Truncated { .. }),
            "length {at}: {error}"
        );
    }
    fs::write(&path, &whole).unwrap();
    Snapshot::open(&directory).unwrap();
}

#[test]
fn memory_damaged_short_or_missing_is_named_and_never_reaches_a_guest() {
    if !can_receive() {
        return;
    }
    let (_place, directory, _) = snapshot();
    let memory = memory_file(&directory);
    let file = OpenOptions::new().write(true).open(&memory).unwrap();
    let page = (300..PAGES)
        .find(|&page| kind(page) == Kind::Content)
        .unwrap();
    let offset = page * PAGE_BYTES as u64 + 7;
    let right = content(page)[7];
    file.write_all_at(&[!right], offset).unwrap();

    let error = verify(&directory).unwrap_err();
    assert!(
        matches!(error, SnapshotError::Page { page: found, .. } if found == page),
        "{error}"
    );
    let mut idle = FakeDestination::playing(Arc::new(|_, _| 0));
    let error = resume_in(&Snapshot::open(&directory).unwrap(), &mut idle).unwrap_err();
    assert!(
        matches!(&error, ResumeError::Lost(MigrationError::Snapshot(error))
            | ResumeError::Failed(MigrationError::Snapshot(error))
            if matches!(**error, SnapshotError::Page { .. })),
        "{error}"
    );

    file.write_all_at(&[right], offset).unwrap();
    verify(&directory).unwrap();
    let digests = (PAGES + page / 512) * PAGE_BYTES as u64 + page % 512 * 8;
    file.write_all_at(&[0x55; 8], digests).unwrap();
    let error = verify(&directory).unwrap_err();
    assert!(matches!(error, SnapshotError::Chunk { .. }), "{error}");

    // A file that becomes shorter while it is read.
    let opened = Snapshot::open(&directory).unwrap();
    file.set_len(100 * PAGE_BYTES as u64).unwrap();
    let copy = Memory::new(PAGES);
    let error = fill(opened.memory(), &copy.mapping()).unwrap_err();
    assert!(
        matches!(error, SnapshotError::MemoryLength { .. }),
        "{error}"
    );
    let error = Snapshot::open(&directory).unwrap_err();
    assert!(
        matches!(error, SnapshotError::MemoryLength { .. }),
        "{error}"
    );
    fs::remove_file(&memory).unwrap();
    let error = Snapshot::open(&directory).unwrap_err();
    assert!(
        matches!(error, SnapshotError::MemoryMissing { .. }),
        "{error}"
    );
}

#[test]
fn snapshot_removed_while_it_is_read_stays_readable() {
    let (place, directory, _) = snapshot();
    let opened = Snapshot::open(&directory).unwrap();
    drop(place);
    let copy = Memory::new(PAGES);
    fill(opened.memory(), &copy.mapping()).unwrap();
    assert!((0..PAGES).all(|page| copy.read(page) == expected(page)));
    let error = Snapshot::open(&directory).unwrap_err();
    assert!(matches!(error, SnapshotError::Missing { .. }), "{error}");
}

#[test]
fn snapshot_that_fails_or_is_cancelled_leaves_the_old_one_and_the_vm() {
    let (_place, directory, old) = snapshot();
    let before = names(&directory);
    let source = FakeSource::new(Memory::new(PAGES));
    let cancel = CancelToken::new().unwrap();
    cancel.cancel();
    let error = write(&source, &options(&directory), &|_| {}, &cancel).unwrap_err();
    assert!(matches!(error, SnapshotError::Cancelled), "{error}");
    assert!(source.runs());
    assert_eq!(names(&directory), before);
    assert_eq!(verify(&directory).unwrap().digest, old.digest);

    let fresh = directory.with_file_name("fresh");
    write(&source, &options(&fresh), &|_| {}, &cancel).unwrap_err();
    assert!(!fresh.exists());

    let mut source = FakeSource::new(Memory::new(PAGES));
    source.state = vec![0; (16 << 20) + 1];
    let error = write_to(&directory, &source).unwrap_err();
    assert!(matches!(error, SnapshotError::Vm(_)), "{error}");
    assert!(source.runs());
    assert_eq!(names(&directory), before);
}

#[test]
fn directory_that_is_in_use_or_holds_other_files_is_left_alone() {
    let (place, directory, _) = snapshot();
    let source = FakeSource::new(Memory::filled(PAGES));
    let lock = File::open(&directory).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let error = write_to(&directory, &source).unwrap_err();
    assert!(matches!(error, SnapshotError::Busy { .. }), "{error}");
    drop(lock);

    let home = place.path().join("home");
    fs::create_dir(&home).unwrap();
    fs::write(home.join("thesis.txt"), "years").unwrap();
    let error = write_to(&home, &source).unwrap_err();
    assert!(matches!(error, SnapshotError::Foreign { .. }), "{error}");
    assert_eq!(names(&home), ["thesis.txt"]);
    let error = Snapshot::open(&home).unwrap_err();
    assert!(matches!(error, SnapshotError::Missing { .. }), "{error}");
    let error = write_to(&place.path().join("a/b"), &source).unwrap_err();
    assert!(matches!(error, SnapshotError::File { .. }), "{error}");
}

#[test]
fn what_a_crash_left_behind_goes_with_the_next_snapshot() {
    let (_place, directory, _) = snapshot();
    for name in ["memory-0123456789abcdef", "snapshot.new", "working-set.new"] {
        fs::write(directory.join(name), "half of it").unwrap();
    }
    verify(&directory).unwrap();
    write_to(&directory, &FakeSource::new(Memory::filled(PAGES))).unwrap();
    assert_eq!(names(&directory).len(), 2);
    verify(&directory).unwrap();
}

#[test]
fn snapshot_of_a_guest_that_cannot_be_stopped_leaves_it_running_and_nothing_behind() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("none");
    let source = FakeSource::new(Memory::filled(PAGES));
    source.is_stubborn.store(true, Ordering::Release);
    let cancel = CancelToken::new().unwrap();
    write(&source, &options(&directory), &|_| {}, &cancel).unwrap_err();
    assert_eq!(*source.calls.lock().unwrap(), [Call::Pause, Call::Resume]);
    assert!(verify(&directory).is_err());
}
