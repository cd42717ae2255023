//! Tests of finding a device and agreeing with it.

use super::{Kind, Role, windows};

const VERSION_1: u64 = 1 << 32;

fn queues(features: u64) -> [Option<u32>; 4] {
    Role::ALL.map(|(role, _)| role.queue(features))
}

#[test]
fn queue_numbers_have_no_gaps_over_the_features() {
    assert_eq!(queues(0b10_0010), [Some(0), Some(1), Some(2), Some(3)]);
    assert_eq!(queues(0b10_0000), [Some(0), Some(1), None, Some(2)]);
    assert_eq!(queues(0b00_0010), [Some(0), Some(1), Some(2), None]);
    assert_eq!(queues(0), [Some(0), Some(1), None, None]);
}

#[test]
fn agreed_features_of_an_old_device_are_none_and_unknown_ones_are_left() {
    let balloon = |offered| Kind::Balloon.agreed_features(offered);
    assert_eq!(balloon(0b10_0111), None);
    let all = VERSION_1 | u64::from(u32::MAX);
    assert_eq!(balloon(all), Some(VERSION_1 | 0b10_0111));
    assert_eq!(balloon(VERSION_1 | 0b10), Some(VERSION_1 | 0b10));
    assert_eq!(Kind::Card.agreed_features(all), Some(VERSION_1));
    assert_eq!(Kind::Disk.agreed_features(all), Some(VERSION_1));
}

#[test]
fn devices_are_told_by_the_numbers_of_the_specification() {
    let kinds = [Kind::Card, Kind::Disk, Kind::Balloon];
    let told = kinds.map(|kind| (kind.device_type(), kind.name()));
    assert_eq!(told, [(1, "network card"), (2, "disk"), (5, "balloon")]);
}

#[test]
fn windows_of_a_command_line_are_in_its_order() {
    let line =
        b"quiet virtio_mmio.device=4K@0xd0000000:5 ws=1M virtio_mmio.device=512@0xFEB00e00:12:1";
    assert_eq!(
        windows(line).collect::<Vec<_>>(),
        [0xd000_0000, 0xfeb0_0e00]
    );
}

#[test]
fn windows_that_make_no_sense_are_left_out() {
    for word in [
        "virtio_mmio.device=",
        "virtio_mmio.device=4K",
        "virtio_mmio.device=4K@",
        "virtio_mmio.device=4K@0x:5",
        "virtio_mmio.device=4K@0xg:5",
        "virtio_mmio.device=4K@3489660928:5",
        "virtio_mmio.device=4K@0x10000000000000000:5",
        "virtio_mmio=4K@0xd0000000:5",
    ] {
        assert_eq!(windows(word.as_bytes()).count(), 0, "{word}");
    }
}
