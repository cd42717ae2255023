//! The network device as its transport sees it.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::announce::Announcements;
use super::config::{
    Announcing, FEATURES, LinkNews, QUEUE_SIZES, RECEIVE, announces_itself, config_space,
    link_news, offloads,
};
use super::worker::Engine;
use super::{MacAddress, NetCounters, NetHandle, Tap};
use crate::virtio::{
    Activation, DeviceSignals, DeviceType, Orders, Progress, QueueIndex, QueueThread, Queues,
    Service, VirtioDevice, read_config_bytes,
};
use crate::{DeviceError, RateLimit};

/// A network card.
#[derive(Debug)]
pub struct Net {
    handle: NetHandle,
    limit: RateLimit,
    service: Service,
    presence: Presence,
    running: Option<Running>,
}

/// Whether the network knows where the card is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Known,
    /// It was elsewhere when it ran last.
    Moved,
}

/// Who works on the queues.
#[derive(Debug)]
enum Running {
    OnItsThread(QueueThread),
    OnTheEventLoop(Box<Engine>, DeviceSignals, Queues),
}

/// What is saved of a card: none of its frames.
///
/// Plain and untrusted: [`VirtioDevice::restore`] is the only way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetState {
    /// Which card the driver believes it to be.
    pub mac: MacAddress,
    /// What it has done so far.
    pub counters: NetCounters,
}

impl Net {
    /// What drivers know it as (virtio 1.2, section 5).
    pub const DEVICE_TYPE: DeviceType = DeviceType(1);

    /// A card of that address whose cable ends in `tap`.
    #[must_use]
    pub fn new(tap: Tap, mac: MacAddress) -> Self {
        Self {
            handle: NetHandle::new(tap, mac),
            limit: RateLimit::default(),
            service: Service::OwnThreads,
            presence: Presence::Known,
            running: None,
        }
    }

    /// The same with at most so much in a second, in each direction.
    #[must_use]
    pub fn with_limit(mut self, limit: RateLimit) -> Self {
        self.limit = limit;
        self
    }

    /// The same without a thread: whoever kicks a queue knows when it is done. Frames are received at
    /// kicks of their queue only.
    #[must_use]
    pub fn on_the_event_loop(mut self) -> Self {
        self.service = Service::EventLoop;
        self
    }

    /// The card for those who watch and move it.
    #[must_use]
    pub fn handle(&self) -> NetHandle {
        self.handle.clone()
    }

    /// What is to be said to the network about a card that has moved, and what its driver is to say.
    fn announcements(&self, presence: Presence, features: u64) -> Option<Announcements> {
        if presence == Presence::Known {
            return None;
        }
        if announces_itself(features) {
            self.handle.set_announcing(Announcing::Asked);
        }
        Some(Announcements::new(Instant::now()))
    }

    /// Has the driver look at its status, unless it has seen it as it is. What it saw elsewhere is not known.
    fn show_status(&self, presence: Presence, activation: &Activation) {
        let is_news = self.handle.look_at_link().is_some() || presence == Presence::Moved;
        if is_news && link_news(activation.features) == LinkNews::Wanted {
            activation.signals.config_changed();
        }
    }

    fn run(&mut self, activation: Activation) -> Running {
        let presence = std::mem::replace(&mut self.presence, Presence::Known);
        let announcements = self.announcements(presence, activation.features);
        self.show_status(presence, &activation);
        let Activation {
            features,
            memory,
            queues,
            signals,
        } = activation;
        let tap = self.handle.tap();
        if let Err(source) = tap.set_offloads(offloads(features)) {
            let name = tap.name().clone();
            let error = DeviceError::SetUpTap { name, source };
            return Running::OnItsThread(QueueThread::fail(queues, &signals, error));
        }
        let engine = Engine::new(
            self.handle.clone(),
            memory,
            features,
            self.limit,
            announcements,
        );
        if self.service == Service::EventLoop {
            return Running::OnTheEventLoop(Box::new(engine), signals, queues);
        }
        let work = move |queues: &mut Queues, orders: &Orders| engine.serve(queues, orders);
        Running::OnItsThread(QueueThread::start("net", queues, signals, RECEIVE, work))
    }
}

impl VirtioDevice for Net {
    type State = NetState;

    fn device_type(&self) -> DeviceType {
        Self::DEVICE_TYPE
    }

    fn features(&self) -> u64 {
        FEATURES
    }

    fn queue_max_sizes(&self) -> &[u16] {
        &QUEUE_SIZES
    }

    fn service(&self) -> Service {
        self.service
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        let space = config_space(
            self.handle.mac(),
            self.handle.shown_link(),
            self.handle.announcing(),
        );
        read_config_bytes(&space, offset, data);
    }

    /// Nothing in it can be changed.
    fn write_config(&mut self, _offset: u64, _data: &[u8]) {}

    fn start(&mut self, activation: Activation) {
        self.running = Some(self.run(activation));
    }

    fn stop(&mut self) -> Queues {
        match self.running.take() {
            Some(Running::OnItsThread(thread)) => thread.stop(),
            Some(Running::OnTheEventLoop(mut engine, _, mut queues)) => {
                engine.give_up(&mut queues);
                queues
            }
            None => Queues::default(),
        }
    }

    fn process(&mut self, queue: QueueIndex) -> Result<Progress, DeviceError> {
        match &mut self.running {
            Some(Running::OnTheEventLoop(engine, signals, queues)) => {
                engine.process(queue, queues, signals)
            }
            _ => Ok(Progress::Drained),
        }
    }

    fn reset(&mut self) {
        self.handle.set_announcing(Announcing::No);
    }

    fn save(&self) -> NetState {
        NetState {
            mac: self.handle.mac(),
            counters: self.handle.counters(),
        }
    }

    fn restore(&mut self, state: NetState) -> Result<(), DeviceError> {
        let NetState { mac, counters } = state;
        let expected = self.handle.mac();
        if mac != expected {
            return Err(DeviceError::SavedAddress {
                found: mac,
                expected,
            });
        }
        self.handle.set_counters(counters);
        // The driver has stopped where it was, and had until then all that was sent to everybody.
        self.handle.tap().forget();
        self.presence = Presence::Moved;
        Ok(())
    }
}

impl Drop for Net {
    /// The thread ends, and with it the use of the interface.
    fn drop(&mut self) {
        self.stop();
    }
}
