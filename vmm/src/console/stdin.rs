//! Standard input on its way to the guest's serial port, no faster than the guest reads it.

use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};

use event_manager::{EventOps, Events, MutEventSubscriber};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::{ConsoleError, EscapeParser, RawTerminal, Typed};

/// Bytes read at a time, at most; our choice: more than anyone types at once.
const READ_BYTES: usize = 256;

/// What Ctrl-A h shows, fit for a terminal in raw mode.
const HELP: &[u8] = b"\r\n\
    Ctrl-A x       end the VM and leave\r\n\
    Ctrl-A Ctrl-A  send one Ctrl-A to the guest\r\n\
    Ctrl-A h       show this\r\n";

/// What the console's input goes to.
pub trait ConsoleInput {
    /// How many bytes it takes now; whoever makes room from zero writes to the [room event](StdinSubscriber::room_event).
    fn room(&self) -> usize;

    /// Takes bytes, not more than it has room for.
    fn push(&mut self, bytes: &[u8]);

    /// The user typed Ctrl-A x.
    fn leave(&mut self);
}

/// How bytes are got from the input now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The event loop says when there are some.
    Polled,
    /// There may be some, and no room for them: it is not polled.
    Paused,
    /// It is a file, which cannot be polled and need not be.
    File,
    /// It has ended; the VM goes on without.
    Ended,
}

/// Reads standard input on the event loop and hands it to the guest. A terminal is put into raw mode and
/// has escape sequences; a pipe or a file is passed on byte by byte.
#[derive(Debug)]
pub struct StdinSubscriber<C> {
    input: OwnedFd,
    sink: C,
    escapes: Option<EscapeParser>,
    source: Source,
    room: EventFd,
    _terminal: Option<RawTerminal>,
}

impl<C: ConsoleInput> StdinSubscriber<C> {
    /// Takes over standard input, and its terminal if it is one.
    ///
    /// # Errors
    /// If the terminal refuses raw mode, or the process has no file descriptor left.
    pub fn new(sink: C) -> Result<Self, ConsoleError> {
        let input =
            rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 0).map_err(|errno| {
                ConsoleError::Stdin {
                    source: errno.into(),
                }
            })?;
        let background = rustix::termios::isatty(&input);
        let terminal = RawTerminal::enter()?;
        let mut subscriber = Self::reading(input, sink)?;
        if terminal.is_some() {
            subscriber.escapes = Some(EscapeParser::default());
        } else if background {
            // Reading the terminal from its background would stop the process.
            subscriber.source = Source::Ended;
        }
        subscriber._terminal = terminal;
        Ok(subscriber)
    }

    /// Reads a file descriptor as it is.
    fn reading(input: OwnedFd, sink: C) -> Result<Self, ConsoleError> {
        let room = EventFd::new(EFD_NONBLOCK).map_err(|source| ConsoleError::Stdin { source })?;
        Ok(Self {
            input,
            sink,
            escapes: None,
            source: Source::Polled,
            room,
            _terminal: None,
        })
    }

    /// An event to be written by whoever reads from the sink and leaves it empty.
    ///
    /// # Errors
    /// If the process has no file descriptor left.
    pub fn room_event(&self) -> Result<EventFd, ConsoleError> {
        self.room
            .try_clone()
            .map_err(|source| ConsoleError::Stdin { source })
    }

    /// Reads once, as much as there is room for.
    fn pull(&mut self, ops: &mut EventOps) {
        let mut chunk = [0; READ_BYTES];
        let room = self.sink.room().min(chunk.len());
        if room == 0 {
            return self.pause(ops);
        }
        match rustix::io::read(&self.input, &mut chunk[..room]) {
            Ok(count) if count > 0 => {
                self.pass_on(&mut chunk[..count]);
                if self.source == Source::File {
                    self.wake();
                }
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            // The end of the input, or a terminal that has gone (EIO).
            _ => self.end(ops),
        }
    }

    /// Hands bytes to the guest, without those that were meant for the monitor.
    fn pass_on(&mut self, bytes: &mut [u8]) {
        let Some(escapes) = &mut self.escapes else {
            return self.sink.push(bytes);
        };
        let mut kept = 0;
        for index in 0..bytes.len() {
            match escapes.feed(bytes[index]) {
                Some(Typed::Byte(byte)) => {
                    bytes[kept] = byte;
                    kept += 1;
                }
                Some(Typed::Leave) => return self.sink.leave(),
                // Help that cannot be shown is not worth ending a VM for.
                Some(Typed::Help) => drop(io::stderr().write_all(HELP)),
                None => {}
            }
        }
        if kept > 0 {
            self.sink.push(&bytes[..kept]);
        }
    }

    /// Stops polling until there is room. Polling for nothing would not do: a pipe whose writer has
    /// gone reports that again and again.
    fn pause(&mut self, ops: &mut EventOps) {
        if self.source == Source::Polled {
            self.source = Source::Paused;
            self.unpoll(ops);
        }
    }

    fn end(&mut self, ops: &mut EventOps) {
        if self.source == Source::Polled {
            self.unpoll(ops);
        }
        self.source = Source::Ended;
    }

    fn poll(&mut self, ops: &mut EventOps) {
        let events = Events::new_raw(self.input.as_raw_fd(), EventSet::IN);
        self.source = match ops.add(events) {
            Ok(()) => Source::Polled,
            Err(event_manager::Error::Epoll(errno)) if errno.errno() == libc::EPERM => {
                self.wake();
                Source::File
            }
            Err(error) => {
                log::warn!("cannot read standard input: {error}");
                Source::Ended
            }
        };
    }

    fn unpoll(&self, ops: &mut EventOps) {
        if let Err(error) = ops.remove(Events::empty_raw(self.input.as_raw_fd())) {
            log::warn!("cannot stop reading standard input: {error}");
        }
    }

    /// Has the event loop come back to this subscriber.
    fn wake(&self) {
        // The counter cannot overflow: it is reset at every turn.
        let _full = self.room.write(1);
    }
}

impl<C: ConsoleInput> MutEventSubscriber for StdinSubscriber<C> {
    fn process(&mut self, events: Events, ops: &mut EventOps) {
        if events.fd() == self.input.as_raw_fd() {
            return self.pull(ops);
        }
        // The counter only wakes the loop; whether there is room is asked of the sink.
        let _count = self.room.read();
        match self.source {
            Source::File => self.pull(ops),
            Source::Paused if self.sink.room() > 0 => self.poll(ops),
            Source::Paused | Source::Polled | Source::Ended => {}
        }
    }

    fn init(&mut self, ops: &mut EventOps) {
        ops.add(Events::new(&self.room, EventSet::IN))
            .expect("a new file descriptor can be polled");
        if self.source == Source::Polled {
            self.poll(ops);
        }
    }
}

#[cfg(test)]
mod tests;
