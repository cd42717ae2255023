//! The balloon device: serves its queues and keeps the books.

use std::sync::{Arc, Mutex};

use devices::virtio::{
    Activation, Chain, DeviceType, Progress, QueueIndex, Queues, Service, VirtioDevice,
    read_config_bytes,
};
use devices::{DeviceError, GuestMemory, Misbehaviour};
use vm_memory::{GuestMemoryBackend, GuestMemoryRegion};

use crate::control::{Running, Shared};
use crate::pfn::PAGE_BYTES;
use crate::queues::{FREE_PAGE_HINT, MAX_SIZES, OFFERED, PAGE_REPORTING, Role};
use crate::{BalloonHandle, Ledger, PageReclaim};

mod services;
mod state;
#[cfg(test)]
mod tests;

pub use state::BalloonState;

use services::Services;

/// How many requests a queue gets served before others have their turn; our choice: few, because
/// each of them can discard a lot.
const REQUESTS_PER_TURN: u16 = 4;

/// A memory balloon.
///
/// Inflated pages are discarded and entered in a ledger; deflated ones are crossed out. Reported
/// pages are discarded, unless the guest relies on what it fills free pages with.
#[derive(Debug)]
pub struct Balloon {
    memory: GuestMemory,
    reclaim: Box<dyn PageReclaim>,
    offered: u64,
    shared: BalloonHandle,
    activation: Option<Activation>,
    /// The buffer that the driver leaves here until somebody wants statistics.
    statistics_buffer: Option<Chain>,
    misbehaviour: Misbehaviour,
}

impl Balloon {
    /// What drivers know it as (virtio 1.2, section 5).
    pub const DEVICE_TYPE: DeviceType = DeviceType(5);

    /// Makes an empty balloon for a guest with this memory.
    pub fn new(memory: GuestMemory, reclaim: Box<dyn PageReclaim>) -> Self {
        let memory_bytes: u64 = memory.iter().map(GuestMemoryRegion::len).sum();
        let shared = Shared {
            memory_pages: u32::try_from(memory_bytes / PAGE_BYTES).unwrap_or(u32::MAX),
            ..Shared::default()
        };
        Self {
            memory,
            reclaim,
            offered: OFFERED,
            shared: BalloonHandle(Arc::new(Mutex::new(shared))),
            activation: None,
            statistics_buffer: None,
            misbehaviour: Misbehaviour::default(),
        }
    }

    /// Has the guest keep to itself what it frees: no free page reporting.
    #[must_use]
    pub fn without_reporting(mut self) -> Self {
        self.offered &= !PAGE_REPORTING;
        self
    }

    /// Has the guest name free pages when it is asked to, see [`BalloonHandle::ask_for_hints`]. That
    /// is of little use beside reporting, which has given most of them back, and is not for nothing:
    /// a Linux guest allocates what it names, keeps it until the end, and with `init_on_alloc`, the
    /// default of many distributions, fills it with zeroes before.
    #[must_use]
    pub fn with_hinting(mut self) -> Self {
        self.offered |= FREE_PAGE_HINT;
        self
    }

    /// A handle to control and watch it with.
    pub fn handle(&self) -> BalloonHandle {
        self.shared.clone()
    }
}

impl VirtioDevice for Balloon {
    type State = BalloonState;

    fn device_type(&self) -> DeviceType {
        Self::DEVICE_TYPE
    }

    fn features(&self) -> u64 {
        self.offered
    }

    fn queue_max_sizes(&self) -> &[u16] {
        &MAX_SIZES
    }

    fn service(&self) -> Service {
        Service::EventLoop
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        let shared = self.shared.lock();
        let bytes = shared.config.to_bytes(shared.hinting.command());
        read_config_bytes(&bytes, offset, data);
    }

    fn write_config(&mut self, offset: u64, data: &[u8]) {
        let written = self.shared.lock().config.write(offset, data);
        if written.is_none() {
            let what = format_args!("configuration written at {offset:#x}+{}", data.len());
            self.misbehaviour.note(&"balloon", &what);
        }
    }

    fn start(&mut self, activation: Activation) {
        let mut shared = self.shared.lock();
        let Activation {
            features, signals, ..
        } = &activation;
        // Either may have changed while nobody could be told. Who asked for hints elsewhere has what
        // it wanted.
        let is_released = shared.hinting.settle();
        if is_released || shared.config.target_pages != shared.config.actual_pages {
            signals.config_changed();
        }
        shared.running = Some(Running {
            features: *features,
            signals: signals.clone(),
        });
        drop(shared);
        self.activation = Some(activation);
    }

    fn stop(&mut self) -> Queues {
        self.shared.lock().running = None;
        let buffer = self.statistics_buffer.take();
        let Some(Activation {
            features,
            mut queues,
            ..
        }) = self.activation.take()
        else {
            return Queues::default();
        };
        // The buffer is found again when the device goes on.
        if let Some(buffer) = buffer
            && let Some(queue) = Role::Statistics
                .index(features)
                .and_then(|i| queues.get_mut(i))
        {
            queue.untake(buffer);
        }
        queues
    }

    fn process(&mut self, index: QueueIndex) -> Result<Progress, DeviceError> {
        let Self {
            activation,
            reclaim,
            shared,
            statistics_buffer,
            ..
        } = self;
        let Some(Activation {
            features,
            memory,
            queues,
            ..
        }) = activation
        else {
            return Ok(Progress::Drained);
        };
        let (Some(role), Some(queue)) = (Role::of(index, *features), queues.get_mut(index)) else {
            return Ok(Progress::Drained);
        };
        let services = Services {
            memory,
            reclaim: reclaim.as_ref(),
            shared,
            features: *features,
        };
        match role {
            Role::Inflate => queue.serve(REQUESTS_PER_TURN, |chain| services.inflate(chain)),
            Role::Deflate => queue.serve(REQUESTS_PER_TURN, |chain| services.deflate(chain)),
            Role::Hints => queue.serve(REQUESTS_PER_TURN, |chain| services.hint(chain)),
            Role::Reporting => queue.serve(REQUESTS_PER_TURN, |chain| services.report(chain)),
            Role::Statistics => services.collect_statistics(queue, statistics_buffer),
        }
    }

    /// The target and what sets it stay: they are the host's. A driver that starts anew knows of no
    /// page in the balloon and may use them all.
    fn reset(&mut self) {
        let Self {
            memory: _,
            reclaim: _,
            offered: _,
            shared,
            activation,
            statistics_buffer,
            misbehaviour: _,
        } = self;
        *activation = None;
        *statistics_buffer = None;
        let mut shared = shared.lock();
        let Shared {
            config,
            ledger,
            reported: _,
            discarded: _,
            failed_discards: _,
            hinting,
            statistics,
            fresh_actual_pages,
            memory_pages: _,
            is_giving: _,
            policy: _,
            are_statistics_wanted,
            running,
        } = &mut *shared;
        config.actual_pages = 0;
        config.poison_value = 0;
        *ledger = Ledger::default();
        hinting.reset();
        *statistics = None;
        *fresh_actual_pages = None;
        *are_statistics_wanted = false;
        *running = None;
    }

    fn save(&self) -> BalloonState {
        self.save_state()
    }

    fn restore(&mut self, state: BalloonState) -> Result<(), DeviceError> {
        Ok(self.restore_state(state)?)
    }
}
