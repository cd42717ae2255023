//! Differences and bases that do not belong together or are damaged, and merges that come to nothing.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use migration::snapshot::{MergeOptions, SnapshotError, SnapshotProgress, merge, verify, write};
use migration::{CancelToken, PAGE_BYTES};

use crate::differences::{Change, Ground, PAGES, change, difference_to, merge_of};
use crate::directory::{memory_file, names, write_to};
use crate::machine::FakeSource;
use crate::memory::{Kind, Memory, kind};

/// What an error is about, if it says in which snapshot.
fn cause(error: SnapshotError) -> SnapshotError {
    match error {
        SnapshotError::Unfit { source, .. } => *source,
        error => error,
    }
}

#[test]
fn base_that_does_not_fit_is_refused_and_named() {
    let ground = Ground::changed();
    let place = ground.place.path();
    ground.write_difference().unwrap();
    let other = place.join("other");
    write_to(&other, &ground.source).unwrap();
    let error = merge_of(&ground.difference(), &other, &ground.merged()).unwrap_err();
    let told = cause(error).to_string();
    for snapshot in [&ground.base(), &other] {
        let identity = verify(snapshot).unwrap().identity.to_string();
        assert!(told.contains(&identity), "{told}");
    }
    assert!(!ground.merged().exists());

    let small = place.join("small");
    write_to(&small, &FakeSource::new(Memory::filled(64))).unwrap();
    let write_difference = |base: &Path, to: &Path| {
        let cancel = CancelToken::new().unwrap();
        write(&ground.source, &difference_to(base, to), &|_| {}, &cancel).map_err(cause)
    };
    let second = place.join("second");
    let error = write_difference(&small, &second).unwrap_err();
    assert!(matches!(error, SnapshotError::BaseLayout { .. }), "{error}");
    let error = write_difference(&ground.difference(), &second).unwrap_err();
    assert!(matches!(error, SnapshotError::Difference { .. }), "{error}");
    let error = write_difference(&place.join("none"), &second).unwrap_err();
    assert!(matches!(error, SnapshotError::Missing { .. }), "{error}");
    assert!(ground.source.runs() && !second.exists());

    let before = verify(&ground.base()).unwrap();
    let error = write_difference(&ground.base(), &ground.base().join("../base")).unwrap_err();
    assert!(matches!(error, SnapshotError::OntoBase { .. }), "{error}");
    assert_eq!(verify(&ground.base()).unwrap(), before);
    let error = merge_of(&ground.base(), &other, &ground.merged()).map_err(cause);
    assert!(
        matches!(error, Err(SnapshotError::NoDifference)),
        "{error:?}"
    );
    let difference = ground.difference();
    let error = merge_of(&difference, &difference, &ground.merged()).map_err(cause);
    assert!(
        matches!(error, Err(SnapshotError::Difference { .. })),
        "{error:?}"
    );
}

#[test]
fn merge_that_is_cancelled_or_has_no_place_leaves_everything_as_it_was() {
    let ground = Ground::changed();
    ground.write_difference().unwrap();
    let before = verify(&ground.base()).unwrap();
    for (directory, is_late) in [
        (ground.base(), false),
        (ground.merged(), false),
        (ground.merged(), true),
    ] {
        let options = MergeOptions {
            difference: ground.difference(),
            base: ground.base(),
            directory,
        };
        let cancel = CancelToken::new().unwrap();
        let tell = |progress: &SnapshotProgress| {
            if !is_late || progress.pages_done == progress.pages_total {
                cancel.cancel();
            }
        };
        let error = merge(&options, &tell, &cancel).unwrap_err();
        assert!(matches!(error, SnapshotError::Cancelled), "{error}");
        assert!(!ground.merged().exists());
        assert_eq!(names(&ground.base()).len(), 2);
        assert_eq!(verify(&ground.base()).unwrap(), before);
    }
    let lock = File::open(ground.base()).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let error = ground.merge_to(&ground.base()).unwrap_err();
    assert!(matches!(error, SnapshotError::Busy { .. }), "{error}");
}

#[test]
fn difference_cut_or_flipped_anywhere_is_refused() {
    let ground = Ground::changed();
    ground.write_difference().unwrap();
    let path = ground.difference().join("snapshot");
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x40;
        fs::write(&path, &damaged).unwrap();
        assert!(verify(&ground.difference()).is_err(), "byte {at}");
        fs::write(&path, &whole[..at]).unwrap();
        let error = verify(&ground.difference()).unwrap_err();
        assert!(
            matches!(error, SnapshotError::Truncated { .. }),
            "length {at}: {error}"
        );
    }
    fs::write(&path, &whole).unwrap();
    verify(&ground.difference()).unwrap();
}

#[test]
fn damage_in_either_of_the_two_is_named_and_nothing_comes_of_it() {
    for (damaged, is_there) in [
        (Ground::base as fn(&Ground) -> PathBuf, Change::None),
        (Ground::difference, Change::Written),
    ] {
        let ground = Ground::changed();
        ground.write_difference().unwrap();
        let page = (600..PAGES)
            .find(|&page| change(page) == is_there && kind(page) == Kind::Content)
            .unwrap();
        let path = memory_file(&damaged(&ground));
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        let mut right = [0];
        let offset = page * PAGE_BYTES as u64 + 9;
        File::open(&path)
            .unwrap()
            .read_exact_at(&mut right, offset)
            .unwrap();
        file.write_all_at(&[!right[0]], offset).unwrap();
        let error = ground.merge_to(&ground.merged()).unwrap_err();
        assert!(
            matches!(error, SnapshotError::Page { page: found, .. } if found == page),
            "{error}"
        );
        file.write_all_at(&right, offset).unwrap();

        let digest = (PAGES + page / 512) * PAGE_BYTES as u64 + page % 512 * 8;
        file.write_all_at(&[0x55; 8], digest).unwrap();
        let error = ground.merge_to(&ground.merged()).unwrap_err();
        assert!(matches!(error, SnapshotError::Chunk { .. }), "{error}");
        let error = verify(&damaged(&ground)).unwrap_err();
        assert!(matches!(error, SnapshotError::Chunk { .. }), "{error}");

        file.set_len(40 * PAGE_BYTES as u64).unwrap();
        let error = cause(ground.merge_to(&ground.merged()).unwrap_err());
        assert!(
            matches!(error, SnapshotError::MemoryLength { .. }),
            "{error}"
        );
        fs::remove_file(&path).unwrap();
        let error = cause(ground.merge_to(&ground.merged()).unwrap_err());
        assert!(
            matches!(error, SnapshotError::MemoryMissing { .. }),
            "{error}"
        );
        assert!(!ground.merged().exists());
    }
}
