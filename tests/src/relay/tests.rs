//! Relays at work between sockets of this process.
//!
//! What takes time is only ever checked for being late enough, never for being early enough.

mod door;
mod faults;
mod flow;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use super::{Plan, Relay, Stats};

/// When a test has failed. It has to be longer than anything takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(20);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A server that the test plays itself, and a relay to it.
struct Network {
    server: TcpListener,
    relay: Relay,
}

impl Network {
    fn new(plan: Plan) -> Self {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let relay = Relay::start(server.local_addr().unwrap(), plan).unwrap();
        Self { server, relay }
    }

    /// A client and the server's end of its connection.
    fn connect(&self) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(self.relay.address()).unwrap();
        let (server, _) = self.server.accept().unwrap();
        for socket in [&client, &server] {
            socket.set_read_timeout(Some(DEADLINE)).unwrap();
            socket.set_write_timeout(Some(DEADLINE)).unwrap();
        }
        (client, server)
    }

    fn wait_until(&self, condition: impl FnMut(&Stats) -> bool) -> Stats {
        self.relay.wait_until(DEADLINE, condition).unwrap()
    }
}

/// Bytes without a period that a mistake could hide behind.
fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|index| (index.wrapping_mul(2_654_435_761) >> 7).to_le_bytes()[0])
        .collect()
}

/// Reads until the end; returns what came and whether the end was a FIN.
fn read_to_end(mut socket: &TcpStream) -> (Vec<u8>, io::Result<()>) {
    let mut bytes = Vec::new();
    let end = socket.read_to_end(&mut bytes).map(|_| ());
    (bytes, end)
}

/// Reads so many bytes.
fn read(mut socket: &TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    socket.read_exact(&mut bytes).unwrap();
    bytes
}

/// Writes until the socket does not take more for a while, or is broken.
fn write_until_stuck(mut socket: &TcpStream, patience: Duration) -> (u64, ErrorKind) {
    socket.set_write_timeout(Some(patience)).unwrap();
    let mut total = 0;
    loop {
        match socket.write(&[0; 4096]) {
            Ok(count) => total += u64::try_from(count).unwrap(),
            Err(error) => return (total, error.kind()),
        }
    }
}

/// Whether the peer has reset the connection; waits for it to do so.
fn is_reset(socket: &TcpStream) -> bool {
    let (_, end) = read_to_end(socket);
    end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
}

/// An address where nobody listens.
fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}
