//! The socket device as its transport sees it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::engine::{Engine, RECEIVE};
use super::{GuestCid, VsockCounters, VsockHandle, VsockListener};
use crate::virtio::{
    Activation, DeviceType, Orders, Progress, QueueIndex, QueueThread, Queues, Service,
    VirtioDevice, read_config_bytes,
};
use crate::{DeviceError, GuestMemory};

/// Descriptors of the queues rx, tx and event (section 5.10.2). Our choice: what other monitors have, and
/// enough for one event.
const QUEUE_SIZES: [u16; 3] = [256, 256, 16];

/// A socket device.
#[derive(Debug)]
pub struct Vsock {
    handle: VsockHandle,
    engine: Arc<Mutex<Engine>>,
    service: Service,
    running: Option<Running>,
}

/// Who works on the queues.
#[derive(Debug)]
enum Running {
    OnItsThread(QueueThread),
    OnTheEventLoop(GuestMemory, Queues),
}

/// What is saved of a socket device: none of its connections, which are this host's.
///
/// Plain and untrusted: [`VirtioDevice::restore`] is the only way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VsockState {
    /// The guest's address.
    pub cid: GuestCid,
    /// What the device has done so far.
    pub counters: VsockCounters,
}

impl Vsock {
    /// What drivers know it as (virtio 1.2, section 5).
    pub const DEVICE_TYPE: DeviceType = DeviceType(19);

    /// A device of a guest with that address, which programs of this host find at `listener`.
    ///
    /// # Errors
    /// The kernel has no file descriptor left.
    pub fn new(cid: GuestCid, listener: VsockListener) -> Result<Self, DeviceError> {
        let handle = VsockHandle::new(cid, listener);
        Ok(Self {
            engine: Arc::new(Mutex::new(Engine::new(handle.clone())?)),
            handle,
            service: Service::OwnThreads,
            running: None,
        })
    }

    /// The same without a thread: whoever kicks a queue knows when it is done. Programs are heard at kicks
    /// only.
    #[must_use]
    pub fn on_the_event_loop(mut self) -> Self {
        self.service = Service::EventLoop;
        self
    }

    /// The device for those who watch it.
    #[must_use]
    pub fn handle(&self) -> VsockHandle {
        self.handle.clone()
    }

    fn run(&self, activation: Activation) -> Running {
        let Activation {
            features: _,
            memory,
            queues,
            signals,
        } = activation;
        if self.service == Service::EventLoop {
            return Running::OnTheEventLoop(memory, queues);
        }
        let engine = Arc::clone(&self.engine);
        // It is the thread's as long as that runs.
        let work = move |queues: &mut Queues, orders: &Orders| {
            lock(&engine).serve(&memory, queues, orders)
        };
        Running::OnItsThread(QueueThread::start("vsock", queues, signals, RECEIVE, work))
    }
}

impl VirtioDevice for Vsock {
    type State = VsockState;

    fn device_type(&self) -> DeviceType {
        Self::DEVICE_TYPE
    }

    /// None: streams are all there is.
    fn features(&self) -> u64 {
        0
    }

    fn queue_max_sizes(&self) -> &[u16] {
        &QUEUE_SIZES
    }

    fn service(&self) -> Service {
        self.service
    }

    /// The only field is the guest's address (section 5.10.4).
    fn read_config(&self, offset: u64, data: &mut [u8]) {
        let space = u64::from(self.handle.cid().get()).to_le_bytes();
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
            Some(Running::OnTheEventLoop(_, queues)) => queues,
            None => Queues::default(),
        }
    }

    fn process(&mut self, _queue: QueueIndex) -> Result<Progress, DeviceError> {
        match &mut self.running {
            Some(Running::OnTheEventLoop(memory, queues)) => {
                lock(&self.engine).turn(memory, queues)
            }
            _ => Ok(Progress::Drained),
        }
    }

    fn reset(&mut self) {
        lock(&self.engine).forget();
    }

    fn save(&self) -> VsockState {
        VsockState {
            cid: self.handle.cid(),
            counters: self.handle.counters(),
        }
    }

    fn restore(&mut self, state: VsockState) -> Result<(), DeviceError> {
        let VsockState { cid, counters } = state;
        let expected = self.handle.cid();
        if cid != expected {
            return Err(DeviceError::SavedCid {
                found: cid,
                expected,
            });
        }
        self.handle.set_counters(counters);
        lock(&self.engine).come_from_elsewhere();
        Ok(())
    }
}

impl Drop for Vsock {
    /// The thread ends, and with it all connections.
    fn drop(&mut self) {
        self.stop();
    }
}

fn lock(engine: &Mutex<Engine>) -> MutexGuard<'_, Engine> {
    engine.lock().unwrap_or_else(PoisonError::into_inner)
}
