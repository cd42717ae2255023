//! Accesses to the registers.

use super::refusal::Refusal;
use super::{MmioTransport, VirtioTransport as _};
use crate::BusDevice;
use crate::virtio::{VirtioDevice, registers as reg};

impl<D: VirtioDevice> BusDevice for MmioTransport<D> {
    fn read(&mut self, offset: u64, data: &mut [u8]) {
        data.fill(0);
        self.take_failure();
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
        self.take_failure();
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
}
