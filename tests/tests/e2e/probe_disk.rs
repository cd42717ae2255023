//! Reads of a disk under way while their guest moves: the probe keeps 32 of them under way, and checks what
//! each brings.

use std::thread;
use std::time::{Duration, Instant};

use tests::harness::{Host, VmProcess, field, write_numbered_image};

use crate::ground::{has_kvm, key, move_in_every_mode};

const PAGES: u64 = 4096;

/// Longest that anything may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Pages that are read before and after each move.
const READ: u64 = 4000;

fn pages(vm: &VmProcess) -> u64 {
    let lines = vm.skiff.output().all();
    lines
        .iter()
        .rev()
        .find_map(|line| field(line, "pages").ok())
        .unwrap_or(0)
}

/// Waits until the guest has read that many pages, none of them wrong.
fn read_on(vm: &VmProcess, until: u64) -> u64 {
    let began = Instant::now();
    loop {
        let now = pages(vm);
        let lines = vm.skiff.output().all();
        let bad = lines
            .iter()
            .find(|line| line.contains("corrupt") || line.contains("error"));
        assert_eq!(bad, None);
        if now >= until {
            return now;
        }
        assert!(began.elapsed() < PATIENCE, "{now} pages of {until}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn guest_moves_in_every_mode_with_reads_under_way_and_each_is_right() {
    if !has_kvm("probe_disk") {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let image = place.path().join("disk.img");
    write_numbered_image(&image, PAGES).unwrap();
    let key = key(place.path(), "key", "sixteen bytes or more");
    let host = Host::new().unwrap();
    let disk = format!("{},ro", image.display());
    let words = "workload=disk-random block=8K ws=8M";
    let options = ["--kernel", "probe", "--memory", "64M", "--disk", &disk];
    let options = [&options[..], &["--cmdline", words]].concat();
    let vm = host.boot("disk0", &options).unwrap();
    let receive = |number| {
        let received = host.receive_with(&format!("disk{number}"), &["--key", &key]);
        received.unwrap()
    };
    let mut read = 0;
    move_in_every_mode(vm, &key, receive, |vm| read = read_on(vm, read + READ));
}
