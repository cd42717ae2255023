//! Event descriptors: made, raised, awaited and taken the same way everywhere.
#![expect(
    unsafe_code,
    reason = "`EventFd` lends its descriptor only as a number"
)]

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags, poll};
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

/// Waits until `event` is raised, and leaves it so.
pub(crate) fn wait(event: &EventFd) -> Result<(), DeviceError> {
    // SAFETY: the descriptor stays open as long as `event` is borrowed, which is longer than this.
    let descriptor = unsafe { BorrowedFd::borrow_raw(event.as_raw_fd()) };
    loop {
        match poll(
            &mut [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)],
            None,
        ) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(DeviceError::WaitForKick(errno.into())),
        }
    }
}
