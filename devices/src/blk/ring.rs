//! Many requests at a time by io_uring(7): the thread of a disk hands reads, writes and flushes to the
//! kernel, and takes what is done in any order.
#![expect(
    unsafe_code,
    reason = "the kernel works on raw pieces of guest memory until it says that it is done"
)]

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use io_uring::{IoUring, cqueue, opcode, squeue, types};
use vmm_sys_util::eventfd::EventFd;

use super::request::Request;
use super::vectored::Durability;
use crate::event::{descriptor, lower, new_event};
use crate::pieces::{count_of, iovecs, slices_of};
use crate::virtio::GuestRange;
use crate::{DeviceError, GuestMemory};

/// Requests that the kernel has at a time. Our choice: half of a queue, twice what QEMU's default guest
/// keeps in flight on one disk.
pub(super) const DEPTH: u32 = 128;

/// Which of the requests in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(pub(super) usize);

/// A request that is done: how many bytes were transferred.
#[derive(Debug)]
pub(super) struct Done(pub(super) Slot, pub(super) io::Result<usize>);

/// The kernel's queues for one disk. Dropping it waits for all that is in flight.
pub(super) struct Ring {
    ring: IoUring,
    /// Raised by the kernel when something is done.
    done: EventFd,
    /// Where each request in flight transfers to or from; the kernel reads it when it likes.
    pieces: Vec<Vec<libc::iovec>>,
    in_flight: usize,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring")
            .field("in_flight", &self.in_flight)
            .finish_non_exhaustive()
    }
}

impl Ring {
    /// Sets the queues up.
    ///
    /// # Errors
    /// The kernel has no io_uring, or not for this process.
    pub(super) fn new() -> Result<Self, DeviceError> {
        let failed = DeviceError::SetUpRing;
        let ring = IoUring::new(DEPTH).map_err(failed)?;
        let done = new_event()?;
        ring.submitter()
            .register_eventfd_async(done.as_raw_fd())
            .map_err(failed)?;
        Ok(Self {
            ring,
            done,
            pieces: vec![Vec::new(); DEPTH as usize],
            in_flight: 0,
        })
    }

    /// Whether something is done that was not taken.
    pub(super) fn has_done(&mut self) -> bool {
        !self.ring.completion().is_empty()
    }

    /// Says when something is done that was not when it was submitted.
    pub(super) fn event(&self) -> BorrowedFd<'_> {
        descriptor(&self.done)
    }

    /// Forgets that it said so.
    pub(super) fn lower(&self) {
        lower(&self.done);
    }

    /// Queues a request for the kernel; says whether it is one for it.
    ///
    /// # Errors
    /// Its memory is not the guest's, which a chain that was checked does not say.
    pub(super) fn queue(
        &mut self,
        slot: Slot,
        request: &Request,
        (file, durability): (&File, Durability),
        memory: &GuestMemory,
    ) -> Result<bool, DeviceError> {
        let file = types::Fd(file.as_fd().as_raw_fd());
        let entry = match request {
            Request::Read(extent, data) => {
                let (pieces, count) = self.lay_out(slot, memory, data)?;
                opcode::Readv::new(file, pieces, count)
                    .offset(extent.offset_bytes)
                    .build()
            }
            Request::Write(extent, data) => {
                let (pieces, count) = self.lay_out(slot, memory, data)?;
                let flags = match durability {
                    Durability::Cached => 0,
                    Durability::Stable => libc::RWF_DSYNC,
                };
                opcode::Writev::new(file, pieces, count)
                    .offset(extent.offset_bytes)
                    .rw_flags(flags)
                    .build()
            }
            Request::Flush => opcode::Fsync::new(file)
                .flags(types::FsyncFlags::DATASYNC)
                .build(),
            Request::Identify(_) | Request::Zero(_) => return Ok(false),
        };
        self.push(&entry.user_data(slot.0 as u64));
        Ok(true)
    }

    /// Hands to the kernel what is queued. What is in its cache is done when this returns.
    ///
    /// # Errors
    /// The kernel takes no more.
    pub(super) fn submit(&mut self) -> Result<(), DeviceError> {
        loop {
            match self.ring.submit() {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(DeviceError::SetUpRing(error)),
            }
        }
    }

    /// Takes a request that is done.
    pub(super) fn take_done(&mut self) -> Option<Done> {
        let entry: cqueue::Entry = self.ring.completion().next()?;
        self.in_flight -= 1;
        let slot = Slot(usize::try_from(entry.user_data()).expect("it was a slot"));
        let result = usize::try_from(entry.result())
            .map_err(|_| io::Error::from_raw_os_error(entry.result().saturating_neg()));
        Some(Done(slot, result))
    }

    /// Keeps the pieces of a request where they are until it is done.
    fn lay_out(
        &mut self,
        slot: Slot,
        memory: &GuestMemory,
        data: &[GuestRange],
    ) -> Result<(*const libc::iovec, u32), DeviceError> {
        let pieces = &mut self.pieces[slot.0];
        *pieces = iovecs(&slices_of(memory, data)?);
        let count = u32::try_from(count_of(pieces)).expect("it is at most 1024");
        Ok((pieces.as_ptr(), count))
    }

    fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: the file and the guest's memory stay open and mapped until all is done, which the drop
        // of this value waits for; so do the pieces, which are not touched before the slot is free.
        let pushed = unsafe { self.ring.submission().push(entry) };
        pushed.expect("there are as many places as slots");
        self.in_flight += 1;
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        while self.in_flight > 0 {
            match self.ring.submit_and_wait(1) {
                Ok(_) => while self.take_done().is_some() {},
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Memory that the kernel may still write must not be used for anything else.
                Err(error) => {
                    log::error!("cannot wait for the kernel to let go of guest memory: {error}");
                    std::process::abort();
                }
            }
        }
    }
}
