//! What TCP is asked for and tells beyond what safe wrappers have.
#![expect(
    unsafe_code,
    reason = "no safe wrapper has the options TCP_NOTSENT_LOWAT and TCP_INFO"
)]

use std::io;
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::Duration;

use libc::{socklen_t, tcp_info};

/// Keeps the bytes that `stream` takes before it can send them at about `bytes` (tcp(7),
/// `TCP_NOTSENT_LOWAT`). What was sent and not acknowledged does not count, so the rate stays what
/// it is on a long link too.
pub(super) fn limit_unsent(stream: &TcpStream, bytes: u32) -> io::Result<()> {
    let length = socklen_t::try_from(size_of_val(&bytes)).expect("a number is short");
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
    outcome(result)
}

/// The shortest time that an acknowledgement has taken (tcp(7), `TCP_INFO`); zero if the kernel
/// does not tell (before Linux 4.9).
pub(super) fn shortest_round_trip(stream: &TcpStream) -> io::Result<Duration> {
    let mut info = MaybeUninit::<tcp_info>::zeroed();
    let mut length = socklen_t::try_from(size_of_val(&info)).expect("the structure is short");
    // SAFETY: the descriptor is open as long as `stream`, which outlives the call, and the kernel
    // writes at most `length` bytes, all of them inside `info`.
    let result = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    outcome(result)?;
    // SAFETY: the structure consists of numbers, each of which was zero before the kernel wrote it.
    let info = unsafe { info.assume_init() };
    // All bits set: not measured.
    let known = Some(info.tcpi_min_rtt).filter(|&us| us != u32::MAX);
    Ok(Duration::from_micros(known.unwrap_or(0).into()))
}

fn outcome(result: libc::c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
