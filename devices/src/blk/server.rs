//! Requests done on the host's storage, and their drivers told how they went.

use std::fs::File;
use std::io;

use vm_memory::{Bytes, GuestAddress};

use super::DiskHandle;
use super::config::FLUSH;
use super::counters::count;
use super::engine::Served;
use super::request::{Extent, HEAD_BYTES, Request, Rules, Zeroing, parse, status_place};
use super::run::{Run, Taken};
use super::vectored::{self, Durability, Source};
use crate::virtio::{Activation, Chain, GuestRange};
use crate::{DeviceError, GuestMemory};

/// VIRTIO_BLK_S_OK and so on (virtio 1.2, section 5.2.6).
const OK: u8 = 0;
const IOERR: u8 = 1;
const UNSUPP: u8 = 2;

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
    pub(super) memory: GuestMemory,
    rules: Rules,
    pub(super) durability: Durability,
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

    pub(super) fn file(&self) -> &File {
        self.disk.image().file()
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
    fn conclude(
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
            count(&self.disk.counting().errors, 1);
        }
        self.memory
            .write_obj(status, status_place)
            .map_err(DeviceError::AccessMemory)?;
        Ok(data_bytes + 1)
    }

    /// Counts a request that was done.
    fn count(&self, request: &Request) {
        let counters = self.disk.counting();
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
    fn attempt(&self, request: &Request) -> io::Result<u32> {
        match request {
            Request::Read(extent, data) => self.read(*extent, data, Source::Storage)?,
            Request::Write(extent, data) => self.write(*extent, data)?,
            Request::Flush => self.file().sync_data()?,
            Request::Identify(data) => return self.identify(data),
            Request::Zero(parts) => self.zero(parts)?,
        }
        Ok(request.data_bytes())
    }

    /// Does reads or writes side by side as one; some of them may be done even if that fails.
    fn attempt_together(&self, run: &Run) -> io::Result<()> {
        match run.first() {
            Request::Read(extent, _) => self.read(*extent, run.data(), Source::Storage),
            Request::Write(extent, _) => self.write(*extent, run.data()),
            alone => self.attempt(alone).map(drop),
        }
    }

    fn read<'r>(
        &self,
        extent: Extent,
        data: impl IntoIterator<Item = &'r GuestRange>,
        source: Source,
    ) -> io::Result<()> {
        let what = (extent.offset_bytes, source);
        vectored::read(self.file(), &self.memory, data, what)
    }

    fn write<'r>(
        &self,
        extent: Extent,
        data: impl IntoIterator<Item = &'r GuestRange>,
    ) -> io::Result<()> {
        let what = (data, extent.offset_bytes);
        vectored::write(self.file(), &self.memory, what, self.durability)
    }

    fn zero(&self, parts: &[(Extent, Zeroing)]) -> io::Result<()> {
        let image = self.disk.image();
        for (extent, zeroing) in parts.iter().filter(|(extent, _)| extent.len_bytes > 0) {
            match zeroing {
                Zeroing::Discard => image.discard(extent.offset_bytes, extent.len_bytes)?,
                Zeroing::Keep => image.zero(extent.offset_bytes, extent.len_bytes)?,
            }
        }
        match self.durability {
            Durability::Stable => self.file().sync_data(),
            Durability::Cached => Ok(()),
        }
    }

    /// Does a run, and waits for the host's storage until it is done.
    ///
    /// # Errors
    /// Guest memory cannot be accessed. Whatever else fails, the driver is told by the status.
    pub(super) fn perform(&self, run: Run) -> Result<Served, DeviceError> {
        if run.has_several() && self.attempt_together(&run).is_ok() {
            self.conclude_whole(run)
        } else {
            self.perform_each(run)
        }
    }

    /// Reads a run from the host's cache, without a wait; says whether it could, and was to be read.
    pub(super) fn read_cached(&self, run: &Run) -> bool {
        match run.first() {
            Request::Read(extent, _) => self.read(*extent, run.data(), Source::Cache).is_ok(),
            _ => false,
        }
    }

    /// Concludes a run of which the kernel says how many bytes it has transferred. If that is not all, it
    /// is done here once more, request by request, which shows why.
    ///
    /// # Errors
    /// As for [`Self::perform`].
    pub(super) fn finish(
        &self,
        run: Run,
        result: &io::Result<usize>,
    ) -> Result<Served, DeviceError> {
        if self.accept(&run, result)? {
            self.conclude_whole(run)
        } else {
            self.perform_each(run)
        }
    }

    /// Accepts what the kernel has done of a run: whether it was all done.
    fn accept(&self, run: &Run, result: &io::Result<usize>) -> Result<bool, DeviceError> {
        let Ok(transferred) = result else {
            return Ok(false);
        };
        if matches!(run.first(), Request::Read(..)) {
            vectored::mark_dirty(&self.memory, run.data())?;
        }
        Ok(*transferred as u64 == run.len_bytes())
    }

    /// Concludes a run of which all is done.
    ///
    /// # Errors
    /// Guest memory cannot be accessed.
    pub(super) fn conclude_whole(&self, run: Run) -> Result<Served, DeviceError> {
        self.conclude_each(run, |request| Ok(request.data_bytes()))
    }

    fn perform_each(&self, run: Run) -> Result<Served, DeviceError> {
        self.conclude_each(run, |request| self.attempt(request))
    }

    /// Tells the driver of each request how it went.
    fn conclude_each(
        &self,
        run: Run,
        done: impl Fn(&Request) -> io::Result<u32>,
    ) -> Result<Served, DeviceError> {
        let conclude = |taken: Taken| {
            let done = done(&taken.request);
            let written_bytes = self.conclude(&taken.request, taken.status_place, done)?;
            Ok((taken.chain, written_bytes))
        };
        run.into_taken().into_iter().map(conclude).collect()
    }

    /// Writes as much of the serial number as there is room for.
    fn identify(&self, data: &[GuestRange]) -> io::Result<u32> {
        let serial = self.disk.serial();
        let mut rest = &serial[..];
        for range in data {
            let (now, later) = rest.split_at(rest.len().min(range.len_bytes as usize));
            self.memory
                .write_slice(now, range.address)
                .map_err(io::Error::other)?;
            rest = later;
        }
        let written = serial.len() - rest.len();
        Ok(u32::try_from(written).expect("it is at most 20"))
    }
}
