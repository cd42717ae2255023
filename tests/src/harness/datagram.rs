//! Datagrams as the probe sends and expects them by its network card: with their number at both ends.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

/// The port of the discard protocol.
pub const PORT: u16 = 9;

/// What stands before a datagram's data in the guest's buffer: the headers of virtio, Ethernet, IPv4 and
/// UDP. Numbers stand at multiples of 8 there.
const HEADER_BYTES: usize = 12 + 14 + 20 + 8;
const FIRST: usize = 56 - HEADER_BYTES;

/// Sends datagrams with numbers to everybody in a network, each with the next.
#[derive(Debug)]
pub struct Numberer {
    socket: UdpSocket,
    everybody: SocketAddrV4,
    datagram: Vec<u8>,
    number: u64,
}

impl Numberer {
    /// Sends from `address`, in a network of 24 bits, what is in frames of that many bytes, 64 to 1514.
    ///
    /// # Errors
    /// The host has no such address.
    pub fn new(address: Ipv4Addr, frame_bytes: usize) -> io::Result<Self> {
        let socket = UdpSocket::bind((address, 0))?;
        socket.set_broadcast(true)?;
        let [a, b, c, _] = address.octets();
        Ok(Self {
            socket,
            everybody: SocketAddrV4::new(Ipv4Addr::new(a, b, c, 255), PORT),
            datagram: vec![0; frame_bytes + 12 - HEADER_BYTES],
            number: 0,
        })
    }

    /// Sends the next datagram. One that the network has no room for is lost, and gets no number.
    pub fn send(&mut self) {
        let number = self.number.to_le_bytes();
        for place in [FIRST, last(self.datagram.len())] {
            self.datagram[place..place + 8].copy_from_slice(&number);
        }
        if self.socket.send_to(&self.datagram, self.everybody).is_ok() {
            self.number += 1;
        }
    }

    /// How many were sent.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.number
    }
}

/// The number of a datagram of the probe; nothing if it is none, or not whole.
#[must_use]
pub fn number_of(datagram: &[u8]) -> Option<u64> {
    let at = |place: usize| datagram.get(place..)?.first_chunk().copied();
    let first = u64::from_le_bytes(at(FIRST)?);
    let is_whole = at(last(datagram.len()))? == first.to_le_bytes();
    is_whole.then_some(first)
}

/// Where the last number stands.
fn last(datagram_bytes: usize) -> usize {
    ((HEADER_BYTES + datagram_bytes) / 8 - 1) * 8 - HEADER_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_is_found_at_both_ends_of_a_datagram_of_any_length() {
        for frame_bytes in [64, 65, 71, 72, 1514] {
            let mut numberer = Numberer::new(Ipv4Addr::LOCALHOST, frame_bytes).unwrap();
            let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let Ok(address) = receiver.local_addr() else {
                panic!("a bound socket has an address");
            };
            numberer.everybody.set_ip(Ipv4Addr::LOCALHOST);
            numberer.everybody.set_port(address.port());
            numberer.send();
            numberer.send();
            let mut datagram = [0xff; 2048];
            let numbers = [(); 2].map(|()| {
                let bytes = receiver.recv(&mut datagram).unwrap();
                assert_eq!(bytes + 42, frame_bytes);
                number_of(&datagram[..bytes])
            });
            assert_eq!((numbers, numberer.sent()), ([Some(0), Some(1)], 2));
        }
    }

    #[test]
    fn datagram_that_is_short_or_torn_has_no_number() {
        assert_eq!(number_of(&[]), None);
        assert_eq!(number_of(&[0; 9]), None);
        let mut datagram = [0; 22];
        assert_eq!(number_of(&datagram), Some(0));
        datagram[11] = 1;
        assert_eq!(number_of(&datagram), None);
    }
}
