//! Frames of a network card as the probe sends and expects them: UDP datagrams (RFC 768) to everybody, to
//! the port of the discard protocol (RFC 863), with their number at both ends of what they carry.
//!
//! A page holds a frame from its start on, and before it the header of virtio (virtio 1.2, section
//! 5.1.6), which is all zeroes: 12 bytes, then 14 of Ethernet, 20 of IPv4, 8 of UDP. Two zero bytes bring
//! the datagram's number to word 7.

#[cfg(test)]
mod tests;

use core::ops::RangeInclusive;

use super::pattern::Page;

/// `struct virtio_net_hdr` as it is since virtio 1.0.
const VIRTIO_BYTES: u64 = 12;
const ETHERNET_BYTES: u64 = 14;
const IP_BYTES: u64 = 20;

/// Words that the headers and the two zero bytes take.
const HEADER_WORDS: usize = 7;

/// Bytes in a frame that can be asked for: there is room for both numbers, and no segmentation.
pub const FRAME_BYTES: RangeInclusive<u64> = 64..=1514;

/// Discard.
const PORT: u16 = 9;

/// What a frame is, when looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// None of ours.
    Foreign,
    /// The one with this number, from end to end.
    Whole(u64),
    /// Its numbers differ.
    Torn {
        /// Word of the page where the last number is.
        word: usize,
        /// The first.
        expected: u64,
        /// The last.
        found: u64,
    },
}

/// How much of a page is for the device, where a frame has that many bytes.
#[must_use]
pub fn buffer_bytes(frame_bytes: u64) -> u64 {
    VIRTIO_BYTES + frame_bytes
}

/// Writes a frame of `frame_bytes`, without a number, over a page.
pub fn write(page: &mut Page, frame_bytes: u64) {
    let mut bytes = [0; HEADER_WORDS * 8];
    let (_, frame) = bytes.split_at_mut(12);
    let (ethernet, rest) = frame.split_at_mut(14);
    let (ip, rest) = rest.split_at_mut(20);
    let (udp, _) = rest.split_at_mut(8);
    ethernet[..6].fill(0xff);
    // Of our own making (locally administered), to be told in a capture.
    ethernet[6..12].copy_from_slice(&[0x02, b'p', b'r', b'o', b'b', b'e']);
    ethernet[12..].copy_from_slice(&0x0800_u16.to_be_bytes());
    ip[..2].copy_from_slice(&[0x45, 0]);
    ip[2..4].copy_from_slice(&length(frame_bytes - ETHERNET_BYTES));
    // May not be fragmented; 64 hops; UDP; from nobody, to all.
    ip[6..10].copy_from_slice(&[0x40, 0, 64, 17]);
    ip[16..].fill(0xff);
    let sum = checksum(ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    udp[..2].copy_from_slice(&PORT.to_be_bytes());
    udp[2..4].copy_from_slice(&PORT.to_be_bytes());
    udp[4..6].copy_from_slice(&length(frame_bytes - ETHERNET_BYTES - IP_BYTES));
    page.fill(0);
    let (words, _) = bytes.as_chunks::<8>();
    for (to, from) in page.iter_mut().zip(words) {
        *to = u64::from_le_bytes(*from);
    }
}

/// Numbers the frame of `frame_bytes` in a page.
pub fn set_number(page: &mut Page, frame_bytes: u64, number: u64) {
    page[HEADER_WORDS] = number;
    page[last_word(frame_bytes)] = number;
}

/// Looks at what was received into a page.
#[must_use]
pub fn look(page: &Page) -> Arrival {
    let mut bytes = [0; HEADER_WORDS * 8];
    for (to, from) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(page) {
        *to = from.to_le_bytes();
    }
    let ip_bytes = u64::from(u16::from_be_bytes([bytes[28], bytes[29]]));
    let is_ours = bytes[24..27] == [0x08, 0x00, 0x45]
        && bytes[35] == 17
        && bytes[48..50] == PORT.to_be_bytes()
        && FRAME_BYTES.contains(&(ip_bytes + ETHERNET_BYTES));
    if !is_ours {
        return Arrival::Foreign;
    }
    let word = last_word(ip_bytes + ETHERNET_BYTES);
    let (expected, found) = (page[HEADER_WORDS], page[word]);
    if expected == found {
        Arrival::Whole(found)
    } else {
        Arrival::Torn {
            word,
            expected,
            found,
        }
    }
}

/// The last whole word of a frame.
fn last_word(frame_bytes: u64) -> usize {
    usize::try_from((VIRTIO_BYTES + frame_bytes) / 8 - 1).expect("a word of a page")
}

fn length(bytes: u64) -> [u8; 2] {
    u16::try_from(bytes)
        .expect("a frame is short")
        .to_be_bytes()
}

/// The Internet checksum (RFC 1071).
fn checksum(header: &[u8]) -> u16 {
    let (words, _) = header.as_chunks::<2>();
    let sum: u32 = words
        .iter()
        .map(|word| u32::from(u16::from_be_bytes(*word)))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).expect("16 bits and no carry")
}
