//! Packets between the queues of the driver and the connections.

use zerocopy::{FromBytes, IntoBytes};

use super::VsockCounters;
use super::connection::{Fate, Stage};
use super::engine::{EVENT, Engine, MAX_REPLIES, RECEIVE, TRANSMIT};
use super::packet::{HEADER_BYTES, Header, NO_MORE_SENT, Operation, Ports};
use crate::virtio::{Chain, Progress, Queues, VirtQueue};
use crate::{DeviceError, GuestMemory};

/// Packets of one direction before it is the other's turn, and for one interrupt at most. Our choice.
const PACKETS_PER_TURN: u16 = 64;

/// VIRTIO_VSOCK_EVENT_TRANSPORT_RESET (section 5.10.6.7).
const TRANSPORT_RESET: u32 = 0;

impl Engine {
    /// Has a turn of both directions.
    pub(super) fn move_packets(
        &mut self,
        memory: &GuestMemory,
        queues: &mut Queues,
    ) -> Result<Progress, DeviceError> {
        let sending = match queues.get_mut(TRANSMIT) {
            Some(queue) => self.transmit(memory, queue)?,
            None => Sending::Drained,
        };
        let receiving = match queues.get_mut(RECEIVE) {
            Some(queue) => self.receive(memory, queue)?,
            None => Progress::Drained,
        };
        let may_send = match sending {
            Sending::Drained => false,
            Sending::More => true,
            Sending::HeldBack => self.replies.len() < MAX_REPLIES,
        };
        Ok(if may_send { Progress::More } else { receiving })
    }

    /// Tells the guest that its connections are gone, if they are and it has room to hear it.
    pub(super) fn tell_reset(
        &mut self,
        memory: &GuestMemory,
        queues: &mut Queues,
    ) -> Result<(), DeviceError> {
        let Some(queue) = queues.get_mut(EVENT).filter(|_| self.is_reset_owed) else {
            return Ok(());
        };
        if let Some(chain) = queue.take()? {
            let written = fill(&chain, memory, &TRANSPORT_RESET.to_le_bytes())?;
            queue.give_back(chain, written)?;
            self.is_reset_owed = false;
        }
        Ok(())
    }

    /// Takes packets of the guest.
    fn transmit(
        &mut self,
        memory: &GuestMemory,
        queue: &mut VirtQueue,
    ) -> Result<Sending, DeviceError> {
        let mut sending = Sending::More;
        for _ in 0..PACKETS_PER_TURN {
            if self.replies.len() >= MAX_REPLIES {
                sending = Sending::HeldBack;
                break;
            }
            let Some(chain) = queue.take()? else {
                sending = Sending::Drained;
                break;
            };
            self.take_packet(memory, &chain)?;
            queue.put_back(chain, 0)?;
        }
        queue.interrupt_if_wanted()?;
        Ok(sending)
    }

    fn take_packet(&mut self, memory: &GuestMemory, chain: &Chain) -> Result<(), DeviceError> {
        let mut packet = std::mem::take(&mut self.packet);
        let read = chain.read(memory, &mut packet);
        let taken = read.map(|read_bytes| self.hear(&packet[..read_bytes]));
        self.packet = packet;
        if taken? == Heard::Nonsense {
            self.device
                .complain(&"what is to be sent is no packet of this guest to its host");
        }
        Ok(())
    }

    /// Does what a packet says.
    fn hear(&mut self, packet: &[u8]) -> Heard {
        let Ok((header, data)) = Header::read_from_prefix(packet) else {
            return Heard::Nonsense;
        };
        let Some(ports) = header.ports_from(self.device.cid()) else {
            return Heard::Nonsense;
        };
        let operation = header.operation();
        if operation.is_none() || data.len() != header.len_bytes() as usize {
            self.connections.remove(&ports);
            self.reset(ports);
            return Heard::Nonsense;
        }
        match operation {
            Some(Operation::Request) => self.open(ports, header.credit()),
            Some(Operation::Reset) => drop(self.connections.remove(&ports)),
            Some(operation) => self.hear_of(ports, operation, &header, data),
            None => {}
        }
        Heard::Understood
    }

    /// Does what a packet says of a connection that it takes for known.
    fn hear_of(&mut self, ports: Ports, operation: Operation, header: &Header, data: &[u8]) {
        let cid = self.device.cid();
        let known = self.connections.get_mut(&ports);
        let is_met = |stage| !matches!(stage, Stage::Greeted { .. });
        let Some(connection) = known.filter(|connection| is_met(connection.stage())) else {
            self.reset(ports);
            return;
        };
        connection.credit.hear(header.credit());
        let fate = match operation {
            Operation::Response => connection.answered(ports.host),
            Operation::Data => connection.take_in(data),
            Operation::Shutdown => connection.guest_shuts(header.flags()),
            Operation::CreditRequest => {
                let update = Header::to_guest(cid, ports, Operation::CreditUpdate);
                self.replies
                    .push_back(update.with_credit(&mut connection.credit));
                Fate::Lives
            }
            Operation::CreditUpdate | Operation::Request | Operation::Reset => Fate::Lives,
        };
        match operation {
            Operation::Response if fate == Fate::Lives => self.count_connection(),
            Operation::Data => self.device.count(VsockCounters {
                sent_bytes: data.len() as u64,
                ..VsockCounters::default()
            }),
            _ => {}
        }
        self.settle(ports, fate);
    }

    /// Gives the guest replies first, and then what programs have said, one packet of each in turn.
    fn receive(
        &mut self,
        memory: &GuestMemory,
        queue: &mut VirtQueue,
    ) -> Result<Progress, DeviceError> {
        let mut progress = Progress::More;
        for _ in 0..PACKETS_PER_TURN {
            let speaker = self.replies.is_empty().then(|| self.next_speaker());
            if speaker == Some(None) {
                progress = Progress::Drained;
                break;
            }
            let speaker = speaker.flatten();
            let Some(chain) = queue.take()? else {
                self.speakers.extend(speaker);
                progress = Progress::Drained;
                break;
            };
            let said_bytes = match speaker {
                Some(speaker) => self.pass_on(memory, &chain, speaker)?,
                None => self.reply(memory, &chain)?,
            };
            match said_bytes {
                0 => queue.untake(chain),
                written => queue.put_back(chain, written)?,
            }
        }
        queue.interrupt_if_wanted()?;
        Ok(progress)
    }

    /// The next connection whose program may have something to say that the guest has room for.
    fn next_speaker(&mut self) -> Option<Ports> {
        for _ in 0..self.speakers.len() {
            let ports = self.speakers.pop_front()?;
            let Some(connection) = self.connections.get(&ports) else {
                continue;
            };
            if !connection.is_readable {
                continue;
            }
            if connection.readable_bytes() > 0 {
                return Some(ports);
            }
            self.speakers.push_back(ports);
        }
        None
    }

    /// Gives the first reply, and says how many bytes it takes.
    fn reply(&mut self, memory: &GuestMemory, chain: &Chain) -> Result<u32, DeviceError> {
        match self.replies.pop_front() {
            Some(reply) => fill(chain, memory, reply.as_bytes()),
            None => Ok(0),
        }
    }

    /// Gives the guest what a program has said, and says how many bytes that takes.
    fn pass_on(
        &mut self,
        memory: &GuestMemory,
        chain: &Chain,
        ports: Ports,
    ) -> Result<u32, DeviceError> {
        let cid = self.device.cid();
        let Some(connection) = self.connections.get_mut(&ports) else {
            return Ok(0);
        };
        let room = chain.writable_bytes().saturating_sub(HEADER_BYTES as u64);
        if room == 0 {
            return Err(DeviceError::NoReceiveBuffer { head: chain.head() });
        }
        let room = room.min(connection.readable_bytes().into());
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let end = self.packet.len().min(HEADER_BYTES.saturating_add(room));
        let read = connection.read(&mut self.packet[HEADER_BYTES..end]);
        if connection.is_readable {
            self.speakers.push_back(ports);
        }
        match read {
            Ok(None) => Ok(0),
            Ok(Some(0)) => {
                self.say_that_it_has_ended(ports);
                Ok(0)
            }
            Ok(Some(read)) => {
                let len_bytes = u32::try_from(read).expect("it fits the packet");
                connection.credit.sent(len_bytes);
                let header = Header::to_guest(cid, ports, Operation::Data)
                    .with_len(len_bytes)
                    .with_credit(&mut connection.credit);
                self.packet[..HEADER_BYTES].copy_from_slice(header.as_bytes());
                self.device.count(VsockCounters {
                    received_bytes: read as u64,
                    ..VsockCounters::default()
                });
                fill(chain, memory, &self.packet[..HEADER_BYTES + read])
            }
            Err(_) => {
                self.settle(ports, Fate::Breaks);
                Ok(0)
            }
        }
    }

    /// The program has said all: the guest hears that, and that the program is gone if it is.
    fn say_that_it_has_ended(&mut self, ports: Ports) {
        let cid = self.device.cid();
        let Some(connection) = self.connections.get_mut(&ports) else {
            return;
        };
        if !connection.is_hung_up {
            let end = Header::to_guest(cid, ports, Operation::Shutdown).with_flags(NO_MORE_SENT);
            self.replies
                .push_back(end.with_credit(&mut connection.credit));
        }
        self.settle(ports, Fate::Lives);
    }
}

/// How a turn of sending ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    /// The driver has nothing more.
    Drained,
    /// There may be more.
    More,
    /// It has to take replies first.
    HeldBack,
}

/// What came of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Understood,
    Nonsense,
}

/// Writes `bytes` into the buffers of a chain, and says how many they are.
///
/// # Errors
/// There is not that much room.
fn fill(chain: &Chain, memory: &GuestMemory, bytes: &[u8]) -> Result<u32, DeviceError> {
    if !chain.readable().is_empty() || chain.writable_bytes() < bytes.len() as u64 {
        return Err(DeviceError::NoReceiveBuffer { head: chain.head() });
    }
    chain.write(memory, bytes)
}
