//! The listening end of a control socket: made so that two monitors never share a path, and removed with its owner.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, chmod, flock};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen,
    socket_with,
};

use super::{ControlError, SocketPath};

/// Connections that may wait to be accepted; our choice: twice what the server keeps open.
const BACKLOG: i32 = 64;

/// How long another process may hold the directory, which takes it microseconds when all is well.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// How often a held lock is tried again.
const LOCK_RETRY: Duration = Duration::from_millis(10);

/// A listening control socket; its file is removed when it is dropped.
#[derive(Debug)]
pub struct ControlSocket {
    listener: OwnedFd,
    path: SocketPath,
    identity: FileIdentity,
}

/// Tells the file of one socket from that of a successor, which may have been given the same inode.
#[derive(Debug, PartialEq, Eq)]
struct FileIdentity {
    device: u64,
    inode: u64,
    made_s: i64,
    made_ns: i64,
}

impl ControlSocket {
    /// Listens on the path; makes its directory (mode 0700) if that is missing, and takes the place of
    /// a socket whose monitor is dead. Only the user of this process may connect (mode 0600).
    ///
    /// # Errors
    /// If a living monitor listens there, something that is no socket stands there, or a system call fails.
    pub fn bind(path: SocketPath) -> Result<Self, ControlError> {
        create_directory(path.directory())?;
        // From here to the end no other monitor looks at or changes the directory's sockets.
        let _lock = DirectoryLock::take(path.directory())?;
        if !make_way(path.as_path())? {
            return Err(ControlError::NameInUse {
                path: path.as_path().to_owned(),
            });
        }
        let (listener, identity) =
            open_listener(path.as_path()).map_err(|source| ControlError::Listen {
                path: path.as_path().to_owned(),
                source,
            })?;
        Ok(Self {
            listener,
            path,
            identity,
        })
    }

    /// Where it listens.
    pub fn path(&self) -> &SocketPath {
        &self.path
    }

    /// Takes the next waiting connection, in non-blocking mode; `WouldBlock` when there is none.
    pub(super) fn accept(&self) -> io::Result<UnixStream> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        Ok(accept_with(&self.listener, flags)?.into())
    }
}

impl AsFd for ControlSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let path = self.path.as_path();
        if file_identity(path).is_ok_and(|identity| identity == self.identity)
            && let Err(error) = std::fs::remove_file(path)
        {
            log::warn!(
                "cannot remove the control socket {}: {error}",
                path.display()
            );
        }
    }
}

/// Removes a socket if no monitor listens on it any more; returns whether it is gone.
///
/// # Errors
/// If the directory cannot be locked, or a dead socket not be removed.
pub fn remove_if_dead(path: &SocketPath) -> Result<bool, ControlError> {
    let _lock = DirectoryLock::take(path.directory())?;
    make_way(path.as_path())
}

/// Removes a dead socket; false if a living monitor listens on it. The directory must be locked.
fn make_way(path: &Path) -> Result<bool, ControlError> {
    let failed = |source| ControlError::Connect {
        path: path.to_owned(),
        source,
    };
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(failed(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(ControlError::NotASocket {
                path: path.to_owned(),
            });
        }
        Ok(_) => {}
    }
    match try_connect(path) {
        // A full backlog belongs to a monitor that is busy, not dead.
        Ok(()) | Err(Errno::AGAIN) => Ok(false),
        Err(Errno::CONNREFUSED) => {
            std::fs::remove_file(path)
                .map(|()| true)
                .map_err(|source| ControlError::Remove {
                    path: path.to_owned(),
                    source,
                })
        }
        Err(errno) => Err(failed(errno.into())),
    }
}

/// Connects without waiting, only to see whether somebody listens.
fn try_connect(path: &Path) -> Result<(), Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)
}

/// Nobody can connect before `listen`, so the mode is right before anyone could use the socket.
fn open_listener(path: &Path) -> io::Result<(OwnedFd, FileIdentity)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let listener = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    bind(&listener, &SocketAddrUnix::new(path)?)?;
    chmod(path, Mode::RUSR | Mode::WUSR)?;
    listen(&listener, BACKLOG)?;
    Ok((listener, file_identity(path)?))
}

fn file_identity(path: &Path) -> io::Result<FileIdentity> {
    let metadata = std::fs::symlink_metadata(path)?;
    Ok(FileIdentity {
        device: metadata.dev(),
        inode: metadata.ino(),
        made_s: metadata.mtime(),
        made_ns: metadata.mtime_nsec(),
    })
}

fn create_directory(path: &Path) -> Result<(), ControlError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(ControlError::CreateDirectory {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Keeps other monitors from changing the sockets of a directory while it lives.
struct DirectoryLock {
    _directory: File,
}

impl DirectoryLock {
    fn take(path: &Path) -> Result<Self, ControlError> {
        let failed = |source| ControlError::LockDirectory {
            path: path.to_owned(),
            source,
        };
        let directory = File::open(path).map_err(failed)?;
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    return Ok(Self {
                        _directory: directory,
                    });
                }
                Err(Errno::WOULDBLOCK) if Instant::now() < deadline => thread::sleep(LOCK_RETRY),
                Err(Errno::WOULDBLOCK) => {
                    return Err(ControlError::DirectoryBusy {
                        path: path.to_owned(),
                    });
                }
                Err(errno) => return Err(failed(errno.into())),
            }
        }
    }
}

#[cfg(test)]
mod tests;
