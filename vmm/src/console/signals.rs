//! Signals that ask the process to end, as events among others instead of interruptions.
#![expect(
    unsafe_code,
    reason = "the masks of signals and signalfd(2) have no safe wrapper in our dependencies"
)]

use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use event_manager::{EventOps, Events, MutEventSubscriber};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::signal::create_sigset;

use super::ConsoleError;

/// The size of `struct signalfd_siginfo` (signalfd(2)), whose first field is the signal's number.
const SIGINFO_BYTES: usize = 128;

/// A signal that asks the process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM: kill, or the service manager.
    Terminate,
    /// SIGHUP: the terminal has gone.
    HangUp,
    /// SIGQUIT: Ctrl-\.
    Quit,
}

impl StopSignal {
    const ALL: [Self; 4] = [Self::Interrupt, Self::Terminate, Self::HangUp, Self::Quit];

    fn number(self) -> libc::c_int {
        match self {
            Self::Interrupt => libc::SIGINT,
            Self::Terminate => libc::SIGTERM,
            Self::HangUp => libc::SIGHUP,
            Self::Quit => libc::SIGQUIT,
        }
    }
}

impl fmt::Display for StopSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
            Self::HangUp => "SIGHUP",
            Self::Quit => "SIGQUIT",
        })
    }
}

/// The signals that ask this process to end, which do nothing else any more.
#[derive(Debug)]
pub struct Signals {
    fd: OwnedFd,
}

impl Signals {
    /// Blocks the signals in this thread and those it starts, and receives them here instead. To be called
    /// before the process starts a thread. A signal the process was started to ignore (nohup, a shell's
    /// background job) stays ignored. They stay blocked when this value is dropped.
    ///
    /// # Errors
    /// If a system call fails.
    pub fn block() -> Result<Self, ConsoleError> {
        let failed = |source| ConsoleError::Signals { source };
        let mut numbers = Vec::with_capacity(StopSignal::ALL.len());
        for number in StopSignal::ALL.map(StopSignal::number) {
            if !is_ignored(number).map_err(failed)? {
                numbers.push(number);
            }
        }
        let set = create_sigset(&numbers)
            .map_err(|errno| failed(io::Error::from_raw_os_error(errno.errno())))?;
        // SAFETY: `set` is an initialized signal set, and a null pointer for the old mask is allowed.
        let error =
            unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) };
        if error != 0 {
            return Err(failed(io::Error::from_raw_os_error(error)));
        }
        // SAFETY: -1 asks for a new descriptor, and `set` is an initialized signal set.
        let fd =
            unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(failed(io::Error::last_os_error()));
        }
        // SAFETY: `fd` was just made by signalfd, is valid and belongs to nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd })
    }

    /// Takes the next signal that has arrived; never waits.
    pub fn next(&self) -> Option<StopSignal> {
        let mut info = [0; SIGINFO_BYTES];
        match rustix::io::read(&self.fd, &mut info) {
            Ok(SIGINFO_BYTES) => {}
            _ => return None,
        }
        let number = info.first_chunk().copied().map(u32::from_ne_bytes)?;
        StopSignal::ALL
            .into_iter()
            .find(|signal| u32::try_from(signal.number()) == Ok(number))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn is_ignored(number: libc::c_int) -> io::Result<bool> {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: a null pointer for the new action only asks for the present one, and `action` has room for it.
    if unsafe { libc::sigaction(number, ptr::null(), action.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: sigaction succeeded, so it has written the whole structure.
    Ok(unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN)
}

/// Calls a function on the event loop for each signal.
pub struct SignalSubscriber<F> {
    signals: Signals,
    on_signal: F,
}

impl<F: FnMut(StopSignal)> SignalSubscriber<F> {
    /// Calls `on_signal` for each of the signals, once this is added to an event manager.
    pub fn new(signals: Signals, on_signal: F) -> Self {
        Self { signals, on_signal }
    }
}

impl<F> fmt::Debug for SignalSubscriber<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignalSubscriber")
            .field("signals", &self.signals)
            .finish_non_exhaustive()
    }
}

impl<F: FnMut(StopSignal)> MutEventSubscriber for SignalSubscriber<F> {
    fn process(&mut self, _events: Events, _ops: &mut EventOps) {
        while let Some(signal) = self.signals.next() {
            (self.on_signal)(signal);
        }
    }

    fn init(&mut self, ops: &mut EventOps) {
        ops.add(Events::new_raw(self.signals.fd.as_raw_fd(), EventSet::IN))
            .expect("a new file descriptor can be polled");
    }
}

#[cfg(test)]
mod tests;
