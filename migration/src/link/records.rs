//! A connection's bytes as they are on the wire: plain, or in TLS records.

use std::fmt;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustls::Connection;

use crate::page::to_u64;

/// Bytes asked of the kernel at a time. Our choice: four records of the longest kind.
const READ_BYTES: usize = 64 << 10;

/// Most that is encrypted before it has to be sent. Our choice: a background chunk.
const MAX_UNSENT_BYTES: usize = 256 << 10;

/// Parts that go to the kernel at a time: a frame of pages has three.
const MAX_PARTS: usize = 4;

/// A socket that never blocks, and the count of its bytes in both directions.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) stream: TcpStream,
    pub(super) wire_bytes: AtomicU64,
    /// Most bytes that go to the kernel at a time: it looks at its limit of what may be queued
    /// only before it takes them.
    pub(super) piece_bytes: AtomicUsize,
}

impl Read for &Socket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.count((&self.stream).read(into))
    }
}

impl Write for &Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.count((&self.stream).write(bytes))
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut piece = [IoSlice::new(&[]); MAX_PARTS];
        let mut left = self.piece_bytes.load(Ordering::Relaxed);
        for (taken, part) in piece.iter_mut().zip(parts) {
            let bytes = part.len().min(left);
            *taken = IoSlice::new(&part[..bytes]);
            left -= bytes;
        }
        self.count((&self.stream).write_vectored(&piece))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket {
    fn count(&self, moved: io::Result<usize>) -> io::Result<usize> {
        moved.inspect(|&bytes| {
            self.wire_bytes.fetch_add(to_u64(bytes), Ordering::Relaxed);
        })
    }
}

/// The records of one connection. Nothing here waits: what cannot be done now fails with
/// [`ErrorKind::WouldBlock`], so that the lock, which one thread takes to send and another to
/// receive, is only ever held for as long as some records take to be encrypted or decrypted.
pub(super) struct Records(Mutex<Inner>);

struct Inner {
    connection: Connection,
    /// What came and was not decrypted yet: `buffer[start..end]`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Records(..)")
    }
}

impl Records {
    pub(super) fn new(mut connection: Connection) -> Self {
        connection.set_buffer_limit(Some(MAX_UNSENT_BYTES));
        Self(Mutex::new(Inner {
            connection,
            buffer: vec![0; READ_BYTES],
            start: 0,
            end: 0,
        }))
    }

    /// Receives what was decrypted, or none if the other end has finished.
    ///
    /// # Errors
    /// If there is nothing yet, the connection failed, or it ended without the other end's word.
    pub(super) fn receive(&self, socket: &Socket, into: &mut [u8]) -> io::Result<usize> {
        let mut inner = self.lock();
        loop {
            match inner.connection.reader().read(into) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => inner.pull(socket)?,
                received => return received,
            }
        }
    }

    /// Takes some of `parts` and sends as much as goes.
    pub(super) fn send(&self, socket: &Socket, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut inner = self.lock();
        inner.push(socket)?;
        let taken = inner.connection.writer().write_vectored(parts)?;
        match inner.push(socket) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    /// Sends all that was taken.
    pub(super) fn flush(&self, socket: &Socket) -> io::Result<()> {
        self.lock().push(socket)
    }

    /// Says that nothing more will be sent; [`flush`](Self::flush) sends it.
    pub(super) fn finish(&self) {
        self.lock().connection.send_close_notify();
    }

    /// Goes on with the handshake by what has come.
    pub(super) fn advance(&self, socket: &Socket) -> io::Result<()> {
        self.lock().pull(socket)
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.lock().connection.is_handshaking()
    }

    /// Whether something can be received without waiting for the socket.
    pub(super) fn holds_plaintext(&self) -> bool {
        let mut inner = self.lock();
        let state = inner.connection.process_new_packets();
        inner.start < inner.end || state.map_or(true, |state| state.plaintext_bytes_to_read() > 0)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Decrypts some of what has come, having received more if there is none.
    fn pull(&mut self, mut socket: &Socket) -> io::Result<()> {
        if self.start == self.end {
            // Nothing is held if this fails, above all because there is nothing yet.
            (self.start, self.end) = (0, 0);
            self.end = socket.read(&mut self.buffer)?;
        }
        let mut come = &self.buffer[self.start..self.end];
        self.start += self.connection.read_tls(&mut come)?;
        if let Err(error) = self.connection.process_new_packets() {
            // The alert that says why is worth an attempt.
            let _ = self.push(socket);
            return Err(io::Error::new(ErrorKind::InvalidData, error));
        }
        Ok(())
    }

    fn push(&mut self, mut socket: &Socket) -> io::Result<()> {
        while self.connection.wants_write() {
            self.connection.write_tls(&mut socket)?;
        }
        Ok(())
    }
}
