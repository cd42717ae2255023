//! How a card that goes on elsewhere tells the network where it is now.
//!
//! Bridges and switches send a card's frames where they last heard from it. The guest does not know that
//! it has moved, so the device speaks for it: at once, and a few times more in case a frame is lost or a
//! link is not up yet. A driver that can announce itself (VIRTIO_NET_F_GUEST_ANNOUNCE) is asked to as well:
//! it knows the guest's addresses, which neighbours have in their caches.

use std::time::{Duration, Instant};

use super::MacAddress;
use super::mac::MAC_BYTES;

/// Ethernet's shortest frame, without its checksum.
pub(super) const FRAME_BYTES: usize = 60;

const ETHERTYPE_RARP: u16 = 0x8035;
const HARDWARE_ETHERNET: u16 = 1;
const PROTOCOL_IPV4: u16 = 0x0800;
/// Lengths of addresses.
const ETHERNET_BYTES: u8 = 6;
const IPV4_BYTES: u8 = 4;
/// "Request reverse" (RFC 903).
const REQUEST: u16 = 3;

/// When to speak, from the start of the device on. Our choice: QEMU's, whose users know it: five times
/// within a second.
const MOMENTS: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(450),
    Duration::from_millis(800),
];

/// A frame from `card` to everybody that asks nothing of anybody: who is at this address? (RFC 903)
pub(super) fn frame(card: MacAddress) -> [u8; FRAME_BYTES] {
    let (from, everybody) = (card.bytes(), [0xff; MAC_BYTES]);
    let nowhere = [0; IPV4_BYTES as usize];
    let parts: [&[u8]; 12] = [
        &everybody,
        &from,
        &ETHERTYPE_RARP.to_be_bytes(),
        &HARDWARE_ETHERNET.to_be_bytes(),
        &PROTOCOL_IPV4.to_be_bytes(),
        &[ETHERNET_BYTES, IPV4_BYTES],
        &REQUEST.to_be_bytes(),
        &from,
        &nowhere,
        &from,
        &nowhere,
        &[0; 18],
    ];
    let mut frame = [0; FRAME_BYTES];
    for (byte, value) in frame.iter_mut().zip(parts.concat()) {
        *byte = value;
    }
    frame
}

/// What is left to be said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announcements {
    began: Instant,
    said: usize,
}

impl Announcements {
    /// All of them, from `now` on.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            began: now,
            said: 0,
        }
    }

    /// Whether one is due at `now`, which is then said.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let is_due = self.wait(now).is_some_and(|wait| wait.is_zero());
        self.said += usize::from(is_due);
        is_due
    }

    /// How long it is from `now` to the next, if there is one.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        let moment = self.began + *MOMENTS.get(self.said)?;
        Some(moment.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_is_a_reverse_request_to_everybody_from_the_card() {
        let frame = frame("52:54:00:12:34:56".parse().unwrap());
        let mac = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
        assert_eq!(frame[..6], [0xff; 6]);
        assert_eq!(frame[6..12], mac);
        assert_eq!(frame[12..22], [0x80, 0x35, 0, 1, 8, 0, 6, 4, 0, 3]);
        assert_eq!(frame[22..28], mac);
        assert_eq!(frame[32..38], mac);
        assert_eq!(frame[38..], [0; 22]);
    }

    #[test]
    fn announcements_come_at_once_and_four_times_more_and_then_no_more() {
        let began = Instant::now();
        let mut announcements = Announcements::new(began);
        let at = |ms| began + Duration::from_millis(ms);
        assert!(announcements.take(at(0)));
        assert!(!announcements.take(at(49)));
        assert_eq!(announcements.wait(at(49)), Some(Duration::from_millis(1)));
        for ms in [50, 200, 450, 10_000] {
            assert!(announcements.take(at(ms)), "{ms}");
        }
        assert!(!announcements.take(at(20_000)));
        assert_eq!(announcements.wait(at(20_000)), None);
    }
}
