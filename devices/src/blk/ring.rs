//! Many requests at a time by io_uring(7): the thread of a disk hands reads, writes and flushes to the
//! kernel, and takes what is done in any order.
#![expect(
    unsafe_code,
    reason = "the kernel works on raw pieces of guest memory until it says that it is done"
)]

use std::io;
use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;

use io_uring::{IoUring, cqueue, opcode, squeue, types};
use vmm_sys_util::eventfd::EventFd;

use super::engine::{Begun, DEPTH, Engine, Served};
use super::request::Request;
use super::run::Run;
use super::server::Server;
use super::vectored::Durability;
use crate::DeviceError;
use crate::event::lower;
use crate::pieces::{count_of, each_slice, iovec};

/// How long a kernel that takes no requests is given. Our choice.
const RETRY_INTERVAL: Duration = Duration::from_millis(1);

/// The number under which the kernel tells of kicks.
const KICKED: u64 = u64::MAX;

/// One of the places for runs in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot(usize);

/// The kernel's queues for one disk. Dropping it waits for all that is in flight.
pub(super) struct Ring<'a> {
    ring: IoUring,
    server: &'a Server,
    /// Raised by the driver.
    kick: &'a EventFd,
    /// What the kernel has, by its slots.
    runs: Vec<Option<Run>>,
    /// Where each of them transfers to or from; the kernel reads it when it likes.
    pieces: Vec<Vec<libc::iovec>>,
    vacant: Vec<Slot>,
}

impl<'a> Ring<'a> {
    /// Sets the queues up, and has the kernel tell when `kick` is raised.
    ///
    /// # Errors
    /// The kernel has no io_uring, or not for this process.
    pub(super) fn new(server: &'a Server, kick: &'a EventFd) -> io::Result<Self> {
        // One place more: for the poll.
        let places = u32::try_from(DEPTH + 1).expect("it is a small number");
        let mut ring = Self {
            ring: IoUring::new(places)?,
            server,
            kick,
            runs: (0..DEPTH).map(|_| None).collect(),
            pieces: vec![Vec::new(); DEPTH],
            vacant: (0..DEPTH).map(Slot).collect(),
        };
        ring.listen();
        Ok(ring)
    }

    /// What the kernel has to do for a run, unless it is not one for it.
    fn entry(&mut self, slot: Slot, run: &Run) -> Result<Option<squeue::Entry>, DeviceError> {
        let file = types::Fd(self.server.file().as_raw_fd());
        let entry = match run.first() {
            Request::Read(extent, _) => {
                let (pieces, count) = self.lay_out(slot, run)?;
                opcode::Readv::new(file, pieces, count)
                    .offset(extent.offset_bytes)
                    .build()
            }
            Request::Write(extent, _) => {
                let (pieces, count) = self.lay_out(slot, run)?;
                let flags = match self.server.durability {
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
            Request::Identify(_) | Request::Zero(_) => return Ok(None),
        };
        Ok(Some(entry.user_data(slot.0 as u64)))
    }

    /// Keeps the pieces of a run where they are until it is done.
    fn lay_out(&mut self, slot: Slot, run: &Run) -> Result<(*const libc::iovec, u32), DeviceError> {
        let pieces = &mut self.pieces[slot.0];
        pieces.clear();
        for slice in each_slice(&self.server.memory, run.data()) {
            pieces.push(iovec(&slice?));
        }
        let count = u32::try_from(count_of(pieces)).expect("it is at most 1024");
        Ok((pieces.as_ptr(), count))
    }

    /// Has the kernel tell of kicks from now on.
    fn listen(&mut self) {
        let readable = u32::try_from(libc::POLLIN).expect("it is a small number");
        let kick = types::Fd(self.kick.as_raw_fd());
        let poll = opcode::PollAdd::new(kick, readable).multi(true);
        self.push(&poll.build().user_data(KICKED));
    }

    fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: file, kick and the guest's memory stay open and mapped until all is done, which the drop
        // of this value waits for; so do the pieces, which are not touched before the slot is free.
        let pushed = unsafe { self.ring.submission().push(entry) };
        pushed.expect("there are as many places as there are slots, and one for the poll");
    }

    /// Takes the next run that the kernel has done, and how many bytes it has transferred.
    fn take_completed(&mut self) -> Option<(Run, io::Result<usize>)> {
        loop {
            let entry: cqueue::Entry = self.ring.completion().next()?;
            if entry.user_data() != KICKED {
                let slot = Slot(usize::try_from(entry.user_data()).expect("it was a slot"));
                let result = usize::try_from(entry.result())
                    .map_err(|_| io::Error::from_raw_os_error(entry.result().saturating_neg()));
                let run = self.runs[slot.0].take().expect("the kernel had it");
                self.vacant.push(slot);
                return Some((run, result));
            }
            lower(self.kick);
            if !cqueue::more(entry.flags()) {
                self.listen();
            }
        }
    }
}

impl Engine for Ring<'_> {
    fn under_way(&self) -> usize {
        DEPTH - self.vacant.len()
    }

    fn hand_over(&mut self, run: Run) -> Result<Begun, DeviceError> {
        let slot = *self.vacant.last().expect("there is room for one more");
        let Some(entry) = self.entry(slot, &run)? else {
            return self.server.perform(run).map(Begun::Done);
        };
        self.push(&entry);
        self.vacant.pop();
        self.runs[slot.0] = Some(run);
        Ok(Begun::UnderWay)
    }

    /// What is in the kernel's cache is done when this returns.
    fn submit(&mut self) -> Result<bool, DeviceError> {
        if !self.ring.submission().is_empty() {
            let submitted = self.ring.submit();
            tolerate(submitted)?;
        }
        Ok(!self.ring.completion().is_empty())
    }

    fn wait(&mut self, patience: Option<Duration>) -> Result<(), DeviceError> {
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

    fn take_done(&mut self) -> Result<Option<Served>, DeviceError> {
        match self.take_completed() {
            Some((run, result)) => self.server.finish(run, &result).map(Some),
            None => Ok(None),
        }
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

impl Drop for Ring<'_> {
    fn drop(&mut self) {
        while !self.is_idle() {
            // Memory that the kernel may still write must not be used for anything else.
            if let Err(error) = self.wait(None) {
                log::error!("cannot wait for the kernel to let go of guest memory: {error}");
                std::process::abort();
            }
            while self.take_completed().is_some() {}
        }
    }
}
