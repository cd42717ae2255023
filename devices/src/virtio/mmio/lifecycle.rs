//! When a device runs: after its driver said so, until the machine pauses, the driver resets it,
//! or one of them breaks.

use std::fmt;

use vmm_sys_util::eventfd::EventFd;

use super::{MmioTransport, Mode, Registers, TransportState, VirtioTransport};
use crate::DeviceError;
use crate::event::{lower, raise};
use crate::virtio::queue::VirtQueue;
use crate::virtio::status::Status;
use crate::virtio::{Activation, DeviceType, Progress, QueueIndex, Queues, Service, VirtioDevice};

impl<D: VirtioDevice> VirtioTransport for MmioTransport<D> {
    fn device_type(&self) -> DeviceType {
        self.device.device_type()
    }

    fn kicks(&self) -> &[EventFd] {
        self.signals.kicks()
    }

    fn watched_kicks(&self) -> &[EventFd] {
        match self.device.service() {
            Service::EventLoop => self.kicks(),
            Service::OwnThreads => &[],
        }
    }

    fn queue_event(&mut self, queue: QueueIndex) {
        let Some(kick) = self.kicks().get(usize::from(queue.0)) else {
            return;
        };
        lower(kick);
        // A kick of a stopped device is not lost: all queues are kicked when it goes on.
        if !self.is_running {
            return;
        }
        match self.device.process(queue) {
            Ok(Progress::Drained) => {}
            Ok(Progress::More) => self.signals.kick(queue),
            Err(error) => self.fail(&error),
        }
    }

    fn pause(&mut self) {
        self.mode = Mode::Paused;
        self.sync();
        // What a thread of the device found while it came to its end is part of the state.
        self.take_failure();
    }

    fn resume(&mut self) {
        self.mode = Mode::Resumed;
        self.sync();
        self.kicks().iter().for_each(raise);
        self.signals.repeat();
    }

    fn save(&self) -> Result<TransportState, DeviceError> {
        match self.mode {
            Mode::Paused => self.save_state(),
            Mode::Resumed => Err(DeviceError::SaveWhileRunning {
                device_type: self.device_type(),
            }),
        }
    }

    fn misbehaviour_count(&self) -> u64 {
        self.misbehaviour.count()
    }
}

impl<D: VirtioDevice> MmioTransport<D> {
    /// Makes the device run exactly if driver and machine both want it to.
    pub(super) fn sync(&mut self) {
        let should_run = self.registers.status.is_live() && self.mode == Mode::Resumed;
        match (self.is_running, should_run) {
            (false, true) => self.start(),
            (true, false) => self.halt(),
            _ => {}
        }
    }

    fn start(&mut self) {
        match self.activation() {
            Ok(activation) => {
                self.is_running = true;
                self.device.start(activation);
            }
            Err(error) => self.fail(&error),
        }
    }

    fn activation(&self) -> Result<Activation, DeviceError> {
        let registers = &self.registers;
        let queues: Result<_, _> = registers
            .queues
            .iter()
            .zip(self.device.queue_max_sizes())
            .map(|(queue, max_size)| {
                let event_index = registers.event_index();
                queue
                    .ready
                    .then(|| {
                        let signals = &self.signals;
                        VirtQueue::new(queue, *max_size, event_index, &self.memory, signals)
                    })
                    .transpose()
            })
            .collect();
        Ok(Activation {
            features: registers.driver_features,
            memory: self.memory.clone(),
            queues: Queues::new(queues?),
            signals: self.signals.clone(),
        })
    }

    /// Stops the device if it runs, and takes the positions of its queues back.
    pub(super) fn halt(&mut self) {
        if !self.is_running {
            return;
        }
        self.is_running = false;
        let queues = self.device.stop();
        for (queue, state) in queues.iter().zip(&mut self.registers.queues) {
            if let Some(queue) = queue {
                queue.save_positions(state);
            }
        }
    }

    /// Forgets what the driver did, but not how often it misbehaved.
    pub(super) fn reset(&mut self) {
        self.halt();
        let Self {
            device,
            memory: _,
            signals,
            registers,
            mode: _,
            is_running: _,
            misbehaviour: _,
        } = self;
        device.reset();
        *registers = Registers::of(device);
        signals.reset();
    }

    /// Gives the device up if a thread of its own has.
    pub(super) fn take_failure(&mut self) {
        if let Some(error) = self.signals.take_failure() {
            self.fail(&error);
        }
    }

    /// Gives the device up until the driver resets it (virtio 1.2, section 2.1.2).
    pub(super) fn fail(&mut self, reason: &dyn fmt::Display) {
        self.refuse(reason);
        self.registers.status = self.registers.status.needing_reset();
        self.halt();
        if self.registers.status.contains(Status::DRIVER_OK) {
            self.signals.config_changed();
        }
    }

    pub(super) fn refuse(&mut self, reason: &dyn fmt::Display) {
        let DeviceType(device_type) = self.device.device_type();
        self.misbehaviour
            .note(&format_args!("virtio device of type {device_type}"), reason);
    }
}
