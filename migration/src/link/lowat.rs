//! How much a connection may hold in this kernel before it was given to the wire.
#![expect(
    unsafe_code,
    reason = "no safe wrapper has the option TCP_NOTSENT_LOWAT"
)]

use std::io;
use std::net::TcpStream;
use std::os::fd::AsRawFd;

/// Keeps the bytes that `stream` takes before it can send them at about `bytes` (tcp(7),
/// `TCP_NOTSENT_LOWAT`). What was sent and not acknowledged does not count, so the rate stays what
/// it is on a long link too.
pub(super) fn limit_unsent(stream: &TcpStream, bytes: u32) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of_val(&bytes)).expect("a number is short");
    // SAFETY: the descriptor is open as long as `stream`, which outlives the call, and the value
    // is a readable number of the length that is given with it.
    let result = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_NOTSENT_LOWAT,
            (&raw const bytes).cast(),
            length,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
