//! A relay between a source and a destination that cuts all connections at once, or flips bits.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Relays until it is dropped; its threads end with the connections.
pub struct Cutter {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    inner: Mutex<Inner>,
    /// A bit is flipped after every so many bytes of a connection towards the destination.
    flip_every_bytes: Option<u64>,
    flips: AtomicU64,
}

struct Inner {
    /// Bytes towards the destination until each cut, counted while it is armed; the next one last.
    cuts: Vec<u64>,
    passed_bytes: u64,
    is_armed: bool,
    streams: Vec<TcpStream>,
}

impl Cutter {
    pub fn new(target: SocketAddr, cuts: impl IntoIterator<Item = u64>) -> Self {
        Self::start(target, cuts.into_iter().collect(), None)
    }

    pub fn flipping(target: SocketAddr, every_bytes: u64) -> Self {
        Self::start(target, Vec::new(), Some(every_bytes))
    }

    fn start(target: SocketAddr, mut cuts: Vec<u64>, flip_every_bytes: Option<u64>) -> Self {
        cuts.reverse();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            inner: Mutex::new(Inner {
                cuts,
                passed_bytes: 0,
                is_armed: false,
                streams: Vec::new(),
            }),
            flip_every_bytes,
            flips: AtomicU64::new(0),
        });
        thread::spawn({
            let shared = Arc::downgrade(&shared);
            move || {
                for near in listener.incoming() {
                    let (Some(shared), Ok(near)) = (shared.upgrade(), near) else {
                        return;
                    };
                    // Whoever listens no longer refuses the source this way.
                    if let Ok(far) = TcpStream::connect(target) {
                        shared.connect(near, far);
                    }
                }
            }
        });
        Self { address, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts that were not made.
    pub fn cuts_left(&self) -> usize {
        self.shared.inner.lock().unwrap().cuts.len()
    }

    /// Bits flipped so far.
    pub fn flips(&self) -> u64 {
        self.shared.flips.load(Ordering::SeqCst)
    }

    /// Whether bytes count towards the next cut; one that is due happens at once.
    pub fn arm(&self, is_armed: bool) {
        let mut inner = self.shared.inner.lock().unwrap();
        inner.is_armed = is_armed;
        inner.pass(0);
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        // Wakes the listening thread, which then ends.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn connect(self: &Arc<Self>, near: TcpStream, far: TcpStream) {
        for stream in [&near, &far] {
            stream.set_nodelay(true).unwrap();
            let stream = stream.try_clone().unwrap();
            self.inner.lock().unwrap().streams.push(stream);
        }
        let back = (far.try_clone().unwrap(), near.try_clone().unwrap());
        let shared = Arc::clone(self);
        thread::spawn(move || shared.relay(near, far, Direction::There));
        let shared = Arc::clone(self);
        thread::spawn(move || shared.relay(back.0, back.1, Direction::Back));
    }

    fn relay(&self, mut from: TcpStream, mut to: TcpStream, direction: Direction) {
        let mut buffer = vec![0; 16 << 10];
        let mut position = 0;
        while let Ok(bytes @ 1..) = from.read(&mut buffer) {
            if direction == Direction::There {
                let count = u64::try_from(bytes).unwrap();
                self.flip(&mut buffer[..bytes], position);
                position += count;
                if self.inner.lock().unwrap().pass(count) == Passage::Cut {
                    return;
                }
            }
            if to.write_all(&buffer[..bytes]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    }

    fn flip(&self, bytes: &mut [u8], position: u64) {
        let Some(every) = self.flip_every_bytes else {
            return;
        };
        for (at, byte) in (position..).zip(bytes) {
            if at > 0 && at % every == 0 {
                *byte ^= 4;
                self.flips.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}

impl Inner {
    /// Counts bytes on their way to the destination, and cuts if it is time.
    fn pass(&mut self, bytes: u64) -> Passage {
        let Some(&cut) = self.cuts.last().filter(|_| self.is_armed) else {
            return Passage::Free;
        };
        self.passed_bytes += bytes;
        if self.passed_bytes < cut {
            return Passage::Free;
        }
        self.cuts.pop();
        self.passed_bytes = 0;
        for stream in self.streams.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        Passage::Cut
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    There,
    Back,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Passage {
    Free,
    Cut,
}
