//! What plain TCP can do over a link.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::PAGE_BYTES;
use crate::bench::BenchError;
use crate::bench::link::Link;
use crate::count::to_f64;

/// A request names a page, as one of a migration does.
const REQUEST_BYTES: usize = 8;

/// How long the link is filled, and how much of that does not count: until TCP is at speed and the
/// token bucket is empty.
const FILL: Duration = Duration::from_millis(500);
const WARM_UP: Duration = Duration::from_millis(100);

const BUFFER_BYTES: usize = 256 << 10;

/// No peer of ours is silent for longer, unless something is broken.
const PATIENCE: Duration = Duration::from_secs(20);

fn failed(action: &'static str) -> impl FnOnce(io::Error) -> BenchError {
    BenchError::system(action)
}

fn listen(link: &Link) -> Result<(TcpListener, SocketAddr), BenchError> {
    let address = link.destination_address();
    let listener = link
        .at_destination(|| TcpListener::bind((address, 0)))?
        .map_err(failed("listen on the link"))?;
    let address = listener
        .local_addr()
        .map_err(failed("ask for the listener's address"))?;
    Ok((listener, address))
}

fn connect(link: &Link, address: SocketAddr) -> Result<TcpStream, BenchError> {
    let stream = link
        .at_source(|| TcpStream::connect_timeout(&address, PATIENCE))?
        .map_err(failed("connect over the link"))?;
    configure(&stream).map_err(failed("configure a socket"))?;
    Ok(stream)
}

fn configure(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))
}

/// Bytes per second that one stream brings from source to destination.
pub(super) fn throughput(link: &Link) -> Result<f64, BenchError> {
    let (listener, address) = listen(link)?;
    let mut sender = connect(link, address)?;
    let (mut receiver, _) = listener.accept().map_err(failed("accept a connection"))?;
    configure(&receiver).map_err(failed("configure a socket"))?;
    thread::scope(|scope| {
        scope.spawn(move || {
            let content = vec![0x5a; BUFFER_BYTES];
            let began = Instant::now();
            while began.elapsed() < FILL && sender.write_all(&content).is_ok() {}
        });
        drain(&mut receiver).map_err(failed("receive over the link"))
    })
}

/// Reads to the end and says how fast it came, once it came at speed.
fn drain(receiver: &mut TcpStream) -> io::Result<f64> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let began = Instant::now();
    let mut counted = None;
    let mut bytes = 0_u64;
    loop {
        let count = receiver.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        match counted {
            Some(_) => bytes += count as u64,
            None if began.elapsed() >= WARM_UP => counted = Some(Instant::now()),
            None => {}
        }
    }
    let since = counted.ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(to_f64(bytes) / since.elapsed().as_secs_f64())
}

/// Answers each request with a page, until its client hangs up. It sits at the link's other end, as
/// a source of pages does.
#[derive(Debug)]
pub(super) struct PageServer {
    address: SocketAddr,
    thread: JoinHandle<()>,
}

impl PageServer {
    pub(super) fn start(link: &Link) -> Result<Self, BenchError> {
        let (listener, address) = listen(link)?;
        let thread = thread::spawn(move || {
            // The client notices if the server gives up, and says so.
            let _ = listener.accept().and_then(|(stream, _)| serve(stream));
        });
        Ok(Self { address, thread })
    }

    pub(super) fn connect(self, link: &Link) -> Result<PageClient, BenchError> {
        let stream = connect(link, self.address)?;
        Ok(PageClient {
            stream,
            server: Some(self.thread),
        })
    }
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    configure(&stream)?;
    let mut request = [0; REQUEST_BYTES];
    let page = [0x5a; PAGE_BYTES];
    loop {
        stream.read_exact(&mut request)?;
        stream.write_all(&page)?;
    }
}

/// Asks for pages one by one.
#[derive(Debug)]
pub(super) struct PageClient {
    stream: TcpStream,
    server: Option<JoinHandle<()>>,
}

impl PageClient {
    pub(super) fn fetch(&mut self, page: &mut [u8; PAGE_BYTES]) -> Result<(), BenchError> {
        let Self { stream, server: _ } = self;
        stream
            .write_all(&[0; REQUEST_BYTES])
            .and_then(|()| stream.read_exact(page))
            .map_err(failed("fetch a page"))
    }
}

impl Drop for PageClient {
    fn drop(&mut self) {
        // The server ends when its client hangs up; if that fails, when it has waited long enough.
        let _ = self.stream.shutdown(Shutdown::Both);
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::cell::LinkKind;

    #[test]
    fn page_is_fetched_again_and_again() {
        let link = Link::new(LinkKind::Loopback).unwrap();
        let mut client = PageServer::start(&link).unwrap().connect(&link).unwrap();
        for _ in 0..3 {
            let mut page = [0; PAGE_BYTES];
            client.fetch(&mut page).unwrap();
            assert_eq!(page, [0x5a; PAGE_BYTES]);
        }
    }
}
