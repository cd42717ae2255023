//! Accesses to the registers.

use virtio_bindings::virtio_config::VIRTIO_F_VERSION_1;

use super::refusal::Refusal;
use super::{MmioTransport, VirtioTransport as _};
use crate::BusDevice;
use crate::event::raise;
use crate::virtio::queue::VirtQueue;
use crate::virtio::status::Status;
use crate::virtio::{QueueState, VirtioDevice, registers as reg};

impl<D: VirtioDevice> BusDevice for MmioTransport<D> {
    fn read(&mut self, offset: u64, data: &mut [u8]) {
        data.fill(0);
        if let Some(config_offset) = offset.checked_sub(reg::CONFIG) {
            return self.device.read_config(config_offset, data);
        }
        let value = match <&mut [u8; 4]>::try_from(&mut *data) {
            Ok(word) => self
                .read_register(offset)
                .map(|value| *word = value.to_le_bytes()),
            Err(_) => Err(Refusal::AccessSize {
                offset,
                len_bytes: data.len(),
            }),
        };
        if let Err(refusal) = value {
            self.refuse(&refusal);
        }
    }

    fn write(&mut self, offset: u64, data: &[u8]) {
        if let Some(config_offset) = offset.checked_sub(reg::CONFIG) {
            return self.device.write_config(config_offset, data);
        }
        let written = match <[u8; 4]>::try_from(data) {
            Ok(word) => self.write_register(offset, u32::from_le_bytes(word)),
            Err(_) => Err(Refusal::AccessSize {
                offset,
                len_bytes: data.len(),
            }),
        };
        match written {
            Ok(()) => {}
            Err(refusal @ Refusal::QueueUnusable { .. }) => self.fail(&refusal),
            Err(refusal) => self.refuse(&refusal),
        }
    }
}

impl<D: VirtioDevice> MmioTransport<D> {
    fn read_register(&self, offset: u64) -> Result<u32, Refusal> {
        let registers = &self.registers;
        Ok(match offset {
            reg::MAGIC_VALUE => reg::MAGIC,
            reg::VERSION => reg::MODERN,
            reg::DEVICE_ID => self.device_type().0,
            reg::VENDOR_ID => reg::VENDOR,
            reg::DEVICE_FEATURES => {
                reg::selected_half(self.offered_features(), registers.device_features_sel)
            }
            reg::QUEUE_SIZE_MAX => self.selected_max_size(),
            reg::QUEUE_READY => self
                .selected_queue()
                .map_or(0, |queue| u32::from(queue.ready)),
            reg::INTERRUPT_STATUS => self.signals.status(),
            reg::STATUS => registers.status.bits(),
            reg::SHM_LEN_LOW | reg::SHM_LEN_HIGH | reg::SHM_BASE_LOW | reg::SHM_BASE_HIGH => {
                reg::NO_SHARED_MEMORY
            }
            reg::CONFIG_GENERATION => self.signals.config_generation(),
            _ => return Err(Refusal::NotReadable { offset }),
        })
    }

    fn write_register(&mut self, offset: u64, value: u32) -> Result<(), Refusal> {
        match offset {
            reg::DEVICE_FEATURES_SEL => self.registers.device_features_sel = value,
            reg::DRIVER_FEATURES_SEL => self.registers.driver_features_sel = value,
            reg::DRIVER_FEATURES => self.write_driver_features(value)?,
            reg::QUEUE_SEL => self.registers.queue_sel = value,
            reg::QUEUE_SIZE => {
                self.unready_queue()?.size = u16::try_from(value)
                    .ok()
                    .filter(|size| size.is_power_of_two())
                    .ok_or(Refusal::QueueSize { size: value })?;
            }
            reg::QUEUE_DESC_LOW => reg::set_low(&mut self.unready_queue()?.descriptor_table, value),
            reg::QUEUE_DESC_HIGH => {
                reg::set_high(&mut self.unready_queue()?.descriptor_table, value);
            }
            reg::QUEUE_DRIVER_LOW => reg::set_low(&mut self.unready_queue()?.available_ring, value),
            reg::QUEUE_DRIVER_HIGH => {
                reg::set_high(&mut self.unready_queue()?.available_ring, value);
            }
            reg::QUEUE_DEVICE_LOW => reg::set_low(&mut self.unready_queue()?.used_ring, value),
            reg::QUEUE_DEVICE_HIGH => reg::set_high(&mut self.unready_queue()?.used_ring, value),
            reg::QUEUE_READY => self.write_queue_ready(value)?,
            reg::QUEUE_NOTIFY => self.kick(value)?,
            reg::INTERRUPT_ACK => self.signals.acknowledge(value),
            reg::STATUS => self.write_status(value)?,
            // There are no shared memory regions to select.
            reg::SHM_SEL => {}
            _ => return Err(Refusal::NotWritable { offset }),
        }
        Ok(())
    }

    fn selected_queue(&self) -> Option<&QueueState> {
        self.registers
            .queues
            .get(usize::try_from(self.registers.queue_sel).ok()?)
    }

    /// Zero says that there is no such queue.
    fn selected_max_size(&self) -> u32 {
        let index = usize::try_from(self.registers.queue_sel).unwrap_or(usize::MAX);
        self.device
            .queue_max_sizes()
            .get(index)
            .copied()
            .map_or(0, u32::from)
    }

    /// The selected queue, if the driver may set it up now.
    fn unready_queue(&mut self) -> Result<&mut QueueState, Refusal> {
        let (index, status) = (self.registers.queue_sel, self.registers.status);
        let queue = usize::try_from(index)
            .ok()
            .and_then(|index| self.registers.queues.get_mut(index))
            .ok_or(Refusal::NoSuchQueue { index })?;
        if !status.is_configuring() {
            return Err(Refusal::QueueTooEarlyOrLate {
                index,
                status: status.bits(),
            });
        }
        if queue.ready {
            return Err(Refusal::QueueIsReady { index });
        }
        Ok(queue)
    }

    fn write_queue_ready(&mut self, value: u32) -> Result<(), Refusal> {
        match value {
            0 => self.discard_selected_queue(),
            1 => self.accept_selected_queue(),
            _ => Err(Refusal::ReadyValue { value }),
        }
    }

    /// A driver that is done with a queue says so; the others go on.
    fn discard_selected_queue(&mut self) -> Result<(), Refusal> {
        let index = self.registers.queue_sel;
        let max_size = self.selected_max_size();
        if self
            .selected_queue()
            .ok_or(Refusal::NoSuchQueue { index })?
            .ready
        {
            self.halt();
            let unused = u16::try_from(max_size).expect("a queue's size has 16 bits");
            if let Some(queue) = self.registers.queues.get_mut(index as usize) {
                *queue = QueueState::unused(unused);
            }
            self.sync();
        }
        Ok(())
    }

    fn accept_selected_queue(&mut self) -> Result<(), Refusal> {
        let index = self.registers.queue_sel;
        let candidate = QueueState {
            ready: true,
            ..*self.unready_queue()?
        };
        let max_size = u16::try_from(self.selected_max_size()).expect("a size has 16 bits");
        VirtQueue::new(
            &candidate,
            max_size,
            self.registers.event_index(),
            &self.memory,
            &self.signals,
        )
        .map_err(|reason| Refusal::QueueUnusable { index, reason })?;
        *self.unready_queue()? = candidate;
        Ok(())
    }

    fn kick(&mut self, index: u32) -> Result<(), Refusal> {
        let kick = usize::try_from(index)
            .ok()
            .and_then(|index| self.kicks.get(index));
        raise(kick.ok_or(Refusal::NoSuchQueue { index })?);
        Ok(())
    }

    fn write_driver_features(&mut self, value: u32) -> Result<(), Refusal> {
        let status = self.registers.status;
        if !status.is_negotiating() {
            return Err(Refusal::FeaturesTooEarlyOrLate {
                status: status.bits(),
            });
        }
        match self.registers.driver_features_sel {
            0 => reg::set_low(&mut self.registers.driver_features, value),
            1 => reg::set_high(&mut self.registers.driver_features, value),
            // Drivers clear the upper halves of a register that may one day be wider.
            _ => {}
        }
        Ok(())
    }

    fn write_status(&mut self, bits: u32) -> Result<(), Refusal> {
        if bits == 0 {
            self.reset();
            return Ok(());
        }
        let from = self.registers.status;
        let next = from.advanced_to(bits).ok_or(Refusal::StatusOrder {
            from: from.bits(),
            to: bits,
        })?;
        let is_negotiated = next.contains(Status::FEATURES_OK) && from.is_negotiating();
        if let (true, Err(refusal)) = (is_negotiated, self.check_features()) {
            self.registers.status = next.without(Status::FEATURES_OK | Status::DRIVER_OK);
            return Err(refusal);
        }
        self.registers.status = next;
        self.sync();
        Ok(())
    }

    pub(super) fn check_features(&self) -> Result<(), Refusal> {
        let (features, offered) = (self.registers.driver_features, self.offered_features());
        if features & !offered != 0 {
            return Err(Refusal::FeaturesNotOffered { features, offered });
        }
        if features & (1 << VIRTIO_F_VERSION_1) == 0 {
            return Err(Refusal::LegacyDriver);
        }
        Ok(())
    }
}
