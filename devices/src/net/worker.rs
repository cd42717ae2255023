//! The work of a card's thread: frames both ways, commands, announcements and the link, until it is to end.

use std::os::fd::AsFd;
use std::time::Instant;

use super::announce::Announcements;
use super::config::{CONTROL, LinkNews, RECEIVE, TRANSMIT, buffers, link_news};
use super::control;
use super::receive::{Receiver, Reception};
use super::transmit::Transmitter;
use super::{Link, NetHandle};
use crate::event::{descriptor, lower, wait_for};
use crate::virtio::{DeviceSignals, Orders, Progress, QueueIndex, Queues};
use crate::{DeviceError, GuestMemory, RateLimit};

/// Frames of one direction before it is the other's turn, and for one interrupt at most. Our choice.
const FRAMES_PER_TURN: u16 = 64;
/// The same of commands.
const COMMANDS_PER_TURN: u16 = 4;

/// A card at work for one driver.
#[derive(Debug)]
pub(super) struct Engine {
    card: NetHandle,
    memory: GuestMemory,
    receiver: Receiver,
    transmitter: Transmitter,
    link_news: LinkNews,
    announcements: Option<Announcements>,
}

impl Engine {
    /// For a driver with these features.
    pub(super) fn new(
        card: NetHandle,
        memory: GuestMemory,
        features: u64,
        limit: RateLimit,
        announcements: Option<Announcements>,
    ) -> Self {
        Self {
            receiver: Receiver::new(card.clone(), memory.clone(), buffers(features), limit),
            transmitter: Transmitter::new(card.clone(), memory.clone(), limit),
            link_news: link_news(features),
            card,
            memory,
            announcements,
        }
    }

    /// Serves all queues until it is to end, or the driver breaks one.
    pub(super) fn serve(mut self, queues: &mut Queues, orders: &Orders) -> Result<(), DeviceError> {
        let served = self.run(queues, orders);
        self.give_up(queues);
        served
    }

    /// Has the buffers put back that it holds.
    pub(super) fn give_up(&mut self, queues: &mut Queues) {
        if let Some(queue) = queues.get_mut(RECEIVE) {
            self.receiver.give_up(queue);
        }
    }

    fn run(&mut self, queues: &mut Queues, orders: &Orders) -> Result<(), DeviceError> {
        let mut ready = Ready::EVERYTHING;
        let mut progress = (Reception::More, Progress::More);
        while orders.go_on() {
            if ready.link {
                self.follow_link(&orders.signals);
            }
            self.announce();
            if ready.receives(progress.0) {
                progress.0 = self.receive(queues)?;
            }
            if ready.transmit || progress.1 == Progress::More {
                progress.1 = self.transmit(queues)?;
            }
            if ready.control {
                // What is left of it is kicked again.
                self.control(queues, &orders.signals)?;
            }
            ready = self.wait(&orders.signals, progress)?;
        }
        Ok(())
    }

    /// One turn of a queue that was kicked.
    pub(super) fn process(
        &mut self,
        queue: QueueIndex,
        queues: &mut Queues,
        signals: &DeviceSignals,
    ) -> Result<Progress, DeviceError> {
        self.follow_link(signals);
        self.announce();
        match queue {
            RECEIVE => Ok(match self.receive(queues)? {
                Reception::More => Progress::More,
                Reception::Idle | Reception::NoRoom | Reception::Gone => Progress::Drained,
            }),
            TRANSMIT => self.transmit(queues),
            _ => self.control(queues, signals).map(|()| Progress::Drained),
        }
    }

    /// One turn of receiving, where the driver does.
    fn receive(&mut self, queues: &mut Queues) -> Result<Reception, DeviceError> {
        match queues.get_mut(RECEIVE) {
            Some(queue) => self.receiver.turn(queue, FRAMES_PER_TURN),
            None => Ok(Reception::NoRoom),
        }
    }

    /// One turn of sending.
    fn transmit(&mut self, queues: &mut Queues) -> Result<Progress, DeviceError> {
        match queues.get_mut(TRANSMIT) {
            Some(queue) => self.transmitter.turn(queue, FRAMES_PER_TURN),
            None => Ok(Progress::Drained),
        }
    }

    /// One turn of commands.
    fn control(&mut self, queues: &mut Queues, signals: &DeviceSignals) -> Result<(), DeviceError> {
        if let Some(queue) = queues.get_mut(CONTROL)
            && control::turn(&self.card, &self.memory, queue, COMMANDS_PER_TURN)? == Progress::More
        {
            signals.kick(CONTROL);
        }
        Ok(())
    }

    /// Has the driver look at its link when that has changed.
    fn follow_link(&mut self, signals: &DeviceSignals) {
        let Some(link) = self.card.look_at_link() else {
            return;
        };
        log::info!("the network interface {} is {link}", self.card.tap().name());
        if self.link_news == LinkNews::Wanted {
            signals.config_changed();
        }
        // What was said into a link that was down, nobody has heard.
        if let (Link::Up, Some(announcements)) = (link, &mut self.announcements) {
            *announcements = Announcements::new(Instant::now());
        }
    }

    /// Says where the card is, when it is time to.
    fn announce(&mut self) {
        if let Some(announcements) = &mut self.announcements
            && announcements.take(Instant::now())
        {
            self.card.announce();
        }
    }

    /// Waits until something has to be said or done, after turns that ended so.
    fn wait(
        &self,
        signals: &DeviceSignals,
        (reception, sending): (Reception, Progress),
    ) -> Result<Ready, DeviceError> {
        let now = Instant::now();
        let announcement = self.announcements.as_ref();
        let patience = [
            announcement.and_then(|announcements| announcements.wait(now)),
            (reception == Reception::More).then(|| self.receiver.wait(now)),
            (sending == Progress::More).then(|| self.transmitter.wait(now)),
        ];
        let patience = patience.into_iter().flatten().min();
        let kick = |index: QueueIndex| signals.kick_event(index);
        let kicks = [RECEIVE, TRANSMIT, CONTROL].map(kick);
        let [receive, transmit, control] = kicks.map(|kick| kick.map(descriptor));
        // Frames that nobody would fetch, or an interface that is gone, must not keep us awake.
        let tap = match reception {
            Reception::Idle => Some(self.card.tap().as_fd()),
            Reception::More | Reception::NoRoom | Reception::Gone => None,
        };
        let link = self.card.tap().link_watch().map(AsFd::as_fd);
        let [receive, transmit, control, tap, link] =
            wait_for([receive, transmit, control, tap, link], patience)?;
        for (kick, is_raised) in kicks.into_iter().zip([receive, transmit, control]) {
            if let Some(kick) = kick.filter(|_| is_raised) {
                lower(kick);
            }
        }
        Ok(Ready {
            tap,
            link,
            receive,
            transmit,
            control,
        })
    }
}

/// What may have something to do.
#[derive(Clone, Copy, Debug)]
struct Ready {
    /// The interface: a frame, or a change of its link.
    tap: bool,
    link: bool,
    /// The queues.
    receive: bool,
    transmit: bool,
    control: bool,
}

impl Ready {
    const EVERYTHING: Self = Self {
        tap: true,
        link: true,
        receive: true,
        transmit: true,
        control: true,
    };

    /// Whether it is worth a turn of receiving after one that ended so.
    fn receives(&self, last: Reception) -> bool {
        match last {
            Reception::Idle => self.tap,
            Reception::NoRoom => self.receive,
            Reception::More => true,
            Reception::Gone => false,
        }
    }
}
