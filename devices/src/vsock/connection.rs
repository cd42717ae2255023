//! One connection between a program of the host and one of the guest.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::RecvFlags;

use super::credit::Credit;
use super::packet::{NO_MORE_RECEIVED, NO_MORE_SENT};

/// What a program says first, before the number of a port and the end of the line.
const GREETING: &[u8] = b"CONNECT ";

/// Its longest form.
const MAX_GREETING_BYTES: usize = GREETING.len() + "4294967295\n".len();

/// A connection, and the bytes of the guest that its program has not taken yet.
#[derive(Debug)]
pub(super) struct Connection {
    program: UnixStream,
    stage: Stage,
    pub(super) credit: Credit,
    backlog: VecDeque<u8>,
    /// The program may have said something.
    pub(super) is_readable: bool,
    /// The program has nobody at the other end of its socket any more.
    pub(super) is_hung_up: bool,
    program_sends: bool,
    guest_sends: bool,
    guest_receives: bool,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The program has not said which port it wants.
    Greeted {
        /// How long it may take.
        until: Instant,
    },
    /// The guest has not answered.
    Asked {
        /// How long it may take.
        until: Instant,
    },
    /// Both sides may talk.
    Open,
    /// The guest was told that its program is gone, and has not confirmed it.
    Ending {
        /// How long it may take.
        until: Instant,
    },
}

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It goes on.
    Lives,
    /// It is over, as both sides wanted.
    Ends,
    /// It is broken.
    Breaks,
}

/// How a program begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Greeting {
    /// It wants that port of the guest.
    Port(u32),
    /// It has not said all of it.
    Unfinished,
    /// It says something else, or nothing.
    Wrong,
}

impl Connection {
    pub(super) fn new(program: UnixStream, stage: Stage) -> Self {
        Self {
            program,
            stage,
            credit: Credit::default(),
            backlog: VecDeque::new(),
            is_readable: false,
            is_hung_up: false,
            program_sends: true,
            guest_sends: true,
            guest_receives: true,
        }
    }

    pub(super) fn stage(&self) -> Stage {
        self.stage
    }

    /// When its patience ends.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::Greeted { until } | Stage::Asked { until } | Stage::Ending { until } => {
                Some(until)
            }
            Stage::Open => None,
        }
    }

    /// Hears which port the program wants. Not a byte more is taken: the next are the guest's.
    pub(super) fn hear_greeting(&self) -> Greeting {
        let mut line = [0; MAX_GREETING_BYTES];
        let peek = rustix::net::recv(&self.program, &mut line[..], RecvFlags::PEEK);
        let heard = match peek {
            Ok((_, heard)) => &line[..heard],
            Err(Errno::AGAIN | Errno::INTR) => return Greeting::Unfinished,
            Err(_) => return Greeting::Wrong,
        };
        let Some(end) = heard.iter().position(|byte| *byte == b'\n') else {
            let may_go_on = !heard.is_empty() && heard.len() < MAX_GREETING_BYTES;
            return if may_go_on {
                Greeting::Unfinished
            } else {
                Greeting::Wrong
            };
        };
        let taken = (&self.program).read_exact(&mut vec![0; end + 1]);
        let port = heard[..end].strip_prefix(GREETING);
        let port = port.and_then(|port| std::str::from_utf8(port).ok()?.parse().ok());
        match port {
            Some(port) if taken.is_ok() => Greeting::Port(port),
            _ => Greeting::Wrong,
        }
    }

    /// The guest is asked whether it takes the connection.
    pub(super) fn ask(&mut self, until: Instant) {
        self.stage = Stage::Asked { until };
        self.is_readable = true;
    }

    /// The guest takes the connection, and the program hears by which port it is known there.
    pub(super) fn answered(&mut self, host_port: u32) -> Fate {
        let Stage::Asked { .. } = self.stage else {
            return Fate::Breaks;
        };
        self.stage = Stage::Open;
        // Nothing was written to it before, so that there is room.
        match (&self.program).write_all(format!("OK {host_port}\n").as_bytes()) {
            Ok(()) => Fate::Lives,
            Err(_) => Fate::Breaks,
        }
    }

    /// How many bytes may be read for the guest.
    pub(super) fn readable_bytes(&self) -> u32 {
        let may_read = self.stage == Stage::Open && self.program_sends && self.guest_receives;
        if may_read { self.credit.room() } else { 0 }
    }

    /// Reads what the program has said; `None` if that is nothing new, 0 if it says no more.
    ///
    /// # Errors
    /// The connection is broken.
    pub(super) fn read(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        match self.program.read(into) {
            Ok(0) => {
                self.program_sends = false;
                self.is_readable = false;
                Ok(Some(0))
            }
            Ok(read) => Ok(Some(read)),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(None),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.is_readable = false;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether all has been read that the program will ever say.
    pub(super) fn has_heard_all(&self) -> bool {
        !self.program_sends
    }

    /// The guest is told that the program is gone.
    pub(super) fn end(&mut self, until: Instant) {
        self.stage = Stage::Ending { until };
    }

    /// Takes bytes of the guest for the program.
    pub(super) fn take_in(&mut self, bytes: &[u8]) -> Fate {
        let len_bytes = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let may_send = matches!(self.stage, Stage::Open | Stage::Ending { .. });
        if !may_send || !self.guest_sends || self.credit.received(len_bytes).is_err() {
            return Fate::Breaks;
        }
        self.backlog.extend(bytes);
        self.flush()
    }

    /// Gives the program what it has room for.
    pub(super) fn flush(&mut self) -> Fate {
        while !self.backlog.is_empty() {
            let (first, _) = self.backlog.as_slices();
            match self.program.write(first) {
                Ok(written) => {
                    self.backlog.drain(..written);
                    self.credit
                        .taken(u32::try_from(written).unwrap_or(u32::MAX));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Fate::Lives,
                Err(_) if self.is_hung_up => return Fate::Ends,
                Err(_) => return Fate::Breaks,
            }
        }
        self.pass_on_the_end()
    }

    /// The guest says that it will not send, or not receive, any more.
    pub(super) fn guest_shuts(&mut self, flags: u32) -> Fate {
        self.guest_sends &= flags & NO_MORE_SENT == 0;
        self.guest_receives &= flags & NO_MORE_RECEIVED == 0;
        if self.backlog.is_empty() {
            self.pass_on_the_end()
        } else {
            Fate::Lives
        }
    }

    /// Once the program has all: it hears that there will be no more.
    fn pass_on_the_end(&self) -> Fate {
        use std::net::Shutdown;

        if !self.guest_sends && !self.guest_receives {
            return Fate::Ends;
        }
        let shut = |is_over: bool, how| {
            if is_over {
                // The program may be gone, which is noticed elsewhere.
                drop(self.program.shutdown(how));
            }
        };
        shut(!self.guest_sends, Shutdown::Write);
        shut(!self.guest_receives, Shutdown::Read);
        Fate::Lives
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.program.as_fd()
    }
}
