//! The directory of a snapshot: who may write to it, and how one snapshot takes another's place.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::snapshot::contents::{MEMORY_PREFIX, MemoryName};
use crate::snapshot::{Result, SnapshotError};

/// The file that makes a directory a snapshot.
pub(super) const SNAPSHOT: &str = "snapshot";
/// The same before it is complete.
const NEW_SNAPSHOT: &str = "snapshot.new";
/// The pages that the guest touched first, and the same before it is complete.
pub(super) const WORKING_SET: &str = "working-set";
pub(super) const NEW_WORKING_SET: &str = "working-set.new";

/// Memory is nobody else's to read.
const MODE: u32 = 0o600;

/// A snapshot in the making. Dropped before it is [committed](Self::commit), it leaves no trace.
#[derive(Debug)]
pub(super) struct NewSnapshot {
    directory: PathBuf,
    /// The directory, locked against other writers as long as this lives.
    lock: File,
    name: MemoryName,
    memory: File,
    is_committed: bool,
    is_directory_new: bool,
}

/// The failure of doing something with a file.
pub(super) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SnapshotError {
    let path = path.to_owned();
    move |source| SnapshotError::File {
        action,
        path,
        source,
    }
}

impl NewSnapshot {
    /// Begins a snapshot in `directory`, with an empty memory file. An older snapshot there stays
    /// what it is until this one is committed.
    ///
    /// # Errors
    /// If the directory cannot be made or written, holds something else, or is being written to.
    pub(super) fn begin(directory: &Path) -> Result<Self> {
        let is_directory_new = match fs::create_dir(directory) {
            Ok(()) => true,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => false,
            Err(error) => return Err(failed("make the directory", directory)(error)),
        };
        let lock = File::open(directory).map_err(failed("open", directory))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let directory = directory.to_owned();
                return Err(SnapshotError::Busy { directory });
            }
            Err(errno) => return Err(failed("lock", directory)(errno.into())),
        }
        check_is_ours(directory)?;
        let name = random_name()?;
        let path = directory.join(name.file());
        let memory = create_new(&path).map_err(failed("make", &path))?;
        Ok(Self {
            directory: directory.to_owned(),
            lock,
            name,
            memory,
            is_committed: false,
            is_directory_new,
        })
    }

    /// The memory file.
    pub(super) fn memory(&self) -> &File {
        &self.memory
    }

    /// Its path.
    pub(super) fn memory_path(&self) -> PathBuf {
        self.directory.join(self.name.file())
    }

    /// Its name.
    pub(super) fn name(&self) -> MemoryName {
        self.name
    }

    /// Puts the memory file on the disk for good, which takes as long as the disk does.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub(super) fn sync_memory(&self) -> Result<()> {
        let path = self.memory_path();
        self.memory.sync_all().map_err(failed("write", &path))
    }

    /// Makes `snapshot`, which names the memory file, the snapshot of this directory.
    ///
    /// The memory is on the disk by then. The new file is put there as well before it is renamed,
    /// and a rename is one step to whoever looks, crash or not: at any moment the directory holds
    /// the old snapshot or the new one. The old memory goes last.
    ///
    /// # Errors
    /// If one of these steps fails; before the rename the old snapshot is still the one.
    pub(super) fn commit(mut self, snapshot: &[u8]) -> Result<()> {
        let (new, path) = (
            self.directory.join(NEW_SNAPSHOT),
            self.directory.join(SNAPSHOT),
        );
        write_whole(&new, snapshot).map_err(failed("write", &new))?;
        fs::rename(&new, &path).map_err(failed("rename to", &path))?;
        self.is_committed = true;
        let directory = &self.directory;
        self.lock.sync_all().map_err(failed("write", directory))?;
        if self.is_directory_new
            && let Some(parent) = parent_of(directory)
        {
            let synced = File::open(parent).and_then(|parent| parent.sync_all());
            synced.map_err(failed("write", parent))?;
        }
        // What stays if this fails costs only room.
        let _ = remove_all_but(directory, self.name);
        Ok(())
    }
}

impl Drop for NewSnapshot {
    fn drop(&mut self) {
        if self.is_committed {
            return;
        }
        // What cannot be removed is removed by the next snapshot here.
        let _ = fs::remove_file(self.memory_path());
        let _ = fs::remove_file(self.directory.join(NEW_SNAPSHOT));
        if self.is_directory_new {
            let _ = fs::remove_dir(&self.directory);
        }
    }
}

/// Checks that a difference to the snapshot in `base` will not replace it in the directory `to`.
///
/// # Errors
/// If it would, or that cannot be found out.
pub(super) fn check_apart(base: &Path, to: &Path) -> Result<()> {
    let held = fs::metadata(base).map_err(failed("read", base))?;
    let taken = match fs::metadata(to) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        taken => taken.map_err(failed("read", to))?,
    };
    if (held.dev(), held.ino()) == (taken.dev(), taken.ino()) {
        let directory = to.to_owned();
        return Err(SnapshotError::OntoBase { directory });
    }
    Ok(())
}

/// Replaces the file at `path` by way of `new`, which lies in the same directory.
pub(super) fn replace(new: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    write_whole(new, content)?;
    fs::rename(new, path)
}

/// Writes a file that may be left over from a crash, and puts it on the disk.
fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = create_new(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(path)
}

/// The directory that holds another one; a relative path of one name lies in the working directory.
fn parent_of(directory: &Path) -> Option<&Path> {
    let parent = directory.parent()?;
    Some(if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    })
}

/// A snapshot removes what it finds in its directory, so it must be of snapshots.
fn check_is_ours(directory: &Path) -> Result<()> {
    for name in names_in(directory).map_err(failed("read", directory))? {
        let is_known = [SNAPSHOT, NEW_SNAPSHOT, WORKING_SET, NEW_WORKING_SET].contains(&&*name);
        if !(is_known || name.starts_with(MEMORY_PREFIX)) {
            return Err(SnapshotError::Foreign {
                directory: directory.to_owned(),
                found: name.into(),
            });
        }
    }
    Ok(())
}

/// Removes what no snapshot needs any more but that of the memory file `kept`.
fn remove_all_but(directory: &Path, kept: MemoryName) -> io::Result<()> {
    for name in names_in(directory)? {
        if name != SNAPSHOT && name != kept.file() {
            fs::remove_file(directory.join(name))?;
        }
    }
    Ok(())
}

/// The names in a directory; those that are no text are shown as nearly as possible.
fn names_in(directory: &Path) -> io::Result<Vec<String>> {
    fs::read_dir(directory)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}

fn random_name() -> Result<MemoryName> {
    let mut name = [0; 8];
    // Up to 256 bytes come whole or not at all (getrandom(2)).
    getrandom(&mut name, GetRandomFlags::empty()).map_err(|errno| SnapshotError::Random {
        source: errno.into(),
    })?;
    Ok(MemoryName(name))
}
