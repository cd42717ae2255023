//! What stands before the bytes of a packet (virtio 1.2, section 5.10.6).

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::GuestCid;
use super::credit::Credit;

/// VMADDR_CID_HOST.
const HOST_CID: u64 = 2;

/// VIRTIO_VSOCK_TYPE_STREAM.
const STREAM: u16 = 1;

/// VIRTIO_VSOCK_SHUTDOWN_F_RECEIVE and _SEND.
pub(super) const NO_MORE_RECEIVED: u32 = 1 << 0;
pub(super) const NO_MORE_SENT: u32 = 1 << 1;

/// Length of a header.
pub(super) const HEADER_BYTES: usize = size_of::<Header>();

/// `struct virtio_vsock_hdr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Header {
    source_cid: U64,
    destination_cid: U64,
    source_port: U32,
    destination_port: U32,
    len_bytes: U32,
    kind: U16,
    operation: U16,
    flags: U32,
    /// buf_alloc
    room_bytes: U32,
    /// fwd_cnt
    taken_bytes: U32,
}

/// The two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ports {
    pub(super) host: u32,
    pub(super) guest: u32,
}

/// What a packet is for: VIRTIO_VSOCK_OP_REQUEST and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Request,
    Response,
    Reset,
    Shutdown,
    Data,
    CreditUpdate,
    CreditRequest,
}

impl Operation {
    const ALL: [(u16, Self); 7] = [
        (1, Self::Request),
        (2, Self::Response),
        (3, Self::Reset),
        (4, Self::Shutdown),
        (5, Self::Data),
        (6, Self::CreditUpdate),
        (7, Self::CreditRequest),
    ];

    fn number(self) -> u16 {
        let numbered = Self::ALL.iter().find(|(_, operation)| *operation == self);
        numbered.map_or(0, |(number, _)| *number)
    }
}

impl Header {
    /// The header of a packet to the guest, without data.
    pub(super) fn to_guest(cid: GuestCid, ports: Ports, operation: Operation) -> Self {
        Self {
            source_cid: HOST_CID.into(),
            destination_cid: u64::from(cid.get()).into(),
            source_port: ports.host.into(),
            destination_port: ports.guest.into(),
            kind: STREAM.into(),
            operation: operation.number().into(),
            ..Self::default()
        }
    }

    /// The same with a word about what its connection has room for.
    pub(super) fn with_credit(self, credit: &mut Credit) -> Self {
        let (room_bytes, taken_bytes) = credit.tell();
        Self {
            room_bytes: room_bytes.into(),
            taken_bytes: taken_bytes.into(),
            ..self
        }
    }

    /// The same with so many bytes after it.
    pub(super) fn with_len(self, len_bytes: u32) -> Self {
        Self {
            len_bytes: len_bytes.into(),
            ..self
        }
    }

    pub(super) fn with_flags(self, flags: u32) -> Self {
        Self {
            flags: flags.into(),
            ..self
        }
    }

    /// The ends it is about, if it is one of that guest to this host.
    pub(super) fn ports_from(&self, cid: GuestCid) -> Option<Ports> {
        let is_ours =
            self.source_cid.get() == u64::from(cid.get()) && self.destination_cid.get() == HOST_CID;
        is_ours.then(|| Ports {
            host: self.destination_port.get(),
            guest: self.source_port.get(),
        })
    }

    /// What it is for; nothing for what is unknown, or no byte stream.
    pub(super) fn operation(&self) -> Option<Operation> {
        let number = self.operation.get();
        let known = Operation::ALL.iter().find(|(known, _)| *known == number);
        known
            .filter(|_| self.kind.get() == STREAM)
            .map(|(_, operation)| *operation)
    }

    pub(super) fn len_bytes(&self) -> u32 {
        self.len_bytes.get()
    }

    pub(super) fn flags(&self) -> u32 {
        self.flags.get()
    }

    /// What the guest has room for, and has taken.
    pub(super) fn credit(&self) -> (u32, u32) {
        (self.room_bytes.get(), self.taken_bytes.get())
    }
}

impl Default for Header {
    fn default() -> Self {
        Self::read_from_bytes(&[0; HEADER_BYTES]).expect("the length is its own")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORTS: Ports = Ports {
        host: 0x1122_3344,
        guest: 0x5566_7788,
    };

    #[test]
    fn header_has_its_fields_at_their_places() {
        let header = Header::to_guest(GuestCid::FIRST, PORTS, Operation::Data)
            .with_len(0x0a0b)
            .with_flags(NO_MORE_RECEIVED | NO_MORE_SENT)
            .with_credit(&mut Credit::default());
        let expected = [
            &2_u64.to_le_bytes()[..],
            &3_u64.to_le_bytes(),
            &PORTS.host.to_le_bytes(),
            &PORTS.guest.to_le_bytes(),
            &0x0a0b_u32.to_le_bytes(),
            &1_u16.to_le_bytes(),
            &5_u16.to_le_bytes(),
            &3_u32.to_le_bytes(),
            &0x1_0000_u32.to_le_bytes(),
            &[0; 4],
        ];
        assert_eq!(header.as_bytes(), expected.concat());
    }

    #[test]
    fn packet_of_another_guest_or_kind_is_not_taken_for_one() {
        let mut header = Header::to_guest(GuestCid::FIRST, PORTS, Operation::Request);
        assert_eq!(header.ports_from(GuestCid::FIRST), None);
        std::mem::swap(&mut header.source_cid, &mut header.destination_cid);
        let turned = Ports {
            host: PORTS.guest,
            guest: PORTS.host,
        };
        assert_eq!(header.ports_from(GuestCid::FIRST), Some(turned));
        assert_eq!(header.ports_from(4.try_into().unwrap()), None);
        assert_eq!(header.operation(), Some(Operation::Request));
        header.operation = 8.into();
        assert_eq!(header.operation(), None);
        header.operation = 1.into();
        header.kind = 2.into();
        assert_eq!(header.operation(), None);
    }
}
