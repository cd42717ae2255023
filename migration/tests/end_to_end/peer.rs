//! The protocol by hand: a peer that does whatever a test wants, written from the description of
//! the bytes and not with the code that is tested.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Kinds of frames.
pub const HELLO: u16 = 1;
pub const ACCEPT: u16 = 2;
pub const REFUSE: u16 = 3;
pub const ATTACH: u16 = 4;
pub const STATE: u16 = 5;
pub const READY: u16 = 6;
pub const RUN: u16 = 7;
pub const RUNNING: u16 = 8;
pub const WANT: u16 = 9;
pub const PAGES: u16 = 10;
pub const ABSENT: u16 = 11;
pub const DRAINED: u16 = 12;
pub const COMPLETE: u16 = 13;
pub const FAILED: u16 = 14;
pub const RECOVER: u16 = 19;
pub const STANDING: u16 = 20;
pub const MISSING: u16 = 21;
pub const CHALLENGE: u16 = 32;
pub const PROOF: u16 = 33;

/// Purposes of connections.
pub const ANSWER: u32 = 0;
pub const MIGRATE: u32 = 1;
pub const TO_ATTACH: u32 = 2;
pub const TO_RECOVER: u32 = 4;

/// A connection.
pub struct Peer(pub TcpStream);

impl Peer {
    pub fn connect(address: SocketAddr, purpose: u32) -> Self {
        let mut peer = Self(TcpStream::connect(address).unwrap());
        // A test that goes wrong must not hang.
        peer.0
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        peer.preamble(3, purpose);
        peer
    }

    /// The same for a peer that has a key: the upper half of the purpose says so.
    pub fn connect_with_key(address: SocketAddr, purpose: u32) -> Self {
        Self::connect(address, purpose | 1 << 16)
    }

    pub fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        Self(stream)
    }

    /// Its own address, by which the other end knows it.
    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// Sends what it can: the other end may have hung up.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes);
    }

    pub fn preamble(&mut self, version: u32, purpose: u32) {
        let mut bytes = b"skiffmov".to_vec();
        bytes.extend(version.to_le_bytes());
        bytes.extend(purpose.to_le_bytes());
        self.send(&bytes);
    }

    pub fn header(&mut self, kind: u16, length: u32) {
        let mut bytes = kind.to_le_bytes().to_vec();
        bytes.extend([0, 0]);
        bytes.extend(length.to_le_bytes());
        self.send(&bytes);
    }

    pub fn frame(&mut self, kind: u16, payload: &[u8]) {
        self.header(kind, payload.len().try_into().unwrap());
        self.send(payload);
    }

    pub fn numbers(&mut self, kind: u16, numbers: &[u64]) {
        let payload: Vec<u8> = numbers
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect();
        self.frame(kind, &payload);
    }

    pub fn read<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    pub fn skip_preamble(&mut self) {
        assert_eq!(self.read::<16>()[..8], *b"skiffmov");
    }

    /// The next frame, which must be of this kind.
    pub fn expect(&mut self, kind: u16) -> Vec<u8> {
        let [k0, k1, _, _, length @ ..] = self.read::<8>();
        let mut payload = vec![0; u32::from_le_bytes(length).try_into().unwrap()];
        self.0.read_exact(&mut payload).unwrap();
        assert_eq!(
            u16::from_le_bytes([k0, k1]),
            kind,
            "{}",
            String::from_utf8_lossy(&payload)
        );
        payload
    }

    /// Reads until the other end closes or resets the connection.
    pub fn drain(&mut self) {
        let mut sink = [0; 4096];
        while matches!(self.0.read(&mut sink), Ok(1..)) {}
    }
}

/// A destination by hand: `script` gets its listener.
pub fn destination(
    script: impl FnOnce(TcpListener) + Send + 'static,
) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (address, thread::spawn(move || script(listener)))
}

/// Plays a destination up to its acceptance of the VM; gives control, urgent, background.
pub fn accept_vm(listener: &TcpListener) -> [Peer; 3] {
    let mut control = Peer::accept(listener);
    control.skip_preamble();
    control.preamble(3, ANSWER);
    control.expect(HELLO);
    control.frame(ACCEPT, &[7; 16]);
    let pages = [(); 2].map(|()| {
        let mut pages = Peer::accept(listener);
        pages.skip_preamble();
        assert_eq!(pages.expect(ATTACH)[..16], [7; 16]);
        pages
    });
    let [urgent, background] = pages;
    [control, urgent, background]
}

/// Plays a source up to the acceptance of its VM; gives control, urgent, background.
///
/// The VM has `pages` pages in one region, is named "x", has one vCPU and no demands.
pub fn offer_vm(address: SocketAddr, mode: u8, pages: u64) -> [Peer; 3] {
    offer_vm_in_session(address, mode, pages).0
}

/// The same; gives the session as well.
pub fn offer_vm_in_session(address: SocketAddr, mode: u8, pages: u64) -> ([Peer; 3], Vec<u8>) {
    let mut control = Peer::connect(address, MIGRATE);
    control.frame(HELLO, &hello(mode, pages));
    control.skip_preamble();
    let session = control.expect(ACCEPT);
    let [urgent, background] = attach_both(address, &session, 0);
    ([control, urgent, background], session)
}

/// Opens the page connections of a lap: urgent, background.
pub fn attach_both(address: SocketAddr, session: &[u8], lap: u16) -> [Peer; 2] {
    [1u16, 2].map(|role| {
        let mut pages = Peer::connect(address, TO_ATTACH);
        pages.frame(ATTACH, &attach(session, role, lap));
        pages
    })
}

/// The payload of an `Attach`.
pub fn attach(session: &[u8], role: u16, lap: u16) -> Vec<u8> {
    [session, &role.to_le_bytes(), &lap.to_le_bytes()].concat()
}

/// The payload of a `Pages` frame, but for a digest that fits its content.
pub fn pages(first: u64, content: &[u8]) -> Vec<u8> {
    let count = u64::try_from(content.len().div_ceil(4096)).unwrap();
    let mut payload = [first, count, 0, 0].map(u64::to_le_bytes).concat();
    payload.extend(content);
    payload
}

/// Post-copy, as it stands in a `Hello`.
pub const POST_COPY: u8 = 0;
/// Stop-and-copy, as it stands in a `Hello`.
pub const STOP_AND_COPY: u8 = 1;

/// The payload of a `Hello` with one stream.
pub fn hello(mode: u8, pages: u64) -> Vec<u8> {
    let pages = u8::try_from(pages).unwrap();
    assert!(pages < 128, "a number of this encoding that fits one byte");
    // mode, streams, name, regions (first, pages), vCPUs, machine
    vec![mode, 1, 1, b'x', 1, 0, pages, 1, 0]
}

/// Passes the control connection of a source with a key on to a destination, up to the acceptance,
/// which is kept from the source; gives the session and both ends.
pub fn relay_until_accept(near: TcpStream, far: TcpStream) -> ([u8; 16], [Peer; 2]) {
    let (mut near, mut far) = (Peer(near), Peer(far));
    far.send(&near.read::<16>());
    far.frame(CHALLENGE, &near.expect(CHALLENGE));
    near.send(&far.read::<16>());
    near.frame(CHALLENGE, &far.expect(CHALLENGE));
    far.frame(PROOF, &near.expect(PROOF));
    near.frame(PROOF, &far.expect(PROOF));
    far.frame(HELLO, &near.expect(HELLO));
    let session = far.expect(ACCEPT).try_into().unwrap();
    (session, [near, far])
}
