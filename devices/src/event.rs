//! Event descriptors: made, raised, awaited and taken the same way everywhere.
#![expect(
    unsafe_code,
    reason = "`EventFd` lends its descriptor only as a number"
)]

use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use vmm_sys_util::eventfd::{EFD_CLOEXEC, EFD_NONBLOCK, EventFd};

use crate::DeviceError;

/// Makes an event descriptor that never blocks and that no child process inherits.
pub(crate) fn new_event() -> Result<EventFd, DeviceError> {
    EventFd::new(EFD_NONBLOCK | EFD_CLOEXEC).map_err(DeviceError::CreateEvent)
}

/// Raises `event`. The one failure of a non-blocking eventfd is a full counter (eventfd(2)), and
/// then it is raised already.
pub(crate) fn raise(event: &EventFd) {
    drop(event.write(1));
}

/// Lowers `event`; it may have been lowered before, by whoever watches it.
pub(crate) fn lower(event: &EventFd) {
    drop(event.read());
}

/// The descriptor of `event`, to be waited for among others.
pub(crate) fn descriptor(event: &EventFd) -> BorrowedFd<'_> {
    // SAFETY: the descriptor stays open as long as `event` is borrowed.
    unsafe { BorrowedFd::borrow_raw(event.as_raw_fd()) }
}

/// Waits until one of `descriptors` can be read or has failed, for `patience` at most, and says which.
/// The first of them is always there.
pub(crate) fn wait_for<const N: usize>(
    descriptors: [Option<BorrowedFd<'_>>; N],
    patience: Option<Duration>,
) -> Result<[bool; N], DeviceError> {
    let first = descriptors[0].expect("there is something to wait for");
    // What is not waited for is another name of the first, without an event.
    let mut polled = descriptors.map(|descriptor| match descriptor {
        Some(descriptor) => PollFd::from_borrowed_fd(descriptor, PollFlags::IN),
        None => PollFd::from_borrowed_fd(first, PollFlags::empty()),
    });
    let patience = patience.map(|patience| Timespec {
        tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(patience.subsec_nanos()),
    });
    loop {
        match poll(&mut polled, patience.as_ref()) {
            Ok(_) => return Ok(polled.map(|polled| !polled.revents().is_empty())),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(DeviceError::WaitForKick(errno.into())),
        }
    }
}
