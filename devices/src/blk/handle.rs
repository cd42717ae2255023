//! What is known of a disk by its device and by others: its image, its name, and what it has done.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::DiskImage;
use super::counters::{Counters, DiskCounters};
use super::request::Request;
use crate::Misbehaviour;

/// A serial number as drivers get it: VIRTIO_BLK_ID_BYTES, filled up with zeroes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskSerial([u8; Self::MAX_BYTES]);

impl DiskSerial {
    /// The longest serial number.
    pub const MAX_BYTES: usize = 20;

    /// A serial number, unless it is too long or has other characters than printable ASCII ones.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let is_printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let mut bytes = [0; Self::MAX_BYTES];
        bytes
            .get_mut(..text.len())
            .filter(|_| is_printable)?
            .copy_from_slice(text.as_bytes());
        Some(Self(bytes))
    }
}

/// A disk, for those who watch and move it; clones mean the same disk.
#[derive(Clone, Debug)]
pub struct DiskHandle(Arc<Disk>);

#[derive(Debug)]
struct Disk {
    image: DiskImage,
    serial: DiskSerial,
    counters: Counters,
    /// The kinds of failure of the host that were logged, a bit each.
    told: AtomicU32,
    misbehaviour: Mutex<Misbehaviour>,
}

impl DiskHandle {
    pub(super) fn new(image: DiskImage, serial: DiskSerial) -> Self {
        Self(Arc::new(Disk {
            image,
            serial,
            counters: Counters::default(),
            told: AtomicU32::new(0),
            misbehaviour: Mutex::default(),
        }))
    }

    /// The disk on the host.
    #[must_use]
    pub fn image(&self) -> &DiskImage {
        &self.0.image
    }

    /// What it has done so far.
    #[must_use]
    pub fn counters(&self) -> DiskCounters {
        self.0.counters.get()
    }

    pub(super) fn set_counters(&self, counters: DiskCounters) {
        self.0.counters.set(counters);
    }

    /// The same as they grow.
    pub(super) fn counting(&self) -> &Counters {
        &self.0.counters
    }

    /// What its driver knows it by.
    pub(super) fn serial(&self) -> &[u8; DiskSerial::MAX_BYTES] {
        &self.0.serial.0
    }

    /// Notes something that a driver must not do.
    pub(super) fn complain(&self, what: &dyn std::fmt::Display) {
        let subject = format_args!("disk {}", self.0.image.path().display());
        self.0
            .misbehaviour
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .note(&subject, what);
    }

    /// Logs a failure of the host, once for each kind of request.
    pub(super) fn tell(&self, request: &Request, error: &io::Error) {
        let (bit, what) = match request {
            Request::Read(..) => (1, "read"),
            Request::Write(..) => (2, "written"),
            Request::Flush => (4, "flushed"),
            Request::Identify(_) => (8, "identified"),
            Request::Zero(_) => (16, "discarded or zeroed"),
        };
        if self.0.told.fetch_or(bit, Ordering::Relaxed) & bit == 0 {
            let path = self.0.image.path().display();
            log::warn!(
                "disk {path} cannot be {what}: {error}; the guest gets an I/O error, and `skiff info` counts them"
            );
        }
    }
}
