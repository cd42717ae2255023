//! What is saved of a device on MMIO.

use serde::{Deserialize, Serialize};

use super::{MmioTransport, Mode, Registers};
use crate::virtio::queue::VirtQueue;
use crate::virtio::status::Status;
use crate::virtio::{DeviceSignals, QueueState, VirtioDevice};
use crate::{DeviceError, GuestMemory, Interrupt};

/// The registers of a device, its queues, and what it says of itself.
///
/// Plain and untrusted: [`MmioTransport::restore`] is the only way back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransportState {
    /// The kind of device it was (virtio 1.2, section 5).
    pub device_type: u32,
    /// Status.
    pub status: u32,
    /// DeviceFeaturesSel.
    pub device_features_sel: u32,
    /// DriverFeaturesSel.
    pub driver_features_sel: u32,
    /// What the driver chose of the features.
    pub driver_features: u64,
    /// QueueSel.
    pub queue_sel: u32,
    /// InterruptStatus.
    pub interrupt_status: u32,
    /// ConfigGeneration.
    pub config_generation: u32,
    /// Every queue, in index order.
    pub queues: Vec<QueueState>,
    /// The device's own state, as it encodes it.
    pub device: Vec<u8>,
}

impl<D: VirtioDevice> MmioTransport<D> {
    /// Puts `device`, made afresh with the configuration it had, into a saved state. It is paused:
    /// neither guest memory nor the interrupt is touched before it resumes.
    ///
    /// # Errors
    /// No device of this configuration could have been in that state.
    pub fn restore(
        device: D,
        memory: GuestMemory,
        interrupt: Interrupt,
        state: TransportState,
    ) -> Result<Self, DeviceError> {
        let mut transport = Self::new(device, memory, interrupt)?;
        transport.mode = Mode::Paused;
        transport.restore_state(state)?;
        Ok(transport)
    }

    pub(super) fn save_state(&self) -> Result<TransportState, DeviceError> {
        let Self {
            device,
            memory: _,
            signals,
            kicks: _,
            registers,
            mode: _,
            is_running: _,
            misbehaviour: _,
        } = self;
        let Registers {
            status,
            device_features_sel,
            driver_features_sel,
            driver_features,
            queue_sel,
            queues,
        } = registers;
        let device_type = device.device_type();
        Ok(TransportState {
            device_type: device_type.0,
            status: status.bits(),
            device_features_sel: *device_features_sel,
            driver_features_sel: *driver_features_sel,
            driver_features: *driver_features,
            queue_sel: *queue_sel,
            interrupt_status: signals.status(),
            config_generation: signals.config_generation(),
            queues: queues.clone(),
            device: postcard::to_stdvec(&device.save()).map_err(|source| {
                DeviceError::EncodeState {
                    device_type,
                    source,
                }
            })?,
        })
    }

    fn restore_state(&mut self, state: TransportState) -> Result<(), DeviceError> {
        let TransportState {
            device_type,
            status,
            device_features_sel,
            driver_features_sel,
            driver_features,
            queue_sel,
            interrupt_status,
            config_generation,
            queues,
            device,
        } = state;
        let expected = self.device.device_type();
        if device_type != expected.0 {
            return Err(DeviceError::StateOfOtherDevice {
                expected,
                found: device_type,
            });
        }
        let status = Status::from_bits(status).ok_or(DeviceError::SavedStatus { status })?;
        if interrupt_status & !DeviceSignals::STATUS_BITS != 0 {
            return Err(DeviceError::SavedInterruptStatus { interrupt_status });
        }
        self.registers = Registers {
            status,
            device_features_sel,
            driver_features_sel,
            driver_features,
            queue_sel,
            queues,
        };
        if status.contains(Status::FEATURES_OK) && self.check_features().is_err() {
            let offered = self.offered_features();
            return Err(DeviceError::SavedFeatures {
                features: driver_features,
                offered,
            });
        }
        self.check_queues()?;
        self.signals.set(interrupt_status, config_generation);
        let device = postcard::from_bytes(&device).map_err(|source| DeviceError::DecodeState {
            device_type: expected,
            source,
        })?;
        self.device.restore(device)
    }

    fn check_queues(&self) -> Result<(), DeviceError> {
        let (queues, max_sizes) = (&self.registers.queues, self.device.queue_max_sizes());
        if queues.len() != max_sizes.len() {
            let (found, expected) = (queues.len(), max_sizes.len());
            return Err(DeviceError::SavedQueueCount { found, expected });
        }
        let event_index = self.registers.event_index();
        for (queue, max_size) in queues
            .iter()
            .zip(max_sizes)
            .filter(|(queue, _)| queue.ready)
        {
            VirtQueue::new(queue, *max_size, event_index, &self.memory, &self.signals)?;
        }
        Ok(())
    }
}
