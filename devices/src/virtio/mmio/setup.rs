//! What a driver sets up: features, queues, and the status that says how far it got.

use virtio_bindings::virtio_config::VIRTIO_F_VERSION_1;

use super::MmioTransport;
use super::refusal::Refusal;
use crate::virtio::queue::VirtQueue;
use crate::virtio::status::Status;
use crate::virtio::{QueueIndex, QueueState, VirtioDevice, registers as reg};

impl<D: VirtioDevice> MmioTransport<D> {
    pub(super) fn selected_queue(&self) -> Option<&QueueState> {
        self.registers
            .queues
            .get(usize::try_from(self.registers.queue_sel).ok()?)
    }

    /// Zero says that there is no such queue.
    pub(super) fn selected_max_size(&self) -> u32 {
        let index = usize::try_from(self.registers.queue_sel).unwrap_or(usize::MAX);
        self.device
            .queue_max_sizes()
            .get(index)
            .copied()
            .map_or(0, u32::from)
    }

    /// The selected queue, if the driver may set it up now.
    pub(super) fn unready_queue(&mut self) -> Result<&mut QueueState, Refusal> {
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

    pub(super) fn write_queue_ready(&mut self, value: u32) -> Result<(), Refusal> {
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

    pub(super) fn kick(&mut self, index: u32) -> Result<(), Refusal> {
        let queue = u16::try_from(index).ok().map(QueueIndex);
        let exists = |queue: &QueueIndex| usize::from(queue.0) < self.registers.queues.len();
        self.signals
            .kick(queue.filter(exists).ok_or(Refusal::NoSuchQueue { index })?);
        Ok(())
    }

    pub(super) fn write_driver_features(&mut self, value: u32) -> Result<(), Refusal> {
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

    pub(super) fn write_status(&mut self, bits: u32) -> Result<(), Refusal> {
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
