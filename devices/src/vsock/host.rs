//! The host's side: the sockets at which programs find the guest, and the guest finds programs.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Mutex, PoisonError};

use super::VsockError;
use crate::local_socket::{self, DirectoryLock, Occupant, SocketFile};

/// The longest path: what a socket's name has room for, less what we append to it: `_` and the number of a
/// port.
const MAX_PATH_BYTES: usize = 107 - 11;

/// The socket of one guest on this host. Its file is removed when it is dropped, or withdrawn.
#[derive(Debug)]
pub struct VsockListener {
    path: PathBuf,
    listener: OwnedFd,
    /// In its place or beside it, which another may have; nothing once it is withdrawn.
    file: Mutex<Option<(SocketFile, Place)>>,
}

/// Where the file of the socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Beside,
    There,
}

impl VsockListener {
    /// Listens at `path` for the programs that want to talk to a guest that boots. Only the user of this
    /// process may connect (mode 0600).
    ///
    /// # Errors
    /// Somebody else listens there, or something else is there, or the kernel refuses.
    pub fn new(path: &Path) -> Result<Self, VsockError> {
        let listener = Self::beside(path)?;
        listener.replace(|path| match Occupant::of(path).map_err(failed(path))? {
            Occupant::Alive => Err(VsockError::InUse { path: path.into() }),
            Occupant::NoSocket => Err(VsockError::NoSocket { path: path.into() }),
            Occupant::Nobody | Occupant::Dead => Ok(()),
        })?;
        Ok(listener)
    }

    /// The same for a guest that comes from elsewhere: it takes its place at the path by
    /// [`settle_in`](super::VsockHandle::settle_in), even from another that listens there, which may be the
    /// one it comes from.
    ///
    /// # Errors
    /// As for [`Self::new`].
    pub fn beside(path: &Path) -> Result<Self, VsockError> {
        if path.as_os_str().len() > MAX_PATH_BYTES {
            return Err(VsockError::TooLong {
                path: path.into(),
                limit_bytes: MAX_PATH_BYTES,
            });
        }
        check_kind(path)?;
        let beside = appended(path, &format!("~{}", process::id()));
        // What is in the way was left by a process that had the number of this one.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed(path)(error));
            }
            _ => {}
        }
        let (listener, file) = local_socket::listen(&beside).map_err(failed(path))?;
        Ok(Self {
            path: path.into(),
            listener,
            file: Mutex::new(Some((file, Place::Beside))),
        })
    }

    /// One that listens at `path` already and is its maker's: a fuzz target makes millions of devices, and
    /// not a file for each.
    #[cfg(fuzzing)]
    #[must_use]
    pub fn of_socket(path: &Path, listener: OwnedFd) -> Self {
        Self {
            path: path.into(),
            listener,
            file: Mutex::new(None),
        }
    }

    /// Where programs connect.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes its place, if it has not: programs that connect from now on come here.
    ///
    /// # Errors
    /// Something else is there, or the kernel refuses.
    pub(super) fn take_place(&self) -> Result<(), VsockError> {
        self.replace(check_kind)
    }

    fn replace(
        &self,
        check: impl FnOnce(&Path) -> Result<(), VsockError>,
    ) -> Result<(), VsockError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((file, place @ Place::Beside)) = &mut *file else {
            return Ok(());
        };
        let directory = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        // From the look to the end of the change nobody else makes one.
        let _lock = DirectoryLock::take(directory).map_err(failed(&self.path))?;
        check(&self.path)?;
        file.take_place(&self.path).map_err(failed(&self.path))?;
        *place = Place::There;
        Ok(())
    }

    /// Removes its file, unless another has taken its place.
    pub(super) fn withdraw(&self) {
        self.file
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }

    /// Lets the next program in that waits, if one does.
    pub(super) fn accept(&self) -> io::Result<UnixStream> {
        local_socket::accept(&self.listener)
    }

    /// Connects to the program that listens for this port of the host. It does not wait for one whose
    /// queue is full.
    pub(super) fn connect(&self, port: u32) -> io::Result<UnixStream> {
        local_socket::connect(&appended(&self.path, &format!("_{port}")))
    }
}

impl AsFd for VsockListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

/// Refuses a path that has something else than a socket.
fn check_kind(path: &Path) -> Result<(), VsockError> {
    match local_socket::is_socket(path).map_err(failed(path))? {
        Some(false) => Err(VsockError::NoSocket { path: path.into() }),
        Some(true) | None => Ok(()),
    }
}

fn appended(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn failed(path: &Path) -> impl Fn(io::Error) -> VsockError {
    move |source| VsockError::Listen {
        path: path.into(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<OsString> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    #[test]
    fn socket_is_there_as_long_as_its_owner_and_no_other_takes_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("v.sock");
        let listener = VsockListener::new(&path).unwrap();
        assert_eq!(names(directory.path()), ["v.sock"]);
        let _program = UnixStream::connect(&path).unwrap();
        listener.accept().unwrap();
        assert_eq!(
            listener.accept().unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
        let error = VsockListener::new(&path).unwrap_err();
        assert!(matches!(error, VsockError::InUse { .. }), "{error}");
        assert_eq!(names(directory.path()), ["v.sock"]);
        drop(listener);
        assert!(names(directory.path()).is_empty());
    }

    #[test]
    fn guest_that_comes_takes_the_place_of_the_one_it_comes_from() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("v.sock");
        let source = VsockListener::new(&path).unwrap();
        let here = VsockListener::beside(&path).unwrap();
        let _before = UnixStream::connect(&path).unwrap();
        source.accept().unwrap();
        here.take_place().unwrap();
        let _after = UnixStream::connect(&path).unwrap();
        here.accept().unwrap();
        assert!(source.accept().is_err());
        drop(source);
        assert_eq!(names(directory.path()), ["v.sock"]);
        drop(here);
        assert!(names(directory.path()).is_empty());
    }

    #[test]
    fn dead_socket_is_replaced_and_what_is_no_socket_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("v.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        drop(VsockListener::new(&path).unwrap());
        fs::write(&path, "precious").unwrap();
        for tried in [VsockListener::new(&path), VsockListener::beside(&path)] {
            let error = tried.unwrap_err();
            assert!(matches!(error, VsockError::NoSocket { .. }), "{error}");
        }
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        assert_eq!(names(directory.path()), ["v.sock"]);
    }

    #[test]
    fn path_that_leaves_no_room_for_ports_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x".repeat(96));
        let error = VsockListener::new(&path).unwrap_err();
        assert!(matches!(
            error,
            VsockError::TooLong {
                limit_bytes: 96,
                ..
            }
        ));
        let error = VsockListener::new(&directory.path().join("no/v.sock")).unwrap_err();
        assert!(matches!(error, VsockError::Listen { .. }), "{error}");
    }
}
