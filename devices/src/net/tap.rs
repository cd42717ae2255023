//! A TAP interface of the host: frames are read from and written to a file descriptor, each with a
//! header before it (Linux Documentation/networking/tuntap.rst).
#![expect(
    unsafe_code,
    reason = "ioctls of the driver tun, and system calls on raw pieces of guest memory"
)]

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::str::FromStr;

use libc::{c_char, c_int, c_short, c_uint};
use serde::{Deserialize, Serialize};
use vm_memory::bitmap::Bitmap;

use super::config::HEADER_BYTES;
use super::link::LinkWatch;
#[cfg(test)]
use super::link::switch::LinkSwitch;
use super::{Link, TapError};
use crate::pieces::{MAX_PIECES, Slice, count_of, iovecs};

/// Frames that an interface can be expected to have kept: some times its usual queue of 1000. Our choice.
const MOST_FORGOTTEN: u32 = 10_000;

/// Where interfaces are lent.
const TUN: &str = "/dev/net/tun";

/// The name of a network interface of the host: 1 to 15 printable ASCII characters without `/`, `:` and
/// `,`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InterfaceName(String);

/// A text that no interface can have as its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no name of a network interface: it takes 1 to 15 letters, digits or signs such as - and _"
)]
pub struct NoInterfaceName;

impl InterfaceName {
    /// The longest name (IFNAMSIZ, which counts a zero at the end).
    const MAX_BYTES: usize = libc::IFNAMSIZ - 1;

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is such an interface in the network namespace of this process.
    fn is_here(&self) -> bool {
        let name = self.request();
        // SAFETY: it is a string with a zero at its end, which lives until the call returns.
        unsafe { libc::if_nametoindex(name.as_ptr()) != 0 }
    }

    /// As the kernel wants it.
    fn request(&self) -> [c_char; libc::IFNAMSIZ] {
        let mut name = [0; libc::IFNAMSIZ];
        for (to, from) in name.iter_mut().zip(self.0.bytes()) {
            *to = c_char::from_ne_bytes([from]);
        }
        name
    }
}

impl TryFrom<String> for InterfaceName {
    type Error = NoInterfaceName;

    fn try_from(text: String) -> Result<Self, NoInterfaceName> {
        let is_usual = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':' | b',');
        let is_name = (1..=Self::MAX_BYTES).contains(&text.len())
            && text.bytes().all(is_usual)
            && !matches!(text.as_str(), "." | "..");
        is_name.then_some(Self(text)).ok_or(NoInterfaceName)
    }
}

impl From<InterfaceName> for String {
    fn from(name: InterfaceName) -> Self {
        name.0
    }
}

impl FromStr for InterfaceName {
    type Err = NoInterfaceName;

    fn from_str(text: &str) -> Result<Self, NoInterfaceName> {
        text.to_owned().try_into()
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What the host's kernel may leave to a driver: TUN_F_CSUM and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offloads(pub(super) c_uint);

/// An interface that this process has, and nobody else.
#[derive(Debug)]
pub struct Tap {
    name: InterfaceName,
    descriptor: OwnedFd,
    far_end: FarEnd,
}

/// Who takes the frames.
#[derive(Debug)]
enum FarEnd {
    /// It tells when the interface goes up or down.
    Kernel(LinkWatch),
    /// A test, by a socket that keeps frames apart. The link is up.
    #[cfg(any(test, fuzzing, feature = "test-utils"))]
    Socket,
    /// The same with a link that the test sets.
    #[cfg(test)]
    Switched(LinkSwitch),
}

impl Tap {
    /// Attaches to an interface that is there already; what makes it one of a network, its addresses or
    /// its bridge, is its user's.
    ///
    /// # Errors
    /// There is none, or it cannot be had.
    pub fn open(name: &InterfaceName) -> Result<Self, TapError> {
        // The ioctl would make an interface of that name, which nobody would ever connect to anything.
        if !name.is_here() {
            return Err(TapError::Absent { name: name.clone() });
        }
        let tun = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(TUN)
            .map_err(|source| TapError::NoTun {
                name: name.clone(),
                source,
            })?;
        attach(&tun, name).map_err(|source| match source.raw_os_error() {
            Some(libc::EBUSY) => TapError::InUse { name: name.clone() },
            _ => TapError::Attach {
                name: name.clone(),
                source,
            },
        })?;
        // A descriptor without an interface would never wake who waits.
        let watch = LinkWatch::of_tap(tun.as_fd()).map_err(|source| TapError::Watch {
            name: name.clone(),
            source,
        })?;
        Ok(Self {
            name: name.clone(),
            descriptor: tun.into(),
            far_end: FarEnd::Kernel(watch),
        })
    }

    /// One end of a socket pair that keeps frames apart, in place of an interface.
    #[cfg(any(test, fuzzing, feature = "test-utils"))]
    #[must_use]
    pub fn of_socket(descriptor: OwnedFd) -> Self {
        Self {
            name: InterfaceName("socket".to_owned()),
            descriptor,
            far_end: FarEnd::Socket,
        }
    }

    /// The same with a link that goes up and down.
    #[cfg(test)]
    pub(super) fn of_socket_with_link(descriptor: OwnedFd, link: LinkSwitch) -> Self {
        Self {
            far_end: FarEnd::Switched(link),
            ..Self::of_socket(descriptor)
        }
    }

    /// The interface.
    #[must_use]
    pub fn name(&self) -> &InterfaceName {
        &self.name
    }

    /// Whether it is up.
    #[must_use]
    pub fn link(&self) -> Link {
        match &self.far_end {
            FarEnd::Kernel(_) => Link::of_tap(self.as_fd()),
            #[cfg(any(test, fuzzing, feature = "test-utils"))]
            FarEnd::Socket => Link::Up,
            #[cfg(test)]
            FarEnd::Switched(switch) => switch.link(),
        }
    }

    /// What tells that this may have changed, if it can.
    pub(super) fn link_watch(&self) -> Option<&LinkWatch> {
        match &self.far_end {
            FarEnd::Kernel(watch) => Some(watch),
            #[cfg(any(test, fuzzing, feature = "test-utils"))]
            FarEnd::Socket => None,
            #[cfg(test)]
            FarEnd::Switched(switch) => Some(switch.watch()),
        }
    }

    /// Says what frames that are read may leave undone.
    pub(super) fn set_offloads(&self, offloads: Offloads) -> io::Result<()> {
        match self.far_end {
            FarEnd::Kernel(_) => {
                let Offloads(bits) = offloads;
                // SAFETY: TUNSETOFFLOAD takes a number, and no pointer.
                let done = unsafe {
                    libc::ioctl(self.raw(), libc::TUNSETOFFLOAD, libc::c_ulong::from(bits))
                };
                check(done)
            }
            #[cfg(any(test, fuzzing, feature = "test-utils"))]
            FarEnd::Socket => Ok(()),
            #[cfg(test)]
            FarEnd::Switched(_) => Ok(()),
        }
    }

    /// Reads one frame, with its header, into `room` of less than [`MAX_PIECES`], and says how long it is: longer than the room if
    /// some of it did not fit. Nothing is there if there is no frame. What was written is marked as dirty.
    pub(super) fn receive(&self, room: &[Slice<'_>]) -> io::Result<Option<usize>> {
        let mut spill = [0_u8; 16];
        debug_assert!(room.len() < MAX_PIECES, "one more follows");
        let mut pieces = iovecs(room);
        pieces.push(libc::iovec {
            iov_base: spill.as_mut_ptr().cast(),
            iov_len: spill.len(),
        });
        let (count, fd) = (count_of(&pieces), self.raw());
        // SAFETY: the pieces are guest memory that stays mapped as long as `room` is borrowed, into which
        // no reference points, and `spill`, of which no other reference is in use.
        let read = again(|| unsafe { libc::readv(fd, pieces.as_ptr(), count) })?;
        let mut left = read.unwrap_or(0);
        for slice in room {
            let here = left.min(slice.len());
            slice.bitmap().mark_dirty(0, here);
            left -= here;
        }
        Ok(read)
    }

    /// Throws away the frames that are there; not for ever, if they come faster than that.
    pub(super) fn forget(&self) {
        for _ in 0..MOST_FORGOTTEN {
            // What cannot be read now is told of when it is received.
            if !matches!(self.receive(&[]), Ok(Some(_))) {
                return;
            }
        }
    }

    /// Writes one frame, with its header; says whether it was taken.
    pub(super) fn send(&self, frame: &[Slice<'_>]) -> io::Result<bool> {
        let pieces = iovecs(frame);
        let (count, fd) = (count_of(&pieces), self.raw());
        // SAFETY: the pieces are guest memory that stays mapped as long as `frame` is borrowed; the kernel
        // only reads them.
        let sent = again(|| unsafe { libc::writev(fd, pieces.as_ptr(), count) })?;
        Ok(sent.is_some())
    }

    /// Writes a frame of the device's own, with its header.
    pub(super) fn speak(&self, frame: &[u8]) -> io::Result<()> {
        rustix::io::write(self, frame)?;
        Ok(())
    }

    fn raw(&self) -> c_int {
        self.descriptor.as_raw_fd()
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Makes `tun` the interface of that name.
fn attach(tun: &File, name: &InterfaceName) -> io::Result<()> {
    let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
    let request = libc::ifreq {
        ifr_name: name.request(),
        ifr_ifru: libc::__c_anonymous_ifr_ifru {
            ifru_flags: c_short::try_from(flags).expect("the flags have 15 bits"),
        },
    };
    let tun = tun.as_raw_fd();
    // SAFETY: the request is an `ifreq`, as TUNSETIFF expects, and lives until the call returns.
    let done = unsafe { libc::ioctl(tun, libc::TUNSETIFF, &raw const request) };
    check(done)?;
    let header_bytes = c_int::try_from(HEADER_BYTES).expect("it is small");
    // SAFETY: TUNSETVNETHDRSZ reads an int, which lives until the call returns.
    let done = unsafe { libc::ioctl(tun, libc::TUNSETVNETHDRSZ, &raw const header_bytes) };
    check(done)
}

fn check(done: c_int) -> io::Result<()> {
    match done {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Repeats a call that a signal interrupts; nothing is what would have to wait.
fn again(call: impl Fn() -> libc::ssize_t) -> io::Result<Option<usize>> {
    loop {
        if let Ok(bytes) = usize::try_from(call()) {
            return Ok(Some(bytes));
        }
        let error = io::Error::last_os_error();
        match error.kind() {
            io::ErrorKind::Interrupted => {}
            io::ErrorKind::WouldBlock => return Ok(None),
            _ => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_that_an_interface_can_have_is_taken_and_another_refused() {
        for name in ["tap0", "a", "skiff-web_1.5@x", "exactly15chars_"] {
            assert_eq!(name.parse::<InterfaceName>().unwrap().to_string(), name);
        }
        for name in [
            "",
            ".",
            "..",
            "a/b",
            "a:b",
            "a,b",
            "a b",
            "ü",
            "sixteen_chars_xx",
        ] {
            assert_eq!(
                name.parse::<InterfaceName>(),
                Err(NoInterfaceName),
                "{name}"
            );
        }
    }

    #[test]
    fn interface_that_is_not_there_is_not_made() {
        let name: InterfaceName = "skiff-no-such".parse().unwrap();
        let error = Tap::open(&name).unwrap_err();
        assert!(matches!(error, TapError::Absent { .. }), "{error}");
        assert!(error.remedy().contains("ip tuntap add dev skiff-no-such"));
        assert!(!name.is_here());
    }

    #[test]
    fn interface_that_is_no_tap_is_refused() {
        let error = Tap::open(&"lo".parse().unwrap()).unwrap_err();
        let is_refused = matches!(error, TapError::Attach { .. } | TapError::NoTun { .. });
        assert!(is_refused, "{error}");
    }
}
