//! The disks of a machine: what stands in its blueprint, and the open images that fit it.

use std::path::{self, PathBuf};
use std::time::Duration;

use ::devices::RateLimit;
use ::devices::blk::{Blk, Discards, DiskError, DiskHandle, DiskImage, DiskSerial, DiskShape};
use serde::{Deserialize, Serialize};

use crate::config::DiskConfig;

/// How long a destination waits before the hand-over for another heir of a disk to give it up. Our
/// choice: the guest stands still meanwhile, and the other is one that has just failed.
const HEIR_PATIENCE: Duration = Duration::from_millis(500);

/// How long a machine that is to move on waits for the monitor it came from to leave its disks. Our
/// choice: that one leaves them as soon as it hears that all is well.
const OWNER_PATIENCE: Duration = Duration::from_secs(5);

/// One disk of a blueprint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskSpec {
    /// Where it is, the same on every host: an absolute path.
    pub path: PathBuf,
    /// What the guest sees of it.
    pub shape: DiskShape,
    /// The serial number the guest sees.
    pub serial: DiskSerial,
    /// How much it may do in a second.
    pub limit: RateLimit,
}

/// A disk that is not what the guest had elsewhere.
#[derive(Debug, thiserror::Error)]
pub enum DiskMismatch {
    /// It cannot be opened here.
    #[error(transparent)]
    Open(#[from] DiskError),
    /// It has another size.
    #[error("the disk `{}` has {found_bytes} bytes here, and the VM's has {expected_bytes}", path.display())]
    Size {
        /// Its path.
        path: PathBuf,
        /// Its length here.
        found_bytes: u64,
        /// Its length elsewhere.
        expected_bytes: u64,
    },
    /// It is a file here and a block device there, or the other way round.
    #[error("the disk `{}` is of another kind here than the VM's: one is a file, the other a block device", path.display())]
    Kind {
        /// Its path.
        path: PathBuf,
    },
    /// The guest may discard, and here that cannot be done.
    #[error("the disk `{}` lies where nothing can be discarded, as the VM is used to", path.display())]
    Discards {
        /// Its path.
        path: PathBuf,
    },
}

/// The open disks of one machine, in the order of its blueprint.
#[derive(Debug, Default)]
pub struct Disks(Vec<Disk>);

#[derive(Debug)]
struct Disk {
    image: DiskImage,
    serial: DiskSerial,
    limit: RateLimit,
}

impl Disks {
    /// Opens the disks of a VM that is to boot, and makes it their owner.
    ///
    /// # Errors
    /// One of them is no disk, or is in use.
    pub fn of_new_vm(configs: &[DiskConfig]) -> Result<Self, DiskError> {
        let open = |config: &DiskConfig| {
            let DiskConfig {
                path,
                access,
                serial,
                limit,
            } = config;
            // The same on a host to which the VM moves.
            let path = path::absolute(path).unwrap_or_else(|_| path.clone());
            let image = DiskImage::open(&path, *access)?;
            image.claim()?;
            Ok(Disk {
                image,
                serial: *serial,
                limit: *limit,
            })
        };
        configs.iter().map(open).collect::<Result<_, _>>().map(Self)
    }

    /// Opens the disks of a VM that was elsewhere, without a lock.
    ///
    /// # Errors
    /// One of them is not here, or not the same.
    pub fn of_known_vm(specs: &[DiskSpec]) -> Result<Self, DiskMismatch> {
        let open = |spec: &DiskSpec| {
            let image = spec.check(DiskImage::open(&spec.path, spec.shape.access)?)?;
            // Another host may have written it since this one read of it.
            image.forget_cached();
            Ok(Disk {
                image,
                serial: spec.serial,
                limit: spec.limit,
            })
        };
        specs.iter().map(open).collect::<Result<_, _>>().map(Self)
    }

    /// What stands of them in a blueprint.
    #[must_use]
    pub fn specs(&self) -> Vec<DiskSpec> {
        let spec = |disk: &Disk| DiskSpec {
            path: disk.image.path().to_owned(),
            shape: *disk.image.shape(),
            serial: disk.serial,
            limit: disk.limit,
        };
        self.0.iter().map(spec).collect()
    }

    /// Makes a new VM the owner of all of them.
    ///
    /// # Errors
    /// One of them is in use.
    pub fn claim(&self) -> Result<(), DiskError> {
        self.images().try_for_each(DiskImage::claim)
    }

    /// Makes a VM that is about to be handed over their heir.
    ///
    /// # Errors
    /// One of them has another heir.
    pub fn inherit(&self) -> Result<(), DiskError> {
        self.images()
            .try_for_each(|image| image.inherit(HEIR_PATIENCE))
    }

    fn images(&self) -> impl Iterator<Item = &DiskImage> {
        self.0.iter().map(|disk| &disk.image)
    }

    /// The devices.
    pub(super) fn into_devices(self) -> impl Iterator<Item = Blk> {
        self.0
            .into_iter()
            .map(|disk| Blk::new(disk.image, disk.serial).with_limit(disk.limit))
    }
}

/// Makes a machine that came from elsewhere the owner of its disks, so that it can have an heir; one that
/// did not is it already.
///
/// # Errors
/// The monitor it came from has not left one of them.
pub fn own_disks(disks: &[DiskHandle]) -> Result<(), DiskError> {
    disks
        .iter()
        .try_for_each(|disk| disk.image().succeed(OWNER_PATIENCE))
}

/// Leaves the disks of a machine that has moved away to their heir.
pub fn leave_disks(disks: &[DiskHandle]) {
    for disk in disks {
        // The end of the process, which follows, does it as well.
        if let Err(error) = disk.image().leave() {
            log::warn!("{error}");
        }
    }
}

impl DiskSpec {
    /// Whether the path is the same wherever it is opened, and fit to be shown.
    #[must_use]
    pub fn has_plain_path(&self) -> bool {
        super::is_plain(&self.path)
    }

    /// The image, if it can take the place of this disk.
    fn check(&self, image: DiskImage) -> Result<DiskImage, DiskMismatch> {
        let path = || self.path.clone();
        let DiskShape {
            kind,
            size_bytes,
            access: _, // it was opened that way
            discards,
        } = *image.shape();
        if kind != self.shape.kind {
            return Err(DiskMismatch::Kind { path: path() });
        }
        if size_bytes != self.shape.size_bytes {
            return Err(DiskMismatch::Size {
                path: path(),
                found_bytes: size_bytes,
                expected_bytes: self.shape.size_bytes,
            });
        }
        match (self.shape.discards, discards) {
            (Discards::Supported, Discards::Unsupported) => {
                Err(DiskMismatch::Discards { path: path() })
            }
            (Discards::Unsupported, Discards::Supported) => Ok(image.without_discards()),
            _ => Ok(image),
        }
    }
}

#[cfg(test)]
mod tests {
    use devices::blk::{Access, DiskKind};

    use super::*;

    /// A file of a mebibyte, and how a VM elsewhere describes it.
    fn known() -> (tempfile::NamedTempFile, DiskSpec) {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 20).unwrap();
        let image = DiskImage::open(file.path(), Access::ReadWrite).unwrap();
        let spec = DiskSpec {
            path: file.path().to_owned(),
            shape: *image.shape(),
            serial: DiskSerial::default(),
            limit: RateLimit::default(),
        };
        (file, spec)
    }

    fn with_shape(spec: &DiskSpec, change: impl Fn(&mut DiskShape)) -> DiskSpec {
        let mut changed = spec.clone();
        change(&mut changed.shape);
        changed
    }

    #[test]
    fn disk_that_is_the_same_is_taken_and_another_is_refused_by_name() {
        let (file, spec) = known();
        let same = std::slice::from_ref(&spec);
        assert_eq!(Disks::of_known_vm(same).unwrap().specs(), same);
        let kind = with_shape(&spec, |shape| shape.kind = DiskKind::BlockDevice);
        let size = with_shape(&spec, |shape| shape.size_bytes += 512);
        for (other, words) in [(kind, "another kind"), (size, "1048576 bytes here")] {
            let refused = Disks::of_known_vm(&[other]).unwrap_err().to_string();
            let path = file.path().to_str().unwrap();
            assert!(
                refused.contains(words) && refused.contains(path),
                "{refused}"
            );
        }
    }

    #[test]
    fn guest_that_could_not_discard_elsewhere_cannot_here() {
        let (_file, spec) = known();
        let spec = with_shape(&spec, |shape| shape.discards = Discards::Unsupported);
        let taken = Disks::of_known_vm(std::slice::from_ref(&spec)).unwrap();
        assert_eq!(taken.specs(), [spec]);
    }

    #[test]
    fn path_that_means_another_file_elsewhere_or_cannot_be_shown_is_not_plain() {
        let (_file, spec) = known();
        assert!(spec.has_plain_path());
        for path in ["disk.img", "", "/a\x1b[2J", "/a\nb"] {
            let path = path.into();
            let other = DiskSpec {
                path,
                ..spec.clone()
            };
            assert!(!other.has_plain_path());
        }
    }
}
