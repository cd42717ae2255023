//! Many requests at a time by io_uring(7): the thread of a disk hands reads, writes and flushes to the
//! kernel, and takes what is done in any order.
#![expect(
    unsafe_code,
    reason = "the kernel works on raw pieces of guest memory until it says that it is done"
)]

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::thread;
use std::time::Duration;

use io_uring::{IoUring, cqueue, opcode, squeue, types};
use vmm_sys_util::eventfd::EventFd;

use super::request::Request;
use super::run::Run;
use super::vectored::Durability;
use crate::pieces::{count_of, each_slice, iovec};
use crate::{DeviceError, GuestMemory};

/// Runs of requests that the kernel has at a time. Our choice: half of a queue.
pub(super) const DEPTH: u32 = 128;

/// How long a kernel that takes no requests is given. Our choice.
const RETRY_INTERVAL: Duration = Duration::from_millis(1);

/// The number under which the kernel tells of kicks.
const KICKED: u64 = u64::MAX;

/// Which of the runs in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(pub(super) usize);

/// Something that the kernel tells.
#[derive(Debug)]
pub(super) enum Event {
    /// A run is done: how many bytes were transferred.
    Done(Slot, io::Result<usize>),
    /// The driver has kicked the queue.
    Kicked,
}

/// The kernel's queues for one disk. Dropping it waits for all that is in flight.
pub(super) struct Ring {
    ring: IoUring,
    /// Raised by the driver.
    kick: RawFd,
    /// Where each run in flight transfers to or from; the kernel reads it when it likes.
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
    /// Sets the queues up, and has the kernel tell when `kick` is raised.
    ///
    /// # Errors
    /// The kernel has no io_uring, or not for this process.
    pub(super) fn new(kick: &EventFd) -> Result<Self, DeviceError> {
        // One place more: for the poll.
        let ring = IoUring::new(DEPTH + 1).map_err(DeviceError::SetUpRing)?;
        let mut ring = Self {
            ring,
            kick: kick.as_raw_fd(),
            pieces: vec![Vec::new(); DEPTH as usize],
            in_flight: 0,
        };
        ring.listen();
        Ok(ring)
    }

    /// Queues a run for the kernel; says whether it is one for it.
    ///
    /// # Errors
    /// Its memory is not the guest's, which a chain that was checked does not say.
    pub(super) fn queue(
        &mut self,
        slot: Slot,
        run: &Run,
        (file, durability): (&File, Durability),
        memory: &GuestMemory,
    ) -> Result<bool, DeviceError> {
        let file = types::Fd(file.as_fd().as_raw_fd());
        let entry = match run.first() {
            Request::Read(extent, _) => {
                let (pieces, count) = self.lay_out(slot, memory, run)?;
                opcode::Readv::new(file, pieces, count)
                    .offset(extent.offset_bytes)
                    .build()
            }
            Request::Write(extent, _) => {
                let (pieces, count) = self.lay_out(slot, memory, run)?;
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
        self.in_flight += 1;
        Ok(true)
    }

    /// Hands to the kernel what is queued; says whether there is an event. What is in the kernel's cache
    /// is done when this returns.
    ///
    /// # Errors
    /// The kernel takes no more.
    pub(super) fn submit(&mut self) -> Result<bool, DeviceError> {
        if !self.ring.submission().is_empty() {
            let submitted = self.ring.submit();
            tolerate(submitted)?;
        }
        Ok(!self.ring.completion().is_empty())
    }

    /// Hands to the kernel what is queued, and waits until there is an event, for `patience` at most.
    ///
    /// # Errors
    /// The kernel takes no more.
    pub(super) fn wait(&mut self, patience: Option<Duration>) -> Result<(), DeviceError> {
        let wanted = usize::from(self.ring.completion().is_empty());
        let submitter = self.ring.submitter();
        let done = match patience {
            None => submitter.submit_and_wait(wanted),
            Some(patience) => {
                let patience = types::Timespec::from(patience);
                submitter.submit_with_args(wanted, &types::SubmitArgs::new().timespec(&patience))
            }
        };
        tolerate(done)
    }

    /// Takes the next event, if there is one.
    pub(super) fn take_event(&mut self) -> Option<Event> {
        let entry: cqueue::Entry = self.ring.completion().next()?;
        if entry.user_data() == KICKED {
            if !cqueue::more(entry.flags()) {
                self.listen();
            }
            return Some(Event::Kicked);
        }
        self.in_flight -= 1;
        let slot = Slot(usize::try_from(entry.user_data()).expect("it was a slot"));
        let result = usize::try_from(entry.result())
            .map_err(|_| io::Error::from_raw_os_error(entry.result().saturating_neg()));
        Some(Event::Done(slot, result))
    }

    /// Has the kernel tell of kicks from now on.
    fn listen(&mut self) {
        let readable = u32::try_from(libc::POLLIN).expect("it is a small number");
        let poll = opcode::PollAdd::new(types::Fd(self.kick), readable).multi(true);
        self.push(&poll.build().user_data(KICKED));
    }

    /// Keeps the pieces of a run where they are until it is done.
    fn lay_out(
        &mut self,
        slot: Slot,
        memory: &GuestMemory,
        run: &Run,
    ) -> Result<(*const libc::iovec, u32), DeviceError> {
        let pieces = &mut self.pieces[slot.0];
        pieces.clear();
        for slice in each_slice(memory, run.data()) {
            pieces.push(iovec(&slice?));
        }
        let count = u32::try_from(count_of(pieces)).expect("it is at most 1024");
        Ok((pieces.as_ptr(), count))
    }

    fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: file, kick and the guest's memory stay open and mapped until all is done, which the drop
        // of this value waits for; so do the pieces, which are not touched before the slot is free.
        let pushed = unsafe { self.ring.submission().push(entry) };
        pushed.expect("there are as many places as there are slots, and one for the poll");
    }
}

/// What the kernel says is no failure if it can be asked again.
fn tolerate(submitted: io::Result<usize>) -> Result<(), DeviceError> {
    match submitted.map_err(|error| (error.raw_os_error(), error)) {
        Ok(_) | Err((Some(libc::EINTR | libc::ETIME), _)) => Ok(()),
        // The kernel is short of memory, or has events that were not taken.
        Err((Some(libc::EAGAIN | libc::EBUSY), _)) => {
            thread::sleep(RETRY_INTERVAL);
            Ok(())
        }
        Err((_, error)) => Err(DeviceError::SetUpRing(error)),
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        while self.in_flight > 0 {
            // Memory that the kernel may still write must not be used for anything else.
            if let Err(error) = self.wait(None) {
                log::error!("cannot wait for the kernel to let go of guest memory: {error}");
                std::process::abort();
            }
            while self.take_event().is_some() {}
        }
    }
}
