//! The block device as its transport sees it.

use serde::{Deserialize, Serialize};

use super::config::{QUEUE_SIZE, config_space, features};
use super::server::Server;
use super::worker::serve;
use super::{DiskCounters, DiskHandle, DiskImage, DiskSerial, SECTOR_BYTES};
use crate::rate::Limiter;
use crate::virtio::{
    Activation, DeviceType, Orders, Progress, QueueIndex, QueueThread, Queues, Service,
    VirtioDevice, read_config_bytes,
};
use crate::{DeviceError, RateLimit};

/// The one queue, requestq.
pub(super) const REQUESTS: QueueIndex = QueueIndex(0);

const QUEUE_MAX_SIZES: [u16; 1] = [QUEUE_SIZE];

/// Requests that one kick serves on an event loop before others have their turn.
const REQUESTS_PER_TURN: u16 = 4;

/// A disk.
#[derive(Debug)]
pub struct Blk {
    handle: DiskHandle,
    limit: RateLimit,
    service: Service,
    running: Option<Running>,
}

/// Who works on the queue.
#[derive(Debug)]
enum Running {
    OnItsThread(QueueThread),
    OnTheEventLoop(Server, Queues),
}

/// What is saved of a disk: none of its content.
///
/// Plain and untrusted: [`VirtioDevice::restore`] is the only way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlkState {
    /// How long the driver believes it to be.
    pub capacity_sectors: u64,
    /// What it has done so far.
    pub counters: DiskCounters,
}

impl Blk {
    /// What drivers know it as (virtio 1.2, section 5).
    pub const DEVICE_TYPE: DeviceType = DeviceType(2);

    /// A disk with the content of `image`, served by a thread of its own.
    #[must_use]
    pub fn new(image: DiskImage, serial: DiskSerial) -> Self {
        Self {
            handle: DiskHandle::new(image, serial),
            limit: RateLimit::default(),
            service: Service::OwnThreads,
            running: None,
        }
    }

    /// The same with at most so much in a second.
    #[must_use]
    pub fn with_limit(mut self, limit: RateLimit) -> Self {
        self.limit = limit;
        self
    }

    /// The same without a thread: whoever kicks it waits for the storage, and knows when it is done.
    #[must_use]
    pub fn on_the_event_loop(mut self) -> Self {
        self.service = Service::EventLoop;
        self
    }

    /// The disk for those who watch and move it.
    #[must_use]
    pub fn handle(&self) -> DiskHandle {
        self.handle.clone()
    }

    fn capacity_sectors(&self) -> u64 {
        self.handle.image().shape().size_bytes / SECTOR_BYTES
    }
}

impl VirtioDevice for Blk {
    type State = BlkState;

    fn device_type(&self) -> DeviceType {
        Self::DEVICE_TYPE
    }

    fn features(&self) -> u64 {
        features(self.handle.image().shape())
    }

    fn queue_max_sizes(&self) -> &[u16] {
        &QUEUE_MAX_SIZES
    }

    fn service(&self) -> Service {
        self.service
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        read_config_bytes(&config_space(self.handle.image().shape()), offset, data);
    }

    /// Nothing in it can be changed: whether writes are cached is not offered as a choice.
    fn write_config(&mut self, _offset: u64, _data: &[u8]) {}

    fn start(&mut self, activation: Activation) {
        let server = Server::new(&self.handle, &activation);
        let Activation {
            features: _,
            memory: _,
            queues,
            signals,
        } = activation;
        self.running = Some(match self.service {
            Service::EventLoop => Running::OnTheEventLoop(server, queues),
            Service::OwnThreads => {
                let limiter = Limiter::new(self.limit);
                let work = move |queues: &mut Queues, orders: &Orders| {
                    serve(&server, limiter, queues, orders)
                };
                let thread = QueueThread::start("disk", queues, signals, REQUESTS, work);
                Running::OnItsThread(thread)
            }
        });
    }

    fn stop(&mut self) -> Queues {
        match self.running.take() {
            Some(Running::OnItsThread(thread)) => thread.stop(),
            Some(Running::OnTheEventLoop(_, queues)) => queues,
            None => Queues::default(),
        }
    }

    fn process(&mut self, index: QueueIndex) -> Result<Progress, DeviceError> {
        let Some(Running::OnTheEventLoop(server, queues)) = &mut self.running else {
            return Ok(Progress::Drained);
        };
        match queues.get_mut(index) {
            Some(queue) => queue.serve(REQUESTS_PER_TURN, |chain| server.serve(chain)),
            None => Ok(Progress::Drained),
        }
    }

    /// A driver has done nothing to a disk but to its content.
    fn reset(&mut self) {}

    fn save(&self) -> BlkState {
        BlkState {
            capacity_sectors: self.capacity_sectors(),
            counters: self.handle.counters(),
        }
    }

    fn restore(&mut self, state: BlkState) -> Result<(), DeviceError> {
        let BlkState {
            capacity_sectors,
            counters,
        } = state;
        let expected = self.capacity_sectors();
        if capacity_sectors != expected {
            return Err(DeviceError::SavedCapacity {
                found: capacity_sectors,
                expected,
            });
        }
        self.handle.set_counters(counters);
        Ok(())
    }
}

impl Drop for Blk {
    /// The thread ends, and with it goes the lock of the image.
    fn drop(&mut self) {
        self.stop();
    }
}
