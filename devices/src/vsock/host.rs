//! The host's side: the sockets at which programs find the guest, and the guest finds programs.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{Mode, chmod};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen,
    socket_with,
};

use super::VsockError;

/// Programs that may wait to be let in. Our choice.
const BACKLOG: i32 = 64;

/// The longest path: what a socket's name has room for, less what we append to it: `_` and the number of a
/// port.
const MAX_PATH_BYTES: usize = 107 - 11;

/// The socket of one guest on this host. Its file is removed when it is dropped, or withdrawn.
#[derive(Debug)]
pub struct VsockListener {
    path: PathBuf,
    listener: OwnedFd,
    file: Mutex<File>,
}

/// Where the file of the socket is.
#[derive(Debug)]
enum File {
    /// Beside its place, which another may have.
    Beside(PathBuf),
    /// In its place.
    There(Identity),
    /// Nowhere any more.
    Removed,
}

/// Tells the file from a successor's, which may have been given the same inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    made: (i64, i64),
}

impl VsockListener {
    /// Listens at `path` for the programs that want to talk to a guest that boots. Only the user of this
    /// process may connect (mode 0600).
    ///
    /// # Errors
    /// Somebody else listens there, or something else is there, or the kernel refuses.
    pub fn new(path: &Path) -> Result<Self, VsockError> {
        let listener = Self::beside(path)?;
        if is_alive(path) {
            return Err(VsockError::InUse { path: path.into() });
        }
        listener.take_place()?;
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
        let listener = open_listener(&beside).map_err(failed(path))?;
        Ok(Self {
            path: path.into(),
            listener,
            file: Mutex::new(File::Beside(beside)),
        })
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
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let File::Beside(beside) = &*file else {
            return Ok(());
        };
        check_kind(&self.path)?;
        let moved = fs::symlink_metadata(beside)
            .and_then(|metadata| fs::rename(beside, &self.path).map(|()| metadata));
        let metadata = moved.map_err(failed(&self.path))?;
        *file = File::There(Identity::of(&metadata));
        Ok(())
    }

    /// Removes its file, unless another has taken its place.
    pub(super) fn withdraw(&self) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let ours = match std::mem::replace(&mut *file, File::Removed) {
            File::Beside(path) => Some(path),
            File::There(identity) => {
                let found = fs::symlink_metadata(&self.path);
                let is_ours = found.is_ok_and(|found| Identity::of(&found) == identity);
                is_ours.then(|| self.path.clone())
            }
            File::Removed => None,
        };
        if let Some(path) = ours
            && let Err(error) = fs::remove_file(&path)
        {
            log::warn!("cannot remove the socket {}: {error}", path.display());
        }
    }

    /// Lets the next program in that waits, if one does.
    pub(super) fn accept(&self) -> io::Result<UnixStream> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        Ok(accept_with(&self.listener, flags)?.into())
    }

    /// Connects to the program that listens for this port of the host. It does not wait for one whose
    /// queue is full.
    pub(super) fn connect(&self, port: u32) -> io::Result<UnixStream> {
        let path = appended(&self.path, &format!("_{port}"));
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        connect(&socket, &SocketAddrUnix::new(path)?)?;
        Ok(socket.into())
    }
}

impl AsFd for VsockListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for VsockListener {
    fn drop(&mut self) {
        self.withdraw();
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

/// Nobody can connect before it listens, so the mode is right before anyone could use the socket. What is
/// in the way was left by a process that had the number of this one.
fn open_listener(path: &Path) -> io::Result<OwnedFd> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let listener = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    bind(&listener, &SocketAddrUnix::new(path)?)?;
    chmod(path, Mode::RUSR | Mode::WUSR)?;
    listen(&listener, BACKLOG)?;
    Ok(listener)
}

/// Refuses a path that has something else than a socket.
fn check_kind(path: &Path) -> Result<(), VsockError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => {
            Err(VsockError::NoSocket { path: path.into() })
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(path)(error)),
        _ => Ok(()),
    }
}

/// Whether somebody listens there; a full queue is somebody's who is busy.
fn is_alive(path: &Path) -> bool {
    let try_connect = || {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        connect(&socket, &SocketAddrUnix::new(path)?)
    };
    matches!(try_connect(), Ok(()) | Err(Errno::AGAIN))
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
