//! What is saved of a serial port.

use serde::{Deserialize, Serialize};
use vm_superio::serial::SerialState as UartState;

/// Bits of the interrupt enable and identification registers, and of the line status register
/// (16550A data sheet, sections 8.4 to 8.6).
const IER_RECEIVED_DATA: u8 = 1 << 0;
const IER_TRANSMITTER_EMPTY: u8 = 1 << 1;
const IER_VALID_BITS: u8 = 0b1111;
const IIR_NONE: u8 = 1 << 0;
const IIR_TRANSMITTER_EMPTY: u8 = 1 << 1;
const IIR_RECEIVED_DATA: u8 = 1 << 2;
const LSR_DATA_READY: u8 = 1 << 0;

/// The registers a driver has set, and the input it has not read yet.
///
/// Plain and untrusted: [`SerialPort::restore`](crate::SerialPort::restore) checks it. What
/// follows from these fields (line status, pending interrupts) is not kept but recomputed, so that
/// no state can contradict itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SerialState {
    /// Divisor latch, low byte.
    pub divisor_low: u8,
    /// Divisor latch, high byte.
    pub divisor_high: u8,
    /// Interrupt enable register.
    pub interrupt_enable: u8,
    /// Line control register.
    pub line_control: u8,
    /// Modem control register.
    pub modem_control: u8,
    /// Scratch register.
    pub scratch: u8,
    /// Receive FIFO, oldest byte first.
    pub input: Vec<u8>,
}

impl Default for SerialState {
    fn default() -> Self {
        Self::from_uart(UartState::default())
    }
}

impl SerialState {
    pub(super) fn from_uart(uart: UartState) -> Self {
        let UartState {
            baud_divisor_low: divisor_low,
            baud_divisor_high: divisor_high,
            interrupt_enable,
            interrupt_identification: _,
            line_control,
            line_status: _,
            modem_control,
            modem_status: _,
            scratch,
            in_buffer: input,
        } = uart;
        Self {
            divisor_low,
            divisor_high,
            interrupt_enable,
            line_control,
            modem_control,
            scratch,
            input,
        }
    }

    /// The state of a UART in which every condition the driver has enabled is pending. The
    /// transmitter is always empty here, so this kicks a driver whose interrupt got lost on the
    /// way; one more interrupt than necessary does no harm.
    pub(super) fn into_uart(self) -> UartState {
        let Self {
            divisor_low,
            divisor_high,
            interrupt_enable,
            line_control,
            modem_control,
            scratch,
            input,
        } = self;
        let fresh = UartState::default();
        let interrupt_enable = interrupt_enable & IER_VALID_BITS;
        let mut pending = 0;
        if interrupt_enable & IER_TRANSMITTER_EMPTY != 0 {
            pending |= IIR_TRANSMITTER_EMPTY;
        }
        if interrupt_enable & IER_RECEIVED_DATA != 0 && !input.is_empty() {
            pending |= IIR_RECEIVED_DATA;
        }
        UartState {
            baud_divisor_low: divisor_low,
            baud_divisor_high: divisor_high,
            interrupt_enable,
            interrupt_identification: if pending == 0 { IIR_NONE } else { pending },
            line_control,
            line_status: fresh.line_status | if input.is_empty() { 0 } else { LSR_DATA_READY },
            modem_control,
            modem_status: fresh.modem_status,
            scratch,
            in_buffer: input,
        }
    }
}
