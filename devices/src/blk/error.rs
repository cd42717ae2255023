//! Why a file cannot be a disk, in words for who named it.

use std::io;
use std::path::PathBuf;

/// A file that cannot be used as a disk.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// It is missing, or may not be opened.
    #[error("cannot open the disk `{}`", path.display())]
    Open {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It is there, and is no disk.
    #[error("the disk `{}` is {found}, not a raw image file or a block device", path.display())]
    Kind {
        /// Its path.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// It is empty, or does not consist of sectors.
    #[error("the disk `{}` has {size_bytes} bytes, which is no multiple of 512", path.display())]
    Size {
        /// Its path.
        path: PathBuf,
        /// Its length.
        size_bytes: u64,
    },
    /// It has nothing in it.
    #[error("the disk `{}` is empty", path.display())]
    Empty {
        /// Its path.
        path: PathBuf,
    },
    /// It cannot be locked because somebody else has it.
    #[error("the disk `{}` is in use: another VM, or another disk of this one, has it", path.display())]
    InUse {
        /// Its path.
        path: PathBuf,
    },
    /// The file system cannot lock it.
    #[error("cannot lock the disk `{}`", path.display())]
    Lock {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// What was written to it cannot be brought to stable storage.
    #[error("cannot write the disk `{}` out", path.display())]
    Sync {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl DiskError {
    /// What the user can do about it.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Open { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => {
                    Some("check the path; an empty disk is made by: truncate -s 1G disk.img")
                }
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Some(
                    "allow it to the user who runs skiff, or add ,ro to the path to only read it",
                ),
                _ => None,
            },
            Self::Kind { .. } => Some(
                "give a raw image or a block device; others can be converted: qemu-img convert -O raw",
            ),
            Self::Size { .. } => {
                Some("a raw image consists of sectors; lengthen it: truncate -s %512 disk.img")
            }
            Self::Empty { .. } => Some("give it a size: truncate -s 1G disk.img"),
            Self::InUse { .. } => Some(
                "stop the VM that has it, or give each VM a copy; only disks that nobody writes (,ro for all) can be shared",
            ),
            Self::Lock { .. } => {
                Some("use a file system with locks that belong to open files (F_OFD_SETLK)")
            }
            Self::Sync { .. } => None,
        }
    }
}
