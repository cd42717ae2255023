//! Event descriptors: made, raised and taken the same way everywhere.

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
