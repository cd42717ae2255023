//! COM1 of a PC, a 16550A, polled (National Semiconductor PC16550D, "Registers"). A guest pays an exit
//! for each access, so the transmitter is asked once for every 16 bytes: what its FIFO holds.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::{port, power};
use crate::pure::text::Line;

const DATA: u16 = 0x3f8;
const FIFO_CONTROL: u16 = DATA + 2;
const LINE_STATUS: u16 = DATA + 5;

const FIFO_ENABLE_AND_CLEAR: u8 = 0x07;
const DATA_READY: u8 = 0x01;
const TRANSMITTER_EMPTY: u8 = 0x20;

const FIFO_BYTES: u32 = 16;

/// Our choice: because a transmitter that is not empty after some seconds of asking never will be.
const MOST_POLLS: u32 = 200_000;

static IN_FIFO: AtomicU32 = AtomicU32::new(0);

/// Gets the port ready.
pub fn open() {
    port::write(FIFO_CONTROL, FIFO_ENABLE_AND_CLEAR);
}

/// Sends a byte.
pub fn send(byte: u8) {
    if IN_FIFO.load(Ordering::Relaxed) == FIFO_BYTES {
        for _ in 0..MOST_POLLS {
            if port::read(LINE_STATUS) & TRANSMITTER_EMPTY != 0 {
                break;
            }
        }
        IN_FIFO.store(0, Ordering::Relaxed);
    }
    IN_FIFO.fetch_add(1, Ordering::Relaxed);
    port::write(DATA, byte);
}

/// Takes a byte that was received.
pub fn receive() -> Option<u8> {
    // Where there is no port, all bits of the status are set.
    let status = port::read(LINE_STATUS);
    (status != 0xff && status & DATA_READY != 0).then(|| port::read(DATA))
}

/// Sends the last line of a run that failed; if that fails too, the machine is switched off.
pub fn report(mut line: Line) {
    static REPORTED: AtomicBool = AtomicBool::new(false);
    if REPORTED.swap(true, Ordering::SeqCst) {
        power::off();
    }
    line.finish().iter().for_each(|&byte| send(byte));
}
