//! Literal port values, as Linux writes them, and everything else.

use super::*;

fn line() -> GuestRequestLine {
    GuestRequestLine::new().unwrap()
}

#[test]
fn reset_port_written_fe_requests_a_reset() {
    let line = line();
    ResetPort::new(line.clone()).write(0, &[0xfe]);
    assert_eq!(line.event().read().unwrap(), 1);
    assert_eq!(line.take(), Some(GuestRequest::Reset));
    assert_eq!(line.take(), None);
}

#[test]
fn reset_port_written_anything_else_does_nothing() {
    let line = line();
    let mut port = ResetPort::new(line.clone());
    (0..=0xfd)
        .chain([0xff])
        .for_each(|value| port.write(0, &[value]));
    port.write(0, &[0xfe, 0]);
    port.write(0, &[]);
    assert_eq!(line.take(), None);
}

#[test]
fn reset_port_reads_empty_buffers() {
    let mut data = [0xff];
    ResetPort::new(line()).read(0, &mut data);
    assert_eq!(data, [0]);
}

#[test]
fn sleep_control_written_slp_en_and_type_5_requests_power_off() {
    let line = line();
    AcpiPowerPorts::new(line.clone()).write(0, &[0x34]);
    assert_eq!(line.take(), Some(GuestRequest::PowerOff));
}

#[test]
fn sleep_control_without_slp_en_or_with_another_type_does_nothing() {
    let line = line();
    let mut ports = AcpiPowerPorts::new(line.clone());
    for value in (0..=u8::MAX).filter(|value| value & 0b11_1100 != 0x34) {
        ports.write(0, &[value]);
    }
    ports.write(1, &[0x34]);
    assert_eq!(line.take(), None);
}

#[test]
fn acpi_reset_register_written_1_requests_a_reset() {
    let line = line();
    let mut ports = AcpiPowerPorts::new(line.clone());
    ports.write(2, &[0]);
    assert_eq!(line.take(), None);
    ports.write(2, &[1]);
    assert_eq!(line.take(), Some(GuestRequest::Reset));
}

#[test]
fn second_request_before_the_first_is_taken_is_dropped() {
    let line = line();
    line.raise(GuestRequest::PowerOff);
    line.raise(GuestRequest::Reset);
    assert_eq!(line.take(), Some(GuestRequest::PowerOff));
    assert_eq!(line.take(), None);
    assert!(line.event().read().is_err());
}

#[test]
fn line_after_take_carries_the_next_request_with_its_event() {
    let line = line();
    line.raise(GuestRequest::Reset);
    assert_eq!(line.take(), Some(GuestRequest::Reset));
    line.raise(GuestRequest::PowerOff);
    assert_eq!(line.event().read().unwrap(), 1);
    assert_eq!(line.take(), Some(GuestRequest::PowerOff));
}
