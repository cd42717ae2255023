//! The other end: what `skiff info`, `skiff migrate` and the like use to talk to a monitor.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use serde::de::DeserializeOwned;

use super::lines::{LineBuffer, LineTooLong};
use super::path::{runtime_directory, sockets_in};
use super::{ControlError, Progress, Request, Response, SocketPath, VmAddress};

/// How long a monitor may take to accept a connection and to take or answer a quick request.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest answer; our choice: reports of long migrations stay well below it.
const MAX_RESPONSE_BYTES: usize = 4 << 20;

/// Bytes read at a time.
const READ_BYTES: usize = 4096;

/// A connection to a monitor; one request at a time.
#[derive(Debug)]
pub struct ControlClient {
    stream: UnixStream,
    lines: LineBuffer,
    path: PathBuf,
    patience: Option<Duration>,
}

impl ControlClient {
    /// Connects to the VM of that name, or the one whose socket is at that path.
    ///
    /// # Errors
    /// If there is no such VM, it is dead, or its monitor does not accept within 10 s.
    pub fn connect(address: &VmAddress) -> Result<Self, ControlError> {
        let socket = address.socket()?;
        Self::connect_to(&socket).map_err(|error| match (error, address) {
            (ControlError::NoSocket { .. }, VmAddress::Name(name)) => ControlError::NoSuchVm {
                name: name.clone(),
                running: sockets_in(&runtime_directory())
                    .map(|sockets| sockets.into_iter().map(|(name, _)| name).collect())
                    .unwrap_or_default(),
            },
            (error, _) => error,
        })
    }

    /// Connects to the monitor that listens there.
    ///
    /// # Errors
    /// If no monitor listens there, or it does not accept within 10 s.
    pub fn connect_to(socket: &SocketPath) -> Result<Self, ControlError> {
        let path = socket.as_path().to_owned();
        let stream = open(socket).map_err(|errno| match errno {
            Errno::NOENT => ControlError::NoSocket { path: path.clone() },
            Errno::CONNREFUSED => ControlError::Dead { path: path.clone() },
            Errno::AGAIN => ControlError::Silent {
                path: path.clone(),
                waited: PATIENCE,
            },
            errno => ControlError::Connect {
                path: path.clone(),
                source: errno.into(),
            },
        })?;
        let lines = LineBuffer::new(MAX_RESPONSE_BYTES);
        Ok(Self {
            stream,
            lines,
            path,
            patience: Some(PATIENCE),
        })
    }

    /// Waits for each answer at most that long, or for ever.
    ///
    /// # Errors
    /// If the time is zero.
    pub fn set_patience(&mut self, patience: Option<Duration>) -> Result<(), ControlError> {
        self.patience = patience;
        self.stream
            .set_read_timeout(patience)
            .map_err(|source| self.broken(source))
    }

    /// Sends a request and waits for its end; progress lines go to `on_progress`.
    ///
    /// # Errors
    /// If the monitor refuses, fails, ends or keeps silent, or the connection breaks.
    pub fn call<T: DeserializeOwned>(
        &mut self,
        request: &Request,
        mut on_progress: impl FnMut(Progress),
    ) -> Result<T, ControlError> {
        self.send(request)?;
        loop {
            match self.next_response()? {
                Some(Response::Progress(progress)) => on_progress(progress),
                Some(Response::Ok(value)) => return Ok(value),
                Some(Response::Error(failure)) => {
                    return Err(ControlError::Refused {
                        command: request.command(),
                        failure,
                    });
                }
                None => self.fill()?,
            }
        }
    }

    /// Sends a request without waiting for its answer.
    ///
    /// # Errors
    /// If the monitor does not take it.
    pub fn send(&mut self, request: &Request) -> Result<(), ControlError> {
        let mut line = serde_json::to_vec(request)
            .expect("a request has only text keys and fields that serialize without fail");
        line.push(b'\n');
        match self.stream.write_all(&line) {
            // The monitor may have said why it hung up before it did.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result.map_err(|source| self.broken(source)),
        }
    }

    /// Takes the next line of an answer, if it has arrived completely.
    ///
    /// # Errors
    /// If the line is not of this protocol.
    pub fn next_response<T: DeserializeOwned>(
        &mut self,
    ) -> Result<Option<Response<T>>, ControlError> {
        let line = self
            .lines
            .next_line()
            .map_err(|LineTooLong| ControlError::ResponseTooLong {
                path: self.path.clone(),
                limit_bytes: MAX_RESPONSE_BYTES,
            })?;
        line.map(|line| serde_json::from_slice(&line))
            .transpose()
            .map_err(|source| ControlError::ResponseSyntax {
                path: self.path.clone(),
                source,
            })
    }

    /// Reads once, waiting if nothing has arrived yet; see [`next_response`](Self::next_response).
    ///
    /// # Errors
    /// If the monitor hung up or the time is over.
    pub fn fill(&mut self) -> Result<(), ControlError> {
        let mut chunk = [0; READ_BYTES];
        match self.stream.read(&mut chunk) {
            Ok(0) => Err(ControlError::Closed {
                path: self.path.clone(),
            }),
            Ok(count) => {
                self.lines.extend(&chunk[..count]);
                Ok(())
            }
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => Ok(()),
                io::ErrorKind::ConnectionReset => Err(ControlError::Closed {
                    path: self.path.clone(),
                }),
                io::ErrorKind::WouldBlock => Err(ControlError::Silent {
                    path: self.path.clone(),
                    waited: self.patience.unwrap_or_default(),
                }),
                _ => Err(self.broken(error)),
            },
        }
    }

    fn broken(&self, source: io::Error) -> ControlError {
        ControlError::Broken {
            path: self.path.clone(),
            source,
        }
    }
}

impl AsFd for ControlClient {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Connects with bounded waiting: the time to send bounds `connect` too (unix(7), socket(7)).
fn open(socket: &SocketPath) -> Result<UnixStream, Errno> {
    let stream = socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    set_socket_timeout(&stream, Timeout::Send, Some(PATIENCE))?;
    set_socket_timeout(&stream, Timeout::Recv, Some(PATIENCE))?;
    connect(&stream, &SocketAddrUnix::new(socket.as_path())?)?;
    Ok(stream.into())
}

#[cfg(test)]
mod tests;
