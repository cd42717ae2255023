//! The sockets of the relay: how they are made and how they end.

use std::io::{self, Read};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with, sockopt};

/// What the kernel may hold on each side of the relay, of what is not yet read or not yet
/// acknowledged; it doubles the number to count its own book-keeping.
///
/// Our choice: without a bound it holds up to 32 MiB, and a sender would notice a slow link late.
const KERNEL_BUFFER_BYTES: usize = 128 << 10;

/// A socket that can be connected to, or bound at, an address of that family.
pub(super) fn unconnected(address: SocketAddr, flags: SocketFlags) -> io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = flags | SocketFlags::CLOEXEC;
    Ok(socket_with(family, SocketType::STREAM, flags, None)?)
}

/// Sets what holds for the sockets of both peers: nothing blocks, nothing waits to be sent, and the
/// kernel's buffers are bounded.
pub(super) fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    socket.set_nodelay(true)?;
    sockopt::set_socket_recv_buffer_size(socket, KERNEL_BUFFER_BYTES)?;
    sockopt::set_socket_send_buffer_size(socket, KERNEL_BUFFER_BYTES)?;
    Ok(())
}

/// Makes dropping a socket send a RST.
pub(super) fn reset(socket: &TcpStream) -> io::Result<()> {
    Ok(sockopt::set_socket_linger(socket, Some(Duration::ZERO))?)
}

/// Sends a FIN and makes sure that dropping a socket that does not block sends no RST, as the kernel
/// does if there is something to read. What arrives after the shutdown is answered by a RST, as it is
/// when a peer closes.
pub(super) fn finish(mut socket: &TcpStream) {
    if socket.shutdown(Shutdown::Both).is_ok() {
        let mut unread = [0; 16 << 10];
        while socket.read(&mut unread).is_ok_and(|count| count > 0) {}
    }
}
