//! The ports by which a guest asks to be reset or switched off.
//!
//! Standards: the reset command of the i8042 keyboard controller, and the sleep and reset
//! registers of ACPI 6.4, sections 4.8.3.6 and 4.8.3.7. No port keeps state, so nothing is saved.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use vmm_sys_util::eventfd::EventFd;

use crate::event::{lower, new_event, raise};
use crate::{BusDevice, DeviceError};

#[cfg(test)]
mod tests;

/// What a guest wants to happen to its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestRequest {
    /// Switch the machine off.
    PowerOff,
    /// Start it afresh.
    Reset,
}

/// Carries a guest's request from the vCPU that makes it to the event loop.
///
/// Handles are cheap to clone and mean the same line. The first request stands until it is taken.
#[derive(Clone, Debug)]
pub struct GuestRequestLine(Arc<Line>);

#[derive(Debug)]
struct Line {
    request: AtomicU8,
    event: EventFd,
}

impl GuestRequestLine {
    const NONE: u8 = 0;
    const POWER_OFF: u8 = 1;
    const RESET: u8 = 2;

    /// Makes a line with nothing requested.
    ///
    /// # Errors
    /// The kernel gives no event descriptor.
    pub fn new() -> Result<Self, DeviceError> {
        let request = AtomicU8::new(Self::NONE);
        Ok(Self(Arc::new(Line {
            request,
            event: new_event()?,
        })))
    }

    /// Requests something, unless another request is waiting; any thread may.
    pub fn raise(&self, request: GuestRequest) {
        let code = match request {
            GuestRequest::PowerOff => Self::POWER_OFF,
            GuestRequest::Reset => Self::RESET,
        };
        let order = Ordering::SeqCst;
        if self
            .0
            .request
            .compare_exchange(Self::NONE, code, order, order)
            .is_ok()
        {
            raise(&self.0.event);
        }
    }

    /// Takes the waiting request and lowers the event.
    pub fn take(&self) -> Option<GuestRequest> {
        lower(&self.0.event);
        match self.0.request.swap(Self::NONE, Ordering::SeqCst) {
            Self::POWER_OFF => Some(GuestRequest::PowerOff),
            Self::RESET => Some(GuestRequest::Reset),
            _ => None,
        }
    }

    /// Readable while a request waits: for the event loop, which then calls [`Self::take`].
    pub fn event(&self) -> &EventFd {
        &self.0.event
    }
}

/// The command and status port of an i8042 that can do nothing but reset the CPU.
#[derive(Debug)]
pub struct ResetPort(GuestRequestLine);

impl ResetPort {
    /// Where a PC has it.
    pub const PORT: u64 = 0x64;
    /// It is one byte wide.
    pub const SIZE_BYTES: u64 = 1;

    /// "Pulse output line 0", which is wired to the CPU's reset pin.
    const PULSE_RESET_LINE: u8 = 0xfe;

    /// Makes the port; requests go to `line`.
    pub fn new(line: GuestRequestLine) -> Self {
        Self(line)
    }
}

impl BusDevice for ResetPort {
    /// Status 0: both buffers empty. Linux polls for that before it sends the reset command.
    fn read(&mut self, _offset: u64, data: &mut [u8]) {
        data.fill(0);
    }

    fn write(&mut self, _offset: u64, data: &[u8]) {
        if data == [Self::PULSE_RESET_LINE] {
            self.0.raise(GuestRequest::Reset);
        }
    }
}

/// The ACPI ports, one byte each: sleep control, sleep status, reset.
///
/// The FADT names them, and the DSDT's `_S5` package holds [`Self::SLEEP_TYPE_OFF`].
#[derive(Debug)]
pub struct AcpiPowerPorts(GuestRequestLine);

impl AcpiPowerPorts {
    /// Three ports that no PC device uses; our choice.
    pub const BASE: u64 = 0x600;
    /// Their number.
    pub const SIZE_BYTES: u64 = 3;
    /// SLEEP_CONTROL_REG (section 4.8.3.7, table 4.17).
    pub const SLEEP_CONTROL_PORT: u64 = Self::BASE;
    /// SLEEP_STATUS_REG (section 4.8.3.7, table 4.18).
    pub const SLEEP_STATUS_PORT: u64 = Self::BASE + 1;
    /// RESET_REG (section 4.8.3.6).
    pub const RESET_PORT: u64 = Self::BASE + 2;
    /// SLP_TYP of the soft-off state S5; our choice, the value PCs commonly use.
    pub const SLEEP_TYPE_OFF: u8 = 5;
    /// RESET_VALUE; our choice.
    pub const RESET_VALUE: u8 = 1;

    const SLP_EN: u8 = 1 << 5;
    const SLP_TYP_SHIFT: u8 = 2;
    const SLP_TYP_MASK: u8 = 0b111;

    /// Makes the ports; requests go to `line`.
    pub fn new(line: GuestRequestLine) -> Self {
        Self(line)
    }

    fn write_sleep_control(&mut self, value: u8) {
        let sleep_type = (value >> Self::SLP_TYP_SHIFT) & Self::SLP_TYP_MASK;
        if value & Self::SLP_EN != 0 && sleep_type == Self::SLEEP_TYPE_OFF {
            self.0.raise(GuestRequest::PowerOff);
        }
    }
}

impl BusDevice for AcpiPowerPorts {
    /// Zero everywhere: SLP_EN is write-only, and a machine that never slept has no WAK_STS.
    fn read(&mut self, _offset: u64, data: &mut [u8]) {
        data.fill(0);
    }

    fn write(&mut self, offset: u64, data: &[u8]) {
        let &[value] = data else { return };
        match Self::BASE + offset {
            Self::SLEEP_CONTROL_PORT => self.write_sleep_control(value),
            Self::RESET_PORT if value == Self::RESET_VALUE => self.0.raise(GuestRequest::Reset),
            _ => {}
        }
    }
}
