//! Who may run a guest on an image: locks of open file descriptions (fcntl(2), F_OFD_SETLK), which
//! network file systems keep between hosts.
//!
//! Two bytes of the image are locked, for themselves if the disk is written, shared if it is only read:
//!
//! | byte | is locked by |
//! |---|---|
//! | 0 | the owner: whoever booted the VM, until it ends or has moved away |
//! | 1 | the heir: the destination of a move, from before the hand-over until it is the owner |
//!
//! A new VM has to lock both, and then keeps the owner's. A destination locks the heir's while the
//! source still has its own, and so a failure at any moment needs nothing to be taken back: the source
//! is the owner all along. Which of the two runs the guest, the token of the migration decides; the
//! locks keep everybody else away, without a gap.
#![expect(
    unsafe_code,
    reason = "fcntl of libc; rustix has no locks of open files"
)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use super::Access;

/// What of an image is held. Our choice of bytes: QEMU's are from 100 and from 200 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The owner's.
    Owner,
    /// The heir's.
    Heir,
}

impl Hold {
    fn byte(self) -> libc::off_t {
        match self {
            Self::Owner => 0,
            Self::Heir => 1,
        }
    }
}

/// Locks a byte; `false` if somebody else has it.
pub(super) fn lock(file: &File, hold: Hold, access: Access) -> io::Result<bool> {
    let kind = match access {
        Access::ReadOnly => libc::F_RDLCK,
        Access::ReadWrite => libc::F_WRLCK,
    };
    match set(file, hold, kind) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        // The other way in which systems say it (fcntl(2)).
        Err(error) if error.raw_os_error() == Some(libc::EACCES) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Lets go of a byte, locked or not.
pub(super) fn unlock(file: &File, hold: Hold) -> io::Result<()> {
    set(file, hold, libc::F_UNLCK)
}

fn set(file: &File, hold: Hold, kind: libc::c_int) -> io::Result<()> {
    let to_short =
        |value: libc::c_int| libc::c_short::try_from(value).expect("it is a small number");
    let lock = libc::flock {
        l_type: to_short(kind),
        l_whence: to_short(libc::SEEK_SET),
        l_start: hold.byte(),
        l_len: 1,
        l_pid: 0,
    };
    // SAFETY: the descriptor is open as long as `file` is borrowed, and the kernel only reads the
    // structure, which lives until the call returns.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
