//! Listening Unix sockets: private to their user, never shared by two owners, and removed with their owner.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, chmod, flock};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, socket_with,
};

#[cfg(test)]
mod tests;

/// Connections that may wait to be accepted; our choice: as many as a burst of programs may make.
const BACKLOG: i32 = 64;

/// How long another process may hold a directory, which takes it microseconds when all is well.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// How often a held lock is tried again.
const LOCK_RETRY: Duration = Duration::from_millis(10);

/// Listens at a path where nothing is, in non-blocking mode. Only the user of this process may connect
/// (mode 0600).
///
/// # Errors
/// Something is there, or the kernel refuses.
pub fn listen(path: &Path) -> io::Result<(OwnedFd, SocketFile)> {
    let listener = new_socket()?;
    bind(&listener, &SocketAddrUnix::new(path)?)?;
    // Nobody can connect before it listens, so the mode is right before anyone could use the socket.
    chmod(path, Mode::RUSR | Mode::WUSR)?;
    rustix::net::listen(&listener, BACKLOG)?;
    let file = SocketFile::of(path)?;
    Ok((listener, file))
}

/// Takes the next connection that waits, in non-blocking mode; `WouldBlock` when there is none.
///
/// # Errors
/// The kernel refuses.
pub fn accept(listener: impl AsFd) -> io::Result<UnixStream> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(accept_with(listener, flags)?.into())
}

/// Connects in non-blocking mode, and does not wait for one whose queue is full: `WouldBlock`.
///
/// # Errors
/// Nobody listens there, or the kernel refuses.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    let socket = new_socket()?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket.into())
}

fn new_socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        flags,
        None,
    )?)
}

/// The file of a socket; it is removed when this is dropped, unless another has taken its place.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    identity: Identity,
}

/// Tells a file from its successor's, which may have been given the same inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    made: (i64, i64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        let identity = Identity::of(&fs::symlink_metadata(path)?);
        let path = path.to_owned();
        Ok(Self { path, identity })
    }

    /// Takes the place of what is at `path`: who connects there from now on comes here.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn take_place(&mut self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)?;
        path.clone_into(&mut self.path);
        Ok(())
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let found = fs::symlink_metadata(&self.path);
        if found.is_ok_and(|found| Identity::of(&found) == self.identity)
            && let Err(error) = fs::remove_file(&self.path)
        {
            let path = self.path.display();
            log::warn!("cannot remove the socket {path}: {error}");
        }
    }
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            made: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

/// Whether what is at `path` is a socket, if something is there.
///
/// # Errors
/// It cannot be found out.
pub fn is_socket(path: &Path) -> io::Result<Option<bool>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata.file_type().is_socket())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What is at the path of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occupant {
    /// Nothing.
    Nobody,
    /// A socket on which nobody listens any more.
    Dead,
    /// A socket on which somebody listens.
    Alive,
    /// Something else, which must not be lost.
    NoSocket,
}

impl Occupant {
    /// What is at `path`. It may change at once unless the directory is [locked](DirectoryLock).
    ///
    /// # Errors
    /// It cannot be found out.
    pub fn of(path: &Path) -> io::Result<Self> {
        match is_socket(path)? {
            None => return Ok(Self::Nobody),
            Some(false) => return Ok(Self::NoSocket),
            Some(true) => {}
        }
        match connect(path) {
            Ok(_) => Ok(Self::Alive),
            // A full queue belongs to somebody who is busy, not dead.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Self::Alive),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(Self::Dead),
            Err(error) => Err(error),
        }
    }
}

/// Keeps others that take it from changing the sockets of a directory while it lives.
#[derive(Debug)]
pub struct DirectoryLock {
    _directory: File,
}

impl DirectoryLock {
    /// Locks the directory; waits a second for another process that has it.
    ///
    /// # Errors
    /// `WouldBlock` if another process keeps it, or it cannot be opened.
    pub fn take(path: &Path) -> io::Result<Self> {
        let directory = File::open(path)?;
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    return Ok(Self {
                        _directory: directory,
                    });
                }
                Err(Errno::WOULDBLOCK) if Instant::now() < deadline => thread::sleep(LOCK_RETRY),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}
