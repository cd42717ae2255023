//! The contract between a virtio device and its transport.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{DeviceSignals, Queues};
use crate::{DeviceError, GuestMemory};

/// What kind of device a driver finds (virtio 1.2, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceType(pub u32);

/// The number of a queue within its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueueIndex(pub u16);

/// Everything a device needs while it runs.
#[derive(Debug)]
pub struct Activation {
    /// The features that device and driver agreed on.
    pub features: u64,
    /// The guest's RAM. Buffers of a [`Chain`](super::Chain) lie inside it.
    pub memory: GuestMemory,
    /// The queues the driver has set up.
    pub queues: Queues,
    /// How the device reaches its driver.
    pub signals: DeviceSignals,
}

/// Who serves a device's queues when they are kicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Whoever watches the [kicks](super::VirtioTransport::watched_kicks): [`VirtioDevice::process`]
    /// is called.
    EventLoop,
    /// The device itself, on threads that run while it does.
    OwnThreads,
}

/// How far a device got with a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The queue was empty; the driver will kick when it is not.
    Drained,
    /// There is more to do: call again once others have had their turn.
    More,
}

/// A virtio device, without the registers that all have in common.
///
/// The transport calls it under its own lock, from whichever thread holds that, in this order:
/// `restore` at most once and first; then `start`, any number of `process`, `stop`, and again;
/// `reset` and `save` only while stopped; the configuration space at any time. A stopped device
/// touches neither guest memory nor its signals.
pub trait VirtioDevice: fmt::Debug + Send {
    /// What is saved of the device beyond its queues: plain data, untrusted when it comes back.
    type State: Serialize + DeserializeOwned;

    /// What the driver takes it for.
    fn device_type(&self) -> DeviceType;

    /// The features the device offers of its own; those of rings and transport are not its affair.
    fn features(&self) -> u64;

    /// How many descriptors each queue may have: powers of two, one per queue.
    fn queue_max_sizes(&self) -> &[u16];

    /// Who serves the queues; the same for the life of the device.
    fn service(&self) -> Service;

    /// Fills `data`, which holds zeroes, with the configuration space from `offset` on; see
    /// [`read_config_bytes`].
    fn read_config(&self, offset: u64, data: &mut [u8]);

    /// Takes what the driver writes to the configuration space.
    fn write_config(&mut self, offset: u64, data: &[u8]);

    /// Begins to serve the queues. Each of them is kicked right afterwards when the device
    /// continues after a pause.
    fn start(&mut self, activation: Activation);

    /// Ceases to serve the queues and gives them back, with no chain left half done.
    fn stop(&mut self) -> Queues;

    /// Serves a queue whose driver has kicked it, or may have. A device that serves its queues
    /// itself is not called, and reports a broken queue by [`DeviceSignals::fail`].
    ///
    /// # Errors
    /// The driver broke the queue: the transport stops the device and tells the driver that it
    /// needs a reset.
    fn process(&mut self, queue: QueueIndex) -> Result<Progress, DeviceError>;

    /// Forgets what a driver did to the device.
    fn reset(&mut self);

    /// What [`Self::restore`] needs to make a fresh device like this one.
    fn save(&self) -> Self::State;

    /// Takes the place of a saved device.
    ///
    /// # Errors
    /// No device of this configuration could have been in that state.
    fn restore(&mut self, state: Self::State) -> Result<(), DeviceError>;
}

/// Copies what the driver reads at `offset` out of a configuration space; past its end, `data`
/// stays as it is.
pub fn read_config_bytes(config: &[u8], offset: u64, data: &mut [u8]) {
    let from_offset = usize::try_from(offset)
        .ok()
        .and_then(|offset| config.get(offset..));
    for (byte, value) in data.iter_mut().zip(from_offset.unwrap_or_default()) {
        *byte = *value;
    }
}
