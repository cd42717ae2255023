//! What a driver reads of a card: features and configuration space (virtio 1.2, sections 5.1.3 and 5.1.4).

use libc::{TUN_F_CSUM, TUN_F_TSO_ECN, TUN_F_TSO4, TUN_F_TSO6};

use super::tap::Offloads;
use super::{Link, MacAddress};
use crate::virtio::QueueIndex;

/// VIRTIO_NET_F_CSUM: the device finishes checksums of frames that are sent.
const CSUM: u64 = 1 << 0;
/// VIRTIO_NET_F_GUEST_CSUM: the driver takes frames with unfinished checksums.
const GUEST_CSUM: u64 = 1 << 1;
/// VIRTIO_NET_F_MAC.
const MAC: u64 = 1 << 5;
/// VIRTIO_NET_F_GUEST_TSO4, _TSO6 and _ECN: the driver takes long TCP segments.
const GUEST_TSO4: u64 = 1 << 7;
const GUEST_TSO6: u64 = 1 << 8;
const GUEST_ECN: u64 = 1 << 9;
/// VIRTIO_NET_F_HOST_TSO4, _TSO6 and _ECN: the device cuts long TCP segments.
const HOST_TSO4: u64 = 1 << 11;
const HOST_TSO6: u64 = 1 << 12;
const HOST_ECN: u64 = 1 << 13;
/// VIRTIO_NET_F_MRG_RXBUF: a frame may take several buffers.
const MRG_RXBUF: u64 = 1 << 15;
/// VIRTIO_NET_F_STATUS.
const STATUS: u64 = 1 << 16;
/// VIRTIO_NET_F_CTRL_VQ.
const CTRL_VQ: u64 = 1 << 17;
/// VIRTIO_NET_F_GUEST_ANNOUNCE: the driver announces itself when told.
const GUEST_ANNOUNCE: u64 = 1 << 21;

/// VIRTIO_NET_S_LINK_UP.
const LINK_UP: u16 = 1 << 0;
/// VIRTIO_NET_S_ANNOUNCE.
const ANNOUNCE: u16 = 1 << 1;

/// The queues receiveq1, transmitq1 and controlq (section 5.1.2).
pub(super) const RECEIVE: QueueIndex = QueueIndex(0);
pub(super) const TRANSMIT: QueueIndex = QueueIndex(1);
pub(super) const CONTROL: QueueIndex = QueueIndex(2);

/// Descriptors of each. Our choice: what QEMU has, and enough for a command.
pub(super) const QUEUE_SIZES: [u16; 3] = [256, 256, 16];

/// Length of `struct virtio_net_hdr`, which stands before every frame (section 5.1.6).
pub(super) const HEADER_BYTES: usize = 12;

/// Where in it the device says how many buffers a frame takes.
pub(super) const NUM_BUFFERS_OFFSET: u64 = 10;

/// Longest frame that is not segmented, with a VLAN tag, and its header (section 5.1.6.3.1).
const PLAIN_BYTES: u64 = HEADER_BYTES as u64 + 1518;

/// Longest frame, and its header: 64 KiB of IP, and Ethernet's header with a VLAN tag.
pub(super) const LONGEST_BYTES: u64 = HEADER_BYTES as u64 + 65_535 + 18;

/// Shortest frame that says where it goes, and its header.
pub(super) const SHORTEST_BYTES: u64 = HEADER_BYTES as u64 + 14;

/// Length of the configuration space up to its last field that is offered.
const CONFIG_BYTES: usize = 8;

/// The features of every card.
pub(super) const FEATURES: u64 = CSUM
    | GUEST_CSUM
    | MAC
    | GUEST_TSO4
    | GUEST_TSO6
    | GUEST_ECN
    | HOST_TSO4
    | HOST_TSO6
    | HOST_ECN
    | MRG_RXBUF
    | STATUS
    | CTRL_VQ
    | GUEST_ANNOUNCE;

/// How frames are put into buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Buffers {
    /// Each takes one.
    One,
    /// Each takes as many as it needs; none is read before there is that much room.
    Merged {
        /// What the longest frame takes.
        room_bytes: u64,
    },
}

/// How a driver with these features gets its frames.
pub(super) fn buffers(features: u64) -> Buffers {
    let room_bytes = if features & (GUEST_TSO4 | GUEST_TSO6) == 0 {
        PLAIN_BYTES
    } else {
        LONGEST_BYTES
    };
    match features & MRG_RXBUF {
        0 => Buffers::One,
        _ => Buffers::Merged { room_bytes },
    }
}

/// What frames for a driver with these features may leave undone.
pub(super) fn offloads(features: u64) -> Offloads {
    if features & GUEST_CSUM == 0 {
        return Offloads(0);
    }
    let segments = [
        (GUEST_TSO4, TUN_F_TSO4),
        (GUEST_TSO6, TUN_F_TSO6),
        (GUEST_ECN, TUN_F_TSO_ECN),
    ];
    let agreed = segments.iter().filter(|(bit, _)| features & bit != 0);
    Offloads(agreed.fold(TUN_F_CSUM, |bits, (_, bit)| bits | bit))
}

/// Whether a driver with these features can be asked to announce itself.
pub(super) fn announces_itself(features: u64) -> bool {
    let all = STATUS | CTRL_VQ | GUEST_ANNOUNCE;
    features & all == all
}

/// Whether a driver is told when its link changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkNews {
    Wanted,
    /// It takes its link to be up.
    Unwanted,
}

/// What a driver with these features hears of its link.
pub(super) fn link_news(features: u64) -> LinkNews {
    match features & STATUS {
        0 => LinkNews::Unwanted,
        _ => LinkNews::Wanted,
    }
}

/// Whether the driver is asked to announce itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Announcing {
    Asked,
    No,
}

/// The configuration space.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 6 | mac |
/// | 6 | 2 | status |
///
/// What is not in the table is zero.
pub(super) fn config_space(
    mac: MacAddress,
    link: Link,
    announcing: Announcing,
) -> [u8; CONFIG_BYTES] {
    let link = match link {
        Link::Up => LINK_UP,
        Link::Down => 0,
    };
    let announce = match announcing {
        Announcing::Asked => ANNOUNCE,
        Announcing::No => 0,
    };
    let status = link | announce;
    let [m0, m1, m2, m3, m4, m5] = mac.bytes();
    let [low, high] = status.to_le_bytes();
    [m0, m1, m2, m3, m4, m5, low, high]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_space_has_the_fields_at_their_places() {
        let mac = "52:54:00:12:34:56".parse().unwrap();
        let space = |link, announcing| config_space(mac, link, announcing);
        assert_eq!(
            space(Link::Up, Announcing::No),
            [0x52, 0x54, 0, 0x12, 0x34, 0x56, 1, 0]
        );
        assert_eq!(space(Link::Up, Announcing::Asked)[6..], [3, 0]);
        assert_eq!(space(Link::Down, Announcing::Asked)[6..], [2, 0]);
        assert_eq!(space(Link::Down, Announcing::No)[6..], [0, 0]);
        assert_eq!(FEATURES, 0x0023_bba3);
    }

    #[test]
    fn driver_gets_what_it_agreed_to_and_no_more() {
        assert_eq!(buffers(0), Buffers::One);
        let plain = Buffers::Merged { room_bytes: 1530 };
        assert_eq!(buffers(MRG_RXBUF), plain);
        let long = Buffers::Merged { room_bytes: 65_565 };
        assert_eq!(buffers(FEATURES), long);
        assert_eq!(offloads(GUEST_TSO4), Offloads(0));
        assert_eq!(offloads(GUEST_CSUM | GUEST_TSO6), Offloads(5));
        assert_eq!(offloads(FEATURES), Offloads(15));
        assert!(announces_itself(FEATURES));
        assert!(!announces_itself(FEATURES & !CTRL_VQ));
        assert_eq!(link_news(FEATURES), LinkNews::Wanted);
        assert_eq!(link_news(FEATURES & !STATUS), LinkNews::Unwanted);
    }
}
