//! The port as a driver, a terminal and a snapshot see it.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::*;

const DATA: u64 = 0;
const IER: u64 = 1;
const IIR: u64 = 2;
const LCR: u64 = 3;
const MCR: u64 = 4;
const LSR: u64 = 5;
const SCR: u64 = 7;

const SOON: Duration = Duration::from_secs(10);

fn quiet_port() -> SerialPort {
    SerialPort::new(Interrupt::new().unwrap(), SerialOutput::null()).unwrap()
}

fn read(port: &mut SerialPort, register: u64) -> u8 {
    let mut data = [0];
    port.read(register, &mut data);
    data[0]
}

/// Sends each batch it gets through a channel.
struct ChannelSink(Sender<Vec<u8>>);

impl Write for ChannelSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .send(bytes.to_vec())
            .map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes nothing until the other end of its channel is gone.
struct StuckSink(Receiver<()>);

impl Write for StuckSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.recv().ok();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn port_to_channel() -> (SerialPort, SerialOutput, Receiver<Vec<u8>>) {
    let (sender, receiver) = channel();
    let output = SerialOutput::to_sink(Box::new(ChannelSink(sender))).unwrap();
    let port = SerialPort::new(Interrupt::new().unwrap(), output.clone()).unwrap();
    (port, output, receiver)
}

#[test]
fn registers_after_power_on_are_those_of_an_idle_16550() {
    let mut port = quiet_port();
    assert_eq!(read(&mut port, IIR), 0xc1);
    assert_eq!(read(&mut port, LSR), 0x60);
    assert_eq!(read(&mut port, IER), 0);
    port.write(SCR, &[0xa5]);
    assert_eq!(read(&mut port, SCR), 0xa5);
}

#[test]
fn line_written_byte_by_byte_reaches_the_sink_whole() {
    let (mut port, output, batches) = port_to_channel();
    let line = b"Linux version 6.12\r\n";
    line.iter().for_each(|&byte| port.write(DATA, &[byte]));
    output.flush(SOON).unwrap();
    let received: Vec<u8> = batches.try_iter().flatten().collect();
    assert_eq!(received, line);
    assert_eq!(output.lost_bytes(), 0);
}

#[test]
fn unfinished_line_reaches_the_sink_without_being_flushed() {
    let (mut port, _output, batches) = port_to_channel();
    b"login: "
        .iter()
        .for_each(|&byte| port.write(DATA, &[byte]));
    let mut received = Vec::new();
    while received != b"login: " {
        received.extend(batches.recv_timeout(SOON).unwrap());
    }
}

#[test]
fn output_after_the_last_handle_is_gone_is_still_written() {
    let (mut port, output, batches) = port_to_channel();
    port.write(DATA, b"x");
    drop((port, output));
    assert_eq!(batches.recv_timeout(SOON).unwrap(), b"x");
    assert!(
        batches.recv_timeout(SOON).is_err(),
        "the thread ends and drops its sink"
    );
}

#[test]
fn stuck_sink_neither_blocks_the_guest_nor_grows_the_queue() {
    let (unblock, blocked) = channel();
    let output = SerialOutput::to_sink(Box::new(StuckSink(blocked))).unwrap();
    let mut writer = output.clone();
    for _ in 0..40 {
        writer.write_all(&[b'x'; 64 << 10]).unwrap();
    }
    assert!(matches!(
        output.flush(Duration::ZERO),
        Err(DeviceError::SerialOutputStalled { pending_bytes }) if pending_bytes == 1 << 20
    ));
    assert_eq!(output.lost_bytes(), (40 * (64 << 10)) - (1 << 20));
    drop(unblock);
    output.flush(SOON).unwrap();
}

#[test]
fn failing_sink_loses_output_and_nothing_else() {
    let (mut port, output, batches) = port_to_channel();
    drop(batches);
    port.write(DATA, b"a");
    output.flush(SOON).unwrap();
    port.write(DATA, b"\n");
    output.flush(SOON).unwrap();
    assert_eq!(output.lost_bytes(), 2);
}

#[test]
fn input_fills_the_fifo_and_room_is_announced_when_it_was_read() {
    let mut port = quiet_port();
    port.write(IER, &[1]);
    assert_eq!(port.enqueue(&[b'i'; 100]), 64);
    assert_eq!(port.input_room_bytes(), 0);
    assert!(port.room_event().read().is_err());
    for _ in 0..64 {
        assert_eq!(read(&mut port, LSR) & 1, 1);
        assert_eq!(read(&mut port, DATA), b'i');
    }
    assert_eq!(read(&mut port, LSR) & 1, 0);
    assert_eq!(port.room_event().read().unwrap(), 1);
    assert_eq!(port.input_room_bytes(), 64);
}

#[test]
fn room_nobody_waits_for_is_not_announced() {
    let mut port = quiet_port();
    assert_eq!(port.enqueue(b"x"), 1);
    assert_eq!(read(&mut port, DATA), b'x');
    assert_eq!(read(&mut port, DATA), 0);
    assert!(port.room_event().read().is_err());
}

#[test]
fn input_while_looped_back_waits_until_the_loop_is_opened() {
    let mut port = quiet_port();
    port.write(MCR, &[0x10]);
    assert_eq!(port.enqueue(b"x"), 0);
    assert!(port.room_event().read().is_err());
    port.write(MCR, &[0x0b]);
    assert_eq!(port.room_event().read().unwrap(), 1);
    assert_eq!(port.enqueue(b"x"), 1);
}

#[test]
fn output_while_looped_back_is_input() {
    let mut port = quiet_port();
    port.write(MCR, &[0x10]);
    port.write(DATA, b"l");
    assert_eq!(read(&mut port, LSR) & 1, 1);
    assert_eq!(read(&mut port, DATA), b'l');
}

#[test]
fn wide_access_reaches_neighbouring_registers() {
    let mut port = quiet_port();
    port.write(MCR, &[0x0b, 0, 0, 0x77]);
    let mut data = [0; 4];
    port.read(MCR, &mut data);
    assert_eq!(data, [0x0b, 0x60, 0xb0, 0x77]);
    let mut beyond = [0; 2];
    port.read(SCR, &mut beyond);
    assert_eq!(beyond, [0x77, 0xff]);
    port.read(u64::MAX, &mut beyond);
    assert_eq!(beyond, [0xff; 2]);
}

/// A port in which every saved field differs from its default.
fn busy_port() -> SerialPort {
    let mut port = quiet_port();
    port.write(LCR, &[0x80]);
    port.write(DATA, &[0x01]);
    port.write(IER, &[0x02]);
    port.write(LCR, &[0x1b]);
    port.write(IER, &[0x03]);
    port.write(MCR, &[0x0b]);
    port.write(SCR, &[0x42]);
    port.enqueue(b"typed");
    port
}

#[test]
fn state_saved_restored_and_saved_again_is_the_same() {
    let state = busy_port().save();
    assert_eq!(
        state,
        SerialState {
            divisor_low: 0x01,
            divisor_high: 0x02,
            interrupt_enable: 0x03,
            line_control: 0x1b,
            modem_control: 0x0b,
            scratch: 0x42,
            input: b"typed".to_vec(),
        }
    );
    let interrupt = Interrupt::new().unwrap();
    let restored = SerialPort::restore(state.clone(), interrupt, SerialOutput::null()).unwrap();
    assert_eq!(restored.save(), state);
}

#[test]
fn restore_of_a_waiting_driver_raises_its_interrupt() {
    let interrupt = Interrupt::new().unwrap();
    let wire = interrupt.try_clone().unwrap();
    let mut port =
        SerialPort::restore(busy_port().save(), interrupt, SerialOutput::null()).unwrap();
    assert!(wire.event().read().unwrap() > 0);
    assert_eq!(read(&mut port, IIR), 0xc6);
    assert_eq!(read(&mut port, DATA), b't');
}

#[test]
fn restore_of_a_driver_that_polls_raises_nothing() {
    let interrupt = Interrupt::new().unwrap();
    let wire = interrupt.try_clone().unwrap();
    let state = SerialState {
        interrupt_enable: 0,
        ..busy_port().save()
    };
    SerialPort::restore(state, interrupt, SerialOutput::null()).unwrap();
    assert!(wire.event().read().is_err());
}

#[test]
fn restore_of_too_much_input_is_refused() {
    let state = SerialState {
        input: vec![0; 65],
        ..SerialState::default()
    };
    let restored = SerialPort::restore(state, Interrupt::new().unwrap(), SerialOutput::null());
    assert!(matches!(
        restored,
        Err(DeviceError::SerialInputTooLong { len_bytes: 65 })
    ));
}

#[test]
fn restore_of_invalid_register_bits_drops_them() {
    let state = SerialState {
        interrupt_enable: 0xff,
        ..SerialState::default()
    };
    let port = SerialPort::restore(state, Interrupt::new().unwrap(), SerialOutput::null());
    assert_eq!(port.unwrap().save().interrupt_enable, 0x0f);
}
