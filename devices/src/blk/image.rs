//! A raw image file or a block device: opened, found to be one, locked, zeroed and synchronized.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Advice, FallocateFlags, fadvise, fallocate, major, minor};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::lock::{lock, unlock};
use super::{DiskError, Hold, SECTOR_BYTES};

/// How often a lock is tried that somebody else is about to let go.
const RETRY_INTERVAL: Duration = Duration::from_millis(5);

/// Whether a guest may write a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// It may.
    ReadWrite,
    /// It may not.
    ReadOnly,
}

/// What a disk is on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DiskKind {
    /// A regular file, whose content is the disk's.
    File,
    /// A block device.
    BlockDevice,
}

/// Whether ranges of a disk can be given back to the host, and read as zeroes then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Discards {
    /// They can.
    Supported,
    /// They cannot, or the disk is only read.
    Unsupported,
}

/// All that a guest can see of a disk but its content and its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskShape {
    /// What it is on the host.
    pub kind: DiskKind,
    /// Its length, a multiple of 512.
    pub size_bytes: u64,
    /// Whether the guest may write it.
    pub access: Access,
    /// Whether the guest may discard.
    pub discards: Discards,
}

/// An open disk.
#[derive(Debug)]
pub struct DiskImage {
    file: File,
    path: PathBuf,
    shape: DiskShape,
}

impl DiskImage {
    /// Opens the disk at `path`, without a lock.
    ///
    /// # Errors
    /// It cannot be opened that way, is no disk, or has no whole number of sectors.
    pub fn open(path: &Path, access: Access) -> Result<Self, DiskError> {
        let failed = |source| DiskError::Open {
            path: path.to_owned(),
            source,
        };
        let kind = |metadata: &fs::Metadata| {
            kind_of(metadata).map_err(|found| DiskError::Kind {
                path: path.to_owned(),
                found,
            })
        };
        // Before it is opened, which does things to devices of other kinds.
        kind(&fs::metadata(path).map_err(failed)?)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(access == Access::ReadWrite)
            // A pipe that has taken the place of the disk meanwhile would wait for its other end.
            .custom_flags(libc::O_NONBLOCK)
            .open(path)
            .map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let kind = kind(&metadata)?;
        let size_bytes = file.seek(SeekFrom::End(0)).map_err(failed)?;
        let path = path.to_owned();
        if size_bytes == 0 {
            return Err(DiskError::Empty { path });
        }
        if !size_bytes.is_multiple_of(SECTOR_BYTES) {
            return Err(DiskError::Size { path, size_bytes });
        }
        let discards = match access {
            Access::ReadWrite if can_discard(&file, kind, size_bytes, &metadata) => {
                Discards::Supported
            }
            _ => Discards::Unsupported,
        };
        Ok(Self {
            file,
            path,
            shape: DiskShape {
                kind,
                size_bytes,
                access,
                discards,
            },
        })
    }

    /// The same disk, of which a guest sees no more than it did elsewhere.
    #[must_use]
    pub fn without_discards(mut self) -> Self {
        self.shape.discards = Discards::Unsupported;
        self
    }

    /// Where it was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it is like.
    #[must_use]
    pub fn shape(&self) -> &DiskShape {
        &self.shape
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Makes a new VM the owner of the disk.
    ///
    /// # Errors
    /// Somebody else has it or is about to inherit it, or it cannot be locked.
    pub fn claim(&self) -> Result<(), DiskError> {
        self.take(Hold::Owner)?;
        self.take(Hold::Heir)?;
        self.let_go(Hold::Heir)
    }

    /// Makes the destination of a move the heir of the disk; waits at most that long for another.
    ///
    /// # Errors
    /// Another one has not let go by then, or the disk cannot be locked.
    pub fn inherit(&self, patience: Duration) -> Result<(), DiskError> {
        self.wait_for(Hold::Heir, patience)
    }

    /// Makes the heir the owner; one that is the owner stays it. Waits at most that long for the owner
    /// before it.
    ///
    /// # Errors
    /// The other one has not let go by then, or the disk cannot be locked.
    pub fn succeed(&self, patience: Duration) -> Result<(), DiskError> {
        self.wait_for(Hold::Owner, patience)?;
        self.let_go(Hold::Heir)
    }

    /// Leaves the disk to its heir.
    ///
    /// # Errors
    /// It cannot be unlocked.
    pub fn leave(&self) -> Result<(), DiskError> {
        self.let_go(Hold::Owner)
    }

    /// Brings what was written to stable storage, where whoever opens the disk elsewhere finds it.
    ///
    /// # Errors
    /// The storage failed.
    pub fn sync(&self) -> Result<(), DiskError> {
        if self.shape.access == Access::ReadOnly {
            return Ok(());
        }
        self.file.sync_data().map_err(|source| DiskError::Sync {
            path: self.path.clone(),
            source,
        })
    }

    /// Forgets what this host knows of the content, which may be changed by another.
    pub fn forget_cached(&self) {
        // Advice that is not taken leaves things as they were on file systems without other hosts.
        let _ = fadvise(&self.file, 0, None, Advice::DontNeed);
    }

    /// Has a range read as zeroes, and gives its storage back.
    pub(super) fn discard(&self, offset_bytes: u64, len_bytes: u64) -> Result<(), Errno> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(&self.file, flags, offset_bytes, len_bytes)
    }

    /// Has a range read as zeroes, and keeps its storage where the file system can.
    pub(super) fn zero(&self, offset_bytes: u64, len_bytes: u64) -> Result<(), Errno> {
        let flags = FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE;
        match fallocate(&self.file, flags, offset_bytes, len_bytes) {
            Err(Errno::OPNOTSUPP) => self.discard(offset_bytes, len_bytes),
            done => done,
        }
    }

    fn wait_for(&self, hold: Hold, patience: Duration) -> Result<(), DiskError> {
        let deadline = Instant::now() + patience;
        loop {
            match self.take(hold) {
                Err(DiskError::InUse { .. }) if Instant::now() < deadline => {
                    thread::sleep(RETRY_INTERVAL);
                }
                taken => return taken,
            }
        }
    }

    fn take(&self, hold: Hold) -> Result<(), DiskError> {
        match lock(&self.file, hold, self.shape.access) {
            Ok(true) => Ok(()),
            Ok(false) => Err(DiskError::InUse {
                path: self.path.clone(),
            }),
            Err(source) => Err(self.unlockable(source)),
        }
    }

    fn let_go(&self, hold: Hold) -> Result<(), DiskError> {
        unlock(&self.file, hold).map_err(|source| self.unlockable(source))
    }

    fn unlockable(&self, source: io::Error) -> DiskError {
        DiskError::Lock {
            path: self.path.clone(),
            source,
        }
    }
}

/// The kind of a disk, or what it is instead.
fn kind_of(metadata: &fs::Metadata) -> Result<DiskKind, &'static str> {
    let kind = metadata.file_type();
    if kind.is_file() {
        Ok(DiskKind::File)
    } else if kind.is_block_device() {
        Ok(DiskKind::BlockDevice)
    } else if kind.is_dir() {
        Err("a directory")
    } else if kind.is_char_device() {
        Err("a character device")
    } else {
        Err("a pipe or a socket")
    }
}

/// Whether holes can be made, found out without making one.
fn can_discard(file: &File, kind: DiskKind, size_bytes: u64, metadata: &fs::Metadata) -> bool {
    match kind {
        DiskKind::File => {
            // Past the end there is nothing to lose.
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            fallocate(file, flags, size_bytes, SECTOR_BYTES).is_ok()
        }
        DiskKind::BlockDevice => {
            // The kernel makes holes in those that can zero ranges by themselves (block/fops.c).
            let number = metadata.rdev();
            let device = format!("/sys/dev/block/{}:{}", major(number), minor(number));
            // A partition has the queue of its disk.
            ["queue", "../queue"].iter().any(|queue| {
                let limit = fs::read_to_string(format!("{device}/{queue}/write_zeroes_max_bytes"));
                limit.is_ok_and(|limit| limit.trim() != "0")
            })
        }
    }
}
