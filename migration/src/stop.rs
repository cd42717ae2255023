//! Waiting for a file descriptor, and ending the waits of all threads of one migration at once.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

use crate::error::{Error, Result};

/// A flag that, once raised, ends every [`wait`] of the threads that share it.
///
/// It is an eventfd that nobody ever reads, so it stays readable for all of them.
#[derive(Clone, Debug)]
pub(crate) struct Stop(Arc<OwnedFd>);

impl Stop {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(Arc::new(counter()?)))
    }

    /// Raises the flag for good.
    pub(crate) fn raise(&self) {
        // Fails only if the counter is about to overflow, and then the flag is up already.
        let _ = rustix::io::write(&*self.0, &1u64.to_ne_bytes());
    }
}

/// An eventfd that can be read once it has been written to.
fn counter() -> Result<OwnedFd> {
    let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
    eventfd(0, flags).map_err(|errno| Error::Wait {
        source: errno.into(),
    })
}

/// Tells a thread that waits for it in [`wait_any`] that something has changed.
#[derive(Debug)]
pub(crate) struct Doorbell(OwnedFd);

impl Doorbell {
    pub(crate) fn new() -> Result<Self> {
        counter().map(Self)
    }

    pub(crate) fn ring(&self) {
        // Fails only if the counter is about to overflow, and then it has rung already.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    /// Makes it silent again.
    pub(crate) fn answer(&self) {
        // Fails only if it is silent.
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

impl AsFd for Doorbell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What ended a [`wait`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// The file descriptor is ready.
    Ready,
    /// The flag was raised.
    Stopped,
    /// The time was up.
    TimedOut,
}

/// Waits until `fd` is ready for `events`, `stop` is raised or `until` has come. The flag wins.
///
/// # Errors
/// If the kernel refuses to poll.
pub(crate) fn wait(
    fd: BorrowedFd<'_>,
    events: PollFlags,
    stop: &Stop,
    until: Option<Instant>,
) -> Result<Woken> {
    loop {
        let left = until.map(|until| timespec(until.saturating_duration_since(Instant::now())));
        let mut fds = [
            PollFd::from_borrowed_fd(stop.0.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(fd, events),
        ];
        match poll(&mut fds, left.as_ref()) {
            Ok(0) => return Ok(Woken::TimedOut),
            Ok(_) if !fds[0].revents().is_empty() => return Ok(Woken::Stopped),
            Ok(_) => return Ok(Woken::Ready),
            Err(Errno::INTR) => {}
            Err(errno) => {
                return Err(Error::Wait {
                    source: errno.into(),
                });
            }
        }
    }
}

/// Waits until any of `fds` can be read, and says which; `None` once `stop` was raised. Stays
/// `awake` until then, if that is given: to be put to sleep and woken may take longer than the wait.
///
/// # Errors
/// If the kernel refuses to poll.
pub(crate) fn wait_any(
    fds: [BorrowedFd<'_>; 3],
    stop: &Stop,
    awake: Option<Instant>,
) -> Result<Option<[bool; 3]>> {
    let [first, second, third] = fds;
    loop {
        let mut polled = [first, second, third, stop.0.as_fd()]
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        let stays_awake = awake.is_some_and(|until| Instant::now() < until);
        let limit = stays_awake.then(|| timespec(Duration::ZERO));
        match poll(&mut polled, limit.as_ref()) {
            Ok(0) => continue,
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(errno) => {
                return Err(Error::Wait {
                    source: errno.into(),
                });
            }
        }
        let [a, b, c, stopped] = polled.map(|fd| !fd.revents().is_empty());
        return Ok((!stopped).then_some([a, b, c]));
    }
}

/// Waits until `until` has come or `stop` was raised.
///
/// # Errors
/// If the kernel refuses to poll.
pub(crate) fn sleep(stop: &Stop, until: Instant) -> Result<Woken> {
    wait(stop.0.as_fd(), PollFlags::IN, stop, Some(until))
}

/// The duration for the kernel; what does not fit is longer than anyone waits.
fn timespec(duration: Duration) -> Timespec {
    Timespec::try_from(duration).unwrap_or(Timespec {
        tv_sec: i64::MAX,
        tv_nsec: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_with_flag_raised_ends_at_once_whatever_else_is_ready() {
        let (stop, ready) = (Stop::new().unwrap(), Stop::new().unwrap());
        let soon = Some(Instant::now() + Duration::from_millis(5));
        let wait_in = |until| wait(ready.0.as_fd(), PollFlags::IN, &stop, until).unwrap();
        assert_eq!(wait_in(soon), Woken::TimedOut);
        ready.raise();
        assert_eq!(wait_in(None), Woken::Ready);
        stop.raise();
        assert_eq!(wait_in(None), Woken::Stopped);
    }
}
