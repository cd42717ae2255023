//! Files that are disks and files that are none, and who may have them.

use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;

const SOON: Duration = Duration::from_millis(30);

fn open(path: &Path, access: Access) -> Result<DiskImage, DiskError> {
    DiskImage::open(path, access)
}

#[test]
fn file_that_is_no_disk_is_refused_for_what_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let missing = open(&path("missing"), Access::ReadWrite).unwrap_err();
    assert!(missing.to_string().contains("missing"), "{missing}");
    assert!(missing.remedy().unwrap().contains("truncate"));
    for access in [Access::ReadWrite, Access::ReadOnly] {
        let refused = open(directory.path(), access).unwrap_err();
        assert!(refused.to_string().contains("a directory"), "{refused}");
    }
    let null = open(Path::new("/dev/null"), Access::ReadWrite).unwrap_err();
    assert!(null.to_string().contains("a character device"), "{null}");
    for (size, word) in [(0, "empty"), (511, "511 bytes"), (513, "513 bytes")] {
        let file = File::create(path("odd")).unwrap();
        file.set_len(size).unwrap();
        let refused = open(&path("odd"), Access::ReadOnly).unwrap_err();
        assert!(refused.to_string().contains(word), "{refused}");
    }
    rustix::fs::mkfifoat(rustix::fs::CWD, path("pipe"), rustix::fs::Mode::RUSR).unwrap();
    let pipe = open(&path("pipe"), Access::ReadOnly).unwrap_err();
    assert!(pipe.to_string().contains("a pipe"), "{pipe}");
}

#[test]
fn image_is_as_long_as_its_file_and_can_be_a_link() {
    let directory = tempfile::tempdir().unwrap();
    let file = file();
    let link = directory.path().join("link");
    symlink(file.path(), &link).unwrap();
    let shape = *open(&link, Access::ReadWrite).unwrap().shape();
    assert_eq!(
        (shape.kind, shape.size_bytes),
        (DiskKind::File, SECTORS * 512)
    );
    let read_only = *open(&link, Access::ReadOnly).unwrap().shape();
    assert_eq!(read_only.discards, Discards::Unsupported);
}

#[test]
fn writer_excludes_everybody_and_readers_exclude_writers() {
    let file = file();
    let new = |access| open(file.path(), access).unwrap();
    let writer = new(Access::ReadWrite);
    writer.claim().unwrap();
    for access in [Access::ReadWrite, Access::ReadOnly] {
        let refused = new(access).claim().unwrap_err();
        assert!(matches!(refused, DiskError::InUse { .. }), "{refused}");
        assert!(refused.remedy().is_some());
    }
    drop(writer);
    let readers = [Access::ReadOnly; 3].map(new);
    readers.iter().for_each(|reader| reader.claim().unwrap());
    assert!(new(Access::ReadWrite).claim().is_err());
}

#[test]
fn heir_keeps_others_away_before_and_after_its_owner_leaves() {
    let file = file();
    let new = || open(file.path(), Access::ReadWrite).unwrap();
    let (owner, heir) = (new(), new());
    owner.claim().unwrap();
    heir.inherit(SOON).unwrap();
    assert!(new().inherit(SOON).is_err() && new().claim().is_err());
    assert!(heir.succeed(SOON).is_err(), "the owner is still there");
    // It goes, and nobody gets in between.
    owner.leave().unwrap();
    assert!(new().claim().is_err());
    heir.succeed(SOON).unwrap();
    assert!(new().claim().is_err() && owner.claim().is_err());
    // Now it can have an heir itself.
    new().inherit(SOON).unwrap();
}

#[test]
fn owner_of_a_disk_whose_heir_failed_has_lost_nothing() {
    let file = file();
    let new = || open(file.path(), Access::ReadWrite).unwrap();
    let (owner, heir) = (new(), new());
    owner.claim().unwrap();
    heir.inherit(SOON).unwrap();
    drop(heir);
    assert!(new().claim().is_err());
    new().inherit(SOON).unwrap();
    owner.succeed(SOON).unwrap();
}
