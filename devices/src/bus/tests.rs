//! What a bus finds, and what it refuses.

use super::*;

/// Answers with its name and remembers the last write.
struct Probe {
    name: u8,
    written: Option<(u64, Vec<u8>)>,
}

impl BusDevice for Probe {
    fn read(&mut self, offset: u64, data: &mut [u8]) {
        data.fill(self.name + u8::try_from(offset).unwrap());
    }

    fn write(&mut self, offset: u64, data: &[u8]) {
        self.written = Some((offset, data.to_vec()));
    }
}

fn probe(name: u8) -> Arc<Mutex<Probe>> {
    Arc::new(Mutex::new(Probe {
        name,
        written: None,
    }))
}

fn bus_with(ranges: &[(u64, u64, u8)]) -> Bus {
    let mut bus = Bus::default();
    for &(base, size_bytes, name) in ranges {
        bus.insert(base, size_bytes, probe(name)).unwrap();
    }
    bus
}

fn read_byte(bus: &Bus, address: u64) -> u8 {
    let mut data = [0x55];
    bus.read(address, &mut data);
    data[0]
}

#[test]
fn read_inside_a_range_reaches_its_device_with_the_offset() {
    let bus = bus_with(&[(0x3f8, 8, 0x40), (0x60, 1, 0x10), (0x600, 3, 0x80)]);
    assert_eq!(read_byte(&bus, 0x3f8), 0x40);
    assert_eq!(read_byte(&bus, 0x3ff), 0x47);
    assert_eq!(read_byte(&bus, 0x60), 0x10);
    assert_eq!(read_byte(&bus, 0x602), 0x82);
    assert_eq!(bus.unclaimed_accesses(), 0);
}

#[test]
fn write_inside_a_range_reaches_its_device() {
    let mut bus = Bus::default();
    let device = probe(0);
    bus.insert(0x1000, 0x1000, device.clone()).unwrap();
    bus.write(0x1ffc, &[1, 2, 3, 4]);
    assert_eq!(
        device.lock().unwrap().written,
        Some((0xffc, vec![1, 2, 3, 4]))
    );
}

#[test]
fn access_to_nothing_reads_all_ones_and_is_counted() {
    let bus = bus_with(&[(0x3f8, 8, 0)]);
    let mut data = [0; 4];
    bus.read(0x3f7, &mut data[..1]);
    bus.read(0x400, &mut data[1..]);
    assert_eq!(data, [0xff; 4]);
    bus.write(u64::MAX, &[1]);
    assert_eq!(bus.unclaimed_accesses(), 3);
}

#[test]
fn access_across_the_end_of_a_range_is_unclaimed() {
    let bus = bus_with(&[(0x3f8, 8, 0), (0x400, 8, 0)]);
    let mut data = [0; 2];
    bus.read(0x3ff, &mut data);
    assert_eq!(data, [0xff; 2]);
    assert_eq!(bus.unclaimed_accesses(), 1);
}

#[test]
fn insert_of_an_overlapping_range_is_refused() {
    let mut bus = bus_with(&[(0x100, 0x10, 0), (0x200, 0x10, 0)]);
    for (base, size_bytes, other) in [
        (0x100, 0x10, 0x100),
        (0x10f, 1, 0x100),
        (0xf0, 0x11, 0x100),
        (0x110, 0x100, 0x200),
        (0, u64::MAX, 0x100),
    ] {
        let error = bus.insert(base, size_bytes, probe(1)).unwrap_err();
        assert!(
            matches!(error, DeviceError::BusRangeTaken { other_base, .. } if other_base == other)
        );
    }
    bus.insert(0x110, 0xf0, probe(1)).unwrap();
}

#[test]
fn insert_of_an_impossible_range_is_refused() {
    let mut bus = Bus::default();
    for (base, size_bytes) in [(0x100, 0), (u64::MAX, 2), (1, u64::MAX)] {
        let error = bus.insert(base, size_bytes, probe(1));
        if size_bytes == u64::MAX {
            error.unwrap();
        } else {
            assert!(matches!(error, Err(DeviceError::InvalidBusRange { .. })));
        }
    }
}

#[test]
fn range_at_the_end_of_the_address_space_is_reachable() {
    let bus = bus_with(&[(u64::MAX, 1, 7)]);
    assert_eq!(read_byte(&bus, u64::MAX), 7);
}
