//! The listening end of a control socket: made so that two monitors never share a path, and removed with its owner.

use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use devices::local_socket::{self, DirectoryLock, Occupant, SocketFile};

use super::{ControlError, SocketPath};

/// A listening control socket; its file is removed when it is dropped.
#[derive(Debug)]
pub struct ControlSocket {
    listener: OwnedFd,
    path: SocketPath,
    _file: SocketFile,
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
        let _lock = lock(path.directory())?;
        if !make_way(path.as_path())? {
            return Err(ControlError::NameInUse {
                path: path.as_path().to_owned(),
            });
        }
        let (listener, file) =
            local_socket::listen(path.as_path()).map_err(|source| ControlError::Listen {
                path: path.as_path().to_owned(),
                source,
            })?;
        Ok(Self {
            listener,
            path,
            _file: file,
        })
    }

    /// Where it listens.
    pub fn path(&self) -> &SocketPath {
        &self.path
    }

    /// Takes the next waiting connection, in non-blocking mode; `WouldBlock` when there is none.
    pub(super) fn accept(&self) -> io::Result<UnixStream> {
        local_socket::accept(&self.listener)
    }
}

impl AsFd for ControlSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

/// Removes a socket if no monitor listens on it any more; returns whether it is gone.
///
/// # Errors
/// If the directory cannot be locked, or a dead socket not be removed.
pub fn remove_if_dead(path: &SocketPath) -> Result<bool, ControlError> {
    let _lock = lock(path.directory())?;
    make_way(path.as_path())
}

/// Removes a dead socket; false if a living monitor listens on it. The directory must be locked.
fn make_way(path: &Path) -> Result<bool, ControlError> {
    let occupant = Occupant::of(path).map_err(|source| ControlError::Connect {
        path: path.to_owned(),
        source,
    })?;
    match occupant {
        Occupant::Nobody => Ok(true),
        Occupant::Alive => Ok(false),
        Occupant::NoSocket => Err(ControlError::NotASocket {
            path: path.to_owned(),
        }),
        Occupant::Dead => {
            std::fs::remove_file(path)
                .map(|()| true)
                .map_err(|source| ControlError::Remove {
                    path: path.to_owned(),
                    source,
                })
        }
    }
}

fn lock(directory: &Path) -> Result<DirectoryLock, ControlError> {
    DirectoryLock::take(directory).map_err(|source| {
        let path = directory.to_owned();
        match source.kind() {
            io::ErrorKind::WouldBlock => ControlError::DirectoryBusy { path },
            _ => ControlError::LockDirectory { path, source },
        }
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

#[cfg(test)]
mod tests;
