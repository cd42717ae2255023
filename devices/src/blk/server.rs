//! Requests done on the host's storage, and what is known of the disk by others meanwhile.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use vm_memory::{Bytes, GuestAddress};

use super::DiskImage;
use super::config::FLUSH;
use super::counters::{Counters, DiskCounters, count};
use super::request::{HEAD_BYTES, Request, Rules, Zeroing, parse, status_place};
use super::ring::{Ring, Slot};
use super::run::Run;
use super::vectored::{self, Durability};
use crate::virtio::{Activation, Chain, GuestRange};
use crate::{DeviceError, GuestMemory, Misbehaviour};

/// VIRTIO_BLK_S_OK and so on (virtio 1.2, section 5.2.6).
const OK: u8 = 0;
const IOERR: u8 = 1;
const UNSUPP: u8 = 2;

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

    fn complain(&self, what: &dyn std::fmt::Display) {
        let subject = format_args!("disk {}", self.0.image.path().display());
        self.0
            .misbehaviour
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .note(&subject, what);
    }

    /// Logs a failure of the host, once for each kind of request.
    fn tell(&self, request: &Request, error: &io::Error) {
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

/// What became of a chain that was looked at.
#[derive(Debug)]
pub(super) enum Understood {
    /// It could not be done; so many bytes were written into it.
    Answered(u32),
    /// It is to be done, and the driver to be told there how it went.
    Asked(Request, GuestAddress),
}

/// A disk at work for one driver.
#[derive(Debug)]
pub(super) struct Server {
    disk: DiskHandle,
    memory: GuestMemory,
    rules: Rules,
    durability: Durability,
}

impl Server {
    pub(super) fn new(disk: &DiskHandle, activation: &Activation) -> Self {
        let shape = disk.image().shape();
        // A driver that does not flush takes what is done for stable (section 5.2.6.2).
        let durability = if activation.features & FLUSH == 0 {
            Durability::Stable
        } else {
            Durability::Cached
        };
        Self {
            disk: disk.clone(),
            memory: activation.memory.clone(),
            rules: Rules {
                size_bytes: shape.size_bytes,
                access: shape.access,
                features: activation.features,
            },
            durability,
        }
    }

    /// Does what a chain asks for and says how many bytes were written into it.
    ///
    /// # Errors
    /// Guest memory cannot be accessed. Whatever else fails, the driver is told by the status.
    pub(super) fn serve(&self, chain: &Chain) -> Result<u32, DeviceError> {
        match self.understand(chain)? {
            Understood::Answered(written_bytes) => Ok(written_bytes),
            Understood::Asked(request, status_place) => {
                let done = self.attempt(&request);
                self.conclude(&request, status_place, done)
            }
        }
    }

    /// Reads what a chain asks for; what cannot be done is answered at once.
    ///
    /// # Errors
    /// Guest memory cannot be accessed.
    pub(super) fn understand(&self, chain: &Chain) -> Result<Understood, DeviceError> {
        let Some(status_place) = status_place(chain.writable()) else {
            self.disk.complain(&"request has no place for its status");
            return Ok(Understood::Answered(0));
        };
        let mut head = [0; HEAD_BYTES];
        let filled = chain.read(&self.memory, &mut head)?;
        let request = parse(
            &head[..filled],
            chain.readable(),
            chain.writable(),
            &self.rules,
        );
        match request {
            Ok(request) => Ok(Understood::Asked(request, status_place)),
            Err(rejection) => {
                self.disk.complain(&rejection);
                let status = if rejection.is_unsupported() {
                    UNSUPP
                } else {
                    IOERR
                };
                let written_bytes = self.answer(status_place, status, 0)?;
                Ok(Understood::Answered(written_bytes))
            }
        }
    }

    /// Tells the driver how its request went, which wrote that many bytes of data into memory, and says
    /// how many were written in all.
    ///
    /// # Errors
    /// Guest memory cannot be accessed.
    pub(super) fn conclude(
        &self,
        request: &Request,
        status_place: GuestAddress,
        done: io::Result<u32>,
    ) -> Result<u32, DeviceError> {
        match done {
            Ok(data_bytes) => {
                self.count(request);
                self.answer(status_place, OK, data_bytes)
            }
            Err(error) => {
                self.disk.tell(request, &error);
                self.answer(status_place, IOERR, 0)
            }
        }
    }

    fn answer(
        &self,
        status_place: GuestAddress,
        status: u8,
        data_bytes: u32,
    ) -> Result<u32, DeviceError> {
        if status != OK {
            count(&self.disk.0.counters.errors, 1);
        }
        self.memory
            .write_obj(status, status_place)
            .map_err(DeviceError::AccessMemory)?;
        Ok(data_bytes + 1)
    }

    /// Counts a request that was done.
    fn count(&self, request: &Request) {
        let counters = &self.disk.0.counters;
        match request {
            Request::Read(extent, _) => {
                count(&counters.reads, 1);
                count(&counters.read_bytes, extent.len_bytes);
            }
            Request::Write(extent, _) => {
                count(&counters.writes, 1);
                count(&counters.written_bytes, extent.len_bytes);
            }
            Request::Flush => count(&counters.flushes, 1),
            Request::Identify(_) => {}
            Request::Zero(_) => count(&counters.discards, 1),
        }
    }

    /// Does a request, and waits for the host's storage until it is done; says how many bytes of data
    /// were written to memory.
    pub(super) fn attempt(&self, request: &Request) -> io::Result<u32> {
        let image = &self.disk.0.image;
        match request {
            Request::Read(extent, data) => {
                vectored::read(image.file(), &self.memory, data, extent.offset_bytes)?;
                Ok(request.data_bytes())
            }
            Request::Write(extent, data) => {
                let what = (&data[..], extent.offset_bytes);
                vectored::write(image.file(), &self.memory, what, self.durability)?;
                Ok(0)
            }
            Request::Flush => {
                image.file().sync_data()?;
                Ok(0)
            }
            Request::Identify(data) => self.identify(&self.disk.0.serial, data),
            Request::Zero(parts) => {
                for (extent, zeroing) in parts.iter().filter(|(extent, _)| extent.len_bytes > 0) {
                    match zeroing {
                        Zeroing::Discard => image.discard(extent.offset_bytes, extent.len_bytes)?,
                        Zeroing::Keep => image.zero(extent.offset_bytes, extent.len_bytes)?,
                    }
                }
                if self.durability == Durability::Stable {
                    image.file().sync_data()?;
                }
                Ok(0)
            }
        }
    }

    /// Queues a run for the kernel; says whether it is one for it.
    ///
    /// # Errors
    /// Guest memory cannot be accessed.
    pub(super) fn hand_over(
        &self,
        ring: &mut Ring,
        slot: Slot,
        run: &Run,
    ) -> Result<bool, DeviceError> {
        let how = (self.disk.image().file(), self.durability);
        ring.queue(slot, run, how, &self.memory)
    }

    /// Accepts what the kernel has done of a run: whether it was all done.
    ///
    /// # Errors
    /// Guest memory cannot be accessed.
    pub(super) fn accept(
        &self,
        run: &Run,
        result: &io::Result<usize>,
    ) -> Result<bool, DeviceError> {
        let Ok(transferred) = result else {
            return Ok(false);
        };
        if matches!(run.first(), Request::Read(..)) {
            vectored::mark_dirty(&self.memory, run.data())?;
        }
        Ok(*transferred as u64 == run.len_bytes())
    }

    /// Writes as much of the serial number as there is room for.
    fn identify(&self, serial: &DiskSerial, data: &[GuestRange]) -> io::Result<u32> {
        let mut rest = &serial.0[..];
        for range in data {
            let (now, later) = rest.split_at(rest.len().min(range.len_bytes as usize));
            self.memory
                .write_slice(now, range.address)
                .map_err(io::Error::other)?;
            rest = later;
        }
        let written = serial.0.len() - rest.len();
        Ok(u32::try_from(written).expect("it is at most 20"))
    }
}
