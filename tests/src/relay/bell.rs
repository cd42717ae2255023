//! A bell that ends a poll: how one thread of the relay gets another one's attention.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, Timespec, eventfd, poll};
use rustix::io::Errno;

/// The longest that [`wait`] waits: what is due later is found out by waiting again.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// An eventfd, see eventfd(2). Clones are the same bell.
#[derive(Debug, Clone)]
pub(super) struct Bell(Arc<OwnedFd>);

impl Bell {
    /// A bell that is silent.
    pub(super) fn new() -> io::Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Self(Arc::new(eventfd(0, flags)?)))
    }

    /// Makes it readable.
    pub(super) fn ring(&self) {
        // It can fail only because it has rung 2^64 - 2 times unheard, and then it is readable.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Makes it silent; returns whether it had rung.
    pub(super) fn hear(&self) -> bool {
        rustix::io::read(&self.0, &mut [0; 8]).is_ok()
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Waits for an event or until the time is up; a signal also ends it.
///
/// # Errors
/// If the system is out of memory.
pub(super) fn wait(fds: &mut [PollFd<'_>], at_most: Option<Duration>) -> io::Result<()> {
    let timeout = at_most.map(|time| {
        Timespec::try_from(time.min(LONGEST_WAIT)).expect("an hour fits in a timespec")
    });
    match poll(fds, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
