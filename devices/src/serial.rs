//! The serial port: a 16550A UART by vm-superio, with input, output and state around it.

use std::sync::atomic::{AtomicBool, Ordering};

use vm_superio::serial::SerialEvents;
use vm_superio::{Serial, serial};
use vmm_sys_util::eventfd::EventFd;

use crate::event::{new_event, raise};
use crate::{BusDevice, DeviceError, Interrupt};

mod output;
mod state;
#[cfg(test)]
mod tests;

pub use output::SerialOutput;
pub use state::SerialState;

/// Modem control register: its offset, and the bit that loops output back to input (16550A data
/// sheet, section 8.7).
const MCR_OFFSET: u8 = 4;
const MCR_LOOP_BIT: u8 = 1 << 4;

/// Why neither reading nor writing a register fails.
const CANNOT_FAIL: &str = "neither an interrupt line nor an output queue refuses anything";

/// A serial port of a PC.
///
/// Input: put at most [`Self::input_room_bytes`] bytes in with [`Self::enqueue`]; when that says
/// zero, wait for [`Self::room_event`] before asking again. Output goes to a [`SerialOutput`],
/// which never blocks the guest.
#[derive(Debug)]
pub struct SerialPort {
    uart: Serial<Interrupt, InputRoom, SerialOutput>,
}

/// Tells whoever waits that the guest has read all input.
#[derive(Debug)]
struct InputRoom {
    event: EventFd,
    awaited: AtomicBool,
}

impl InputRoom {
    fn announce(&self) {
        if self.awaited.swap(false, Ordering::Relaxed) {
            raise(&self.event);
        }
    }
}

impl SerialEvents for InputRoom {
    fn buffer_read(&self) {}

    fn out_byte(&self) {}

    /// The output counts what it loses itself.
    fn tx_lost_byte(&self) {}

    fn in_buffer_empty(&self) {
        self.announce();
    }
}

impl SerialPort {
    /// The port of COM1 on a PC; its interrupt is ISA line 4.
    pub const COM1_PORT: u64 = 0x3f8;
    /// The registers of a UART.
    pub const SIZE_BYTES: u64 = 8;

    /// Makes a port as it is after power-on.
    ///
    /// # Errors
    /// The kernel gives no event descriptor.
    pub fn new(interrupt: Interrupt, output: SerialOutput) -> Result<Self, DeviceError> {
        Self::restore(SerialState::default(), interrupt, output)
    }

    /// Makes a port that goes on where a saved one stopped. It raises `interrupt` at once if its
    /// driver waits for one, so that must be connected before.
    ///
    /// # Errors
    /// The state holds more input than the FIFO does, or the kernel gives no event descriptor.
    pub fn restore(
        state: SerialState,
        interrupt: Interrupt,
        output: SerialOutput,
    ) -> Result<Self, DeviceError> {
        let len_bytes = state.input.len();
        let room = InputRoom {
            event: new_event()?,
            awaited: AtomicBool::new(false),
        };
        Serial::from_state(&state.into_uart(), interrupt, room, output)
            .map(|uart| Self { uart })
            .map_err(|error| match error {
                serial::Error::Trigger(never) => match never {},
                serial::Error::FullFifo | serial::Error::IOError(_) => {
                    DeviceError::SerialInputTooLong { len_bytes }
                }
            })
    }

    /// What the guest can see of the port. Output that waits for its sink is not part of it: it
    /// belongs to this end.
    pub fn save(&self) -> SerialState {
        SerialState::from_uart(self.uart.state())
    }

    /// How many bytes of input the port takes now. If none, [`Self::room_event`] will tell.
    pub fn input_room_bytes(&mut self) -> usize {
        let room_bytes = if self.is_looped_back() {
            0
        } else {
            self.uart.fifo_capacity()
        };
        self.uart
            .events()
            .awaited
            .store(room_bytes == 0, Ordering::Relaxed);
        room_bytes
    }

    /// Gives the guest as much of `input` as there is room for, and returns how many bytes that was.
    pub fn enqueue(&mut self, input: &[u8]) -> usize {
        let accepted = input.len().min(self.input_room_bytes());
        if accepted == 0 {
            return 0;
        }
        self.uart
            .enqueue_raw_bytes(&input[..accepted])
            .expect(CANNOT_FAIL)
    }

    /// Readable once there is room again after [`Self::input_room_bytes`] said there is none.
    pub fn room_event(&self) -> &EventFd {
        &self.uart.events().event
    }

    /// Reading this register has no side effect.
    fn is_looped_back(&mut self) -> bool {
        self.uart.read(MCR_OFFSET) & MCR_LOOP_BIT != 0
    }

    fn write_register(&mut self, offset: u8, value: u8) {
        self.uart.write(offset, value).expect(CANNOT_FAIL);
        if offset == MCR_OFFSET && value & MCR_LOOP_BIT == 0 {
            self.uart.events().announce();
        }
    }
}

/// The registers are a byte wide: a wider access reaches its neighbours, as on an ISA bus.
impl BusDevice for SerialPort {
    fn read(&mut self, offset: u64, data: &mut [u8]) {
        data.fill(u8::MAX);
        for (register, byte) in (offset..Self::SIZE_BYTES).zip(data) {
            if let Ok(register) = u8::try_from(register) {
                *byte = self.uart.read(register);
            }
        }
    }

    fn write(&mut self, offset: u64, data: &[u8]) {
        for (register, &byte) in (offset..Self::SIZE_BYTES).zip(data) {
            if let Ok(register) = u8::try_from(register) {
                self.write_register(register, byte);
            }
        }
    }
}
