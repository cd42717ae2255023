//! The connections of a guest, and the programs of the host at their other ends.

use std::collections::{HashMap, VecDeque};
use std::io::ErrorKind;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;

use super::connection::{Connection, Fate, Greeting, Stage};
use super::credit::WINDOW_BYTES;
use super::packet::{HEADER_BYTES, Header, NO_MORE_RECEIVED, NO_MORE_SENT, Operation, Ports};
use super::{VsockCounters, VsockHandle};
use crate::event::{descriptor, lower, wait_for};
use crate::virtio::{Orders, Progress, QueueIndex, Queues};
use crate::{DeviceError, GuestMemory};

/// The queues rx, tx and event (virtio 1.2, section 5.10.2).
pub(super) const RECEIVE: QueueIndex = QueueIndex(0);
pub(super) const TRANSMIT: QueueIndex = QueueIndex(1);
pub(super) const EVENT: QueueIndex = QueueIndex(2);

/// Most connections. Our choice: what the guest sends and nobody reads takes 64 KiB of each.
const MAX_CONNECTIONS: usize = 256;

/// Replies that wait for room in the guest before nothing more is taken from it, and nobody let in. Our
/// choice.
pub(super) const MAX_REPLIES: usize = 256;

/// Programs that are let in, and that are heard, in one turn. Our choice.
const PROGRAMS_PER_TURN: usize = 64;

/// The ports by which programs are known to the guest: upwards from here. Those below are for programs
/// that listen.
const FIRST_PROGRAM_PORT: u32 = 1 << 30;

/// Who has not said which port it wants (VMADDR_PORT_ANY, which nobody has).
const NO_PORT: u32 = u32::MAX;

/// How long nobody is let in after that failed. Our choice.
const DEAFNESS: Duration = Duration::from_secs(1);

/// How long a program may take to say which port it wants. Our choice.
const GREETING_PATIENCE: Duration = Duration::from_secs(10);

/// How long a guest may take to answer. Our choice: as long as Linux waits for such an answer itself.
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);

/// How long a guest may take to confirm an end. Linux does it at once.
const END_PATIENCE: Duration = Duration::from_secs(8);

/// All connections of one guest. They outlast a pause, and nothing else.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) device: VsockHandle,
    pub(super) connections: HashMap<Ports, Connection>,
    /// What is to be said to the guest before anything else.
    pub(super) replies: VecDeque<Header>,
    /// Connections whose programs may have said something, each once.
    pub(super) speakers: VecDeque<Ports>,
    /// Tells which programs have said something, or have room.
    watch: OwnedFd,
    next_port: u32,
    /// Until when nobody is let in, because the process has no file descriptor left.
    deaf_until: Option<Instant>,
    /// Room for one packet.
    pub(super) packet: Box<[u8]>,
    /// The guest has to be told that its connections are gone.
    pub(super) is_reset_owed: bool,
}

impl Engine {
    pub(super) fn new(device: VsockHandle) -> Result<Self, DeviceError> {
        let watch = epoll::create(CreateFlags::CLOEXEC);
        Ok(Self {
            device,
            connections: HashMap::new(),
            replies: VecDeque::new(),
            speakers: VecDeque::new(),
            watch: watch.map_err(|errno| DeviceError::CreateEvent(errno.into()))?,
            next_port: FIRST_PROGRAM_PORT,
            deaf_until: None,
            packet: vec![0; HEADER_BYTES + WINDOW_BYTES as usize].into(),
            is_reset_owed: false,
        })
    }

    /// The guest had connections elsewhere.
    pub(super) fn come_from_elsewhere(&mut self) {
        self.is_reset_owed = true;
    }

    /// As if there had been no driver.
    pub(super) fn forget(&mut self) {
        self.connections.clear();
        self.replies.clear();
        self.speakers.clear();
        self.is_reset_owed = false;
    }

    /// Serves all queues until it is to end, or the driver breaks one.
    pub(super) fn serve(
        &mut self,
        memory: &GuestMemory,
        queues: &mut Queues,
        orders: &Orders,
    ) -> Result<(), DeviceError> {
        while orders.go_on() {
            let progress = self.turn(memory, queues)?;
            self.wait(orders, progress)?;
        }
        Ok(())
    }

    /// Has everybody's turn, once.
    ///
    /// # Errors
    /// The driver broke a queue, or the kernel refuses.
    pub(super) fn turn(
        &mut self,
        memory: &GuestMemory,
        queues: &mut Queues,
    ) -> Result<Progress, DeviceError> {
        let now = Instant::now();
        self.let_in(now);
        self.hear_programs(now)?;
        self.expire(now);
        self.tell_reset(memory, queues)?;
        self.move_packets(memory, queues)
    }

    /// Waits until somebody has something to say.
    fn wait(&self, orders: &Orders, progress: Progress) -> Result<(), DeviceError> {
        let deadlines = self.connections.values().filter_map(Connection::deadline);
        let deadlines = deadlines.chain(self.deaf_until);
        let patience = match progress {
            Progress::More => Some(Duration::ZERO),
            Progress::Drained => deadlines
                .min()
                .map(|deadline| deadline.saturating_duration_since(Instant::now())),
        };
        let kicks = [RECEIVE, TRANSMIT, EVENT].map(|index| orders.signals.kick_event(index));
        let [receive, transmit, event] = kicks.map(|kick| kick.map(descriptor));
        let watch = Some(self.watch.as_fd());
        let listener = self.deaf_until.is_none();
        let listener = listener.then(|| self.device.listener().as_fd());
        let [receive, transmit, event, ..] =
            wait_for([receive, transmit, event, watch, listener], patience)?;
        for (kick, is_raised) in kicks.into_iter().zip([receive, transmit, event]) {
            if let Some(kick) = kick.filter(|_| is_raised) {
                lower(kick);
            }
        }
        Ok(())
    }

    /// Lets programs in that want to talk to the guest. One too many finds its connection closed.
    fn let_in(&mut self, now: Instant) {
        if self.deaf_until.is_some_and(|until| now < until) {
            return;
        }
        self.deaf_until = None;
        for _ in 0..PROGRAMS_PER_TURN {
            let program = match self.device.listener().accept() {
                Ok(program) => program,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // It would be as ready the next time, and as useless.
                Err(_) => {
                    self.deaf_until = Some(now + DEAFNESS);
                    return;
                }
            };
            let ports = Ports {
                host: self.free_port(),
                guest: NO_PORT,
            };
            let until = now + GREETING_PATIENCE;
            if !self.insert(ports, Connection::new(program, Stage::Greeted { until })) {
                self.refuse();
            }
        }
    }

    /// A port that no other program is known by.
    fn free_port(&mut self) -> u32 {
        loop {
            let port = self.next_port;
            self.next_port = match port.wrapping_add(1) {
                NO_PORT | 0..FIRST_PROGRAM_PORT => FIRST_PROGRAM_PORT,
                next => next,
            };
            if !self.connections.keys().any(|ports| ports.host == port) {
                return port;
            }
        }
    }

    /// Says whether there was room for it.
    fn insert(&mut self, ports: Ports, connection: Connection) -> bool {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        let is_taken = self.connections.len() < MAX_CONNECTIONS
            && self.replies.len() < MAX_REPLIES
            && epoll::add(&self.watch, &connection, data_of(ports), flags).is_ok();
        if is_taken {
            self.connections.insert(ports, connection);
        }
        is_taken
    }

    /// Hears which programs have said something, have room again, or are gone.
    fn hear_programs(&mut self, now: Instant) -> Result<(), DeviceError> {
        let mut events = [const { MaybeUninit::uninit() }; PROGRAMS_PER_TURN];
        let at_once = rustix::event::Timespec::default();
        match epoll::wait(&self.watch, &mut events, Some(&at_once)) {
            Ok((heard, _)) => {
                for event in heard {
                    self.hear_program(ports_of(event.data), event.flags, now);
                }
                Ok(())
            }
            Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(DeviceError::WaitForKick(errno.into())),
        }
    }

    fn hear_program(&mut self, ports: Ports, flags: EventFlags, now: Instant) {
        let Some(connection) = self.connections.get_mut(&ports) else {
            return;
        };
        connection.is_hung_up |= flags.intersects(EventFlags::HUP | EventFlags::ERR);
        if let Stage::Greeted { .. } = connection.stage() {
            match connection.hear_greeting() {
                Greeting::Port(port) => self.ask(ports, port, now),
                Greeting::Unfinished if !connection.is_hung_up => {}
                Greeting::Unfinished | Greeting::Wrong => {
                    self.connections.remove(&ports);
                    self.refuse();
                }
            }
            return;
        }
        let heard = EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
        if flags.intersects(heard) && !connection.is_readable {
            connection.is_readable = true;
            self.speakers.push_back(ports);
        }
        let fate = connection.flush();
        self.settle(ports, fate);
    }

    /// Asks the guest whether it takes the connection of a program that has said which port it wants.
    fn ask(&mut self, greeted: Ports, guest: u32, now: Instant) {
        let Some(mut connection) = self.connections.remove(&greeted) else {
            return;
        };
        let ports = Ports { guest, ..greeted };
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        let known = epoll::modify(&self.watch, &connection, data_of(ports), flags);
        if guest == NO_PORT || known.is_err() {
            self.refuse();
            return;
        }
        connection.ask(now + ANSWER_PATIENCE);
        let request = Header::to_guest(self.device.cid(), ports, Operation::Request);
        self.replies
            .push_back(request.with_credit(&mut connection.credit));
        self.speakers.push_back(ports);
        self.connections.insert(ports, connection);
    }

    /// The guest wants to talk to whoever listens on a port of the host.
    pub(super) fn open(&mut self, ports: Ports, credit: (u32, u32)) {
        // Who asks twice has forgotten the first.
        let is_known = self.connections.remove(&ports).is_some();
        let program = self.device.listener().connect(ports.host);
        let opened = match program {
            Ok(program) if !is_known && ports.guest != NO_PORT => {
                self.insert(ports, Connection::new(program, Stage::Open))
            }
            _ => false,
        };
        let cid = self.device.cid();
        match self.connections.get_mut(&ports).filter(|_| opened) {
            Some(connection) => {
                connection.credit.hear(credit);
                let response = Header::to_guest(cid, ports, Operation::Response);
                self.replies
                    .push_back(response.with_credit(&mut connection.credit));
                self.count_connection();
            }
            None => {
                self.refuse();
                self.reset(ports);
            }
        }
    }

    /// Gives up on those who have kept us waiting for too long.
    fn expire(&mut self, now: Instant) {
        let is_late = |connection: &Connection| {
            let deadline = connection.deadline();
            deadline.is_some_and(|deadline| deadline <= now)
        };
        let late = self.connections.iter();
        let late = late.filter(|(_, connection)| is_late(connection));
        let late: Vec<_> = late.map(|(ports, _)| *ports).collect();
        for ports in late {
            self.connections.remove(&ports);
            if ports.guest != NO_PORT {
                self.reset(ports);
            }
        }
    }

    /// Does what the state of a connection asks for, now that something has happened to it.
    pub(super) fn settle(&mut self, ports: Ports, fate: Fate) {
        let cid = self.device.cid();
        let Some(connection) = self.connections.get_mut(&ports) else {
            return;
        };
        match fate {
            Fate::Lives if connection.has_heard_all() && connection.is_hung_up => {
                if connection.stage() == Stage::Open {
                    connection.end(Instant::now() + END_PATIENCE);
                    self.replies.push_back(
                        Header::to_guest(cid, ports, Operation::Shutdown)
                            .with_flags(NO_MORE_RECEIVED | NO_MORE_SENT)
                            .with_credit(&mut connection.credit),
                    );
                }
            }
            Fate::Lives if connection.credit.is_news() => {
                let update = Header::to_guest(cid, ports, Operation::CreditUpdate);
                self.replies
                    .push_back(update.with_credit(&mut connection.credit));
            }
            Fate::Lives => {}
            Fate::Ends => self.close(ports),
            Fate::Breaks => {
                self.refuse();
                self.close(ports);
            }
        }
    }

    /// Ends a connection on both sides.
    fn close(&mut self, ports: Ports) {
        self.connections.remove(&ports);
        self.reset(ports);
    }

    /// Tells the guest that there is no such connection.
    pub(super) fn reset(&mut self, ports: Ports) {
        let reset = Header::to_guest(self.device.cid(), ports, Operation::Reset);
        self.replies.push_back(reset);
    }

    pub(super) fn count_connection(&self) {
        self.device.count(VsockCounters {
            connections: 1,
            ..VsockCounters::default()
        });
    }

    fn refuse(&self) {
        self.device.count(VsockCounters {
            refused: 1,
            ..VsockCounters::default()
        });
    }
}

fn data_of(ports: Ports) -> EventData {
    EventData::new_u64(u64::from(ports.host) << 32 | u64::from(ports.guest))
}

fn ports_of(data: EventData) -> Ports {
    let [h0, h1, h2, h3, g0, g1, g2, g3] = data.u64().to_be_bytes();
    Ports {
        host: u32::from_be_bytes([h0, h1, h2, h3]),
        guest: u32::from_be_bytes([g0, g1, g2, g3]),
    }
}
