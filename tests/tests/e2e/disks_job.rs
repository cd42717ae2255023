//! A stock Linux guest with a journalled file system on its disk: files are written, verified by their
//! checksums and written again while the VM moves and goes through snapshots.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tests::harness::{Host, VmProcess, field};

use crate::disks_linux::say;
use crate::ground::{has_hardware, key, system_program};

const PATIENCE: Duration = Duration::from_secs(180);

/// Moves, in all modes, and cycles of snapshot and resume, in all memory modes.
const MOVES: usize = 10;
const CYCLES: usize = 10;
const MODES: [&str; 5] = ["post-copy", "auto", "hybrid", "pre-copy", "stop-and-copy"];
const MEMORY_MODES: [&str; 3] = ["lazy", "mapped", "eager"];

/// Writes one of 12 files, of 64 to 512 KiB, and verifies another on the disk itself, past the page
/// cache; says each time how often that was. A checksum stays in memory, which the VM takes with it. What
/// is typed is echoed, and must not look like what it would print.
const JOB: &str = "n=0; while [ ! -e /run/end ]; do n=$((n + 1)); w=$((n % 12)); v=$((n * 7 % 12)); \
    dd if=/dev/urandom of=/mnt/f$w bs=64k count=$((1 + n % 8)) conv=fsync 2>/dev/null || echo job=LO\"\"ST; \
    md5sum </mnt/f$w >/run/s$w; echo 3 >/proc/sys/vm/drop_caches; \
    if [ -e /run/s$v ] && [ \"$(md5sum </mnt/f$v)\" != \"$(cat /run/s$v)\" ]; then echo job=WRO\"\"NG; fi; \
    echo job=$n; done; touch /run/ended";

/// Runs a program of e2fsprogs on an image, whose path it is given last.
fn e2fs(program: &str, options: &[&str], image: &Path) {
    let done = Command::new(system_program(program))
        .args(options)
        .arg(image)
        .output();
    let done = done.unwrap_or_else(|error| panic!("{program} (package e2fsprogs): {error}"));
    let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{program}: {said}");
}

/// Waits until the job has gone on for two rounds in this monitor, and never wrong.
fn goes_on(vm: &VmProcess, leg: &str) -> u64 {
    let began = Instant::now();
    loop {
        let lines = vm.skiff.output().all();
        let wrong = lines
            .iter()
            .find(|line| line.contains("job=WRONG") || line.contains("job=LOST"));
        assert!(wrong.is_none(), "{leg}: {lines:?}");
        let rounds: Vec<u64> = lines
            .iter()
            .filter_map(|line| field(line, "job").ok())
            .collect();
        if let [.., before, last] = rounds[..]
            && before + 1 == last
        {
            return last;
        }
        assert!(began.elapsed() < PATIENCE, "{leg}: {lines:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn files_on_a_journalled_disk_stay_whole_through_moves_and_snapshots() {
    if !has_hardware("disks_job") {
        return;
    }
    let (host, place) = (Host::new().unwrap(), tempfile::tempdir().unwrap());
    let image = place.path().join("disk");
    File::create(&image).unwrap().set_len(64 << 20).unwrap();
    e2fs("mke2fs", &["-q", "-t", "ext4", "-F"], &image);
    let key = key(place.path(), "key", "sixteen bytes or more");
    let options = ["--memory", "256M", "--disk", image.to_str().unwrap()];
    let mut vm = host.boot_linux_with("vm0", &options, "quiet").unwrap();
    vm.skiff.output().wait("skiff: ready", PATIENCE).unwrap();
    say(&mut vm, "mount -t ext4 /dev/vda /mnt", "mounted");
    vm.skiff.type_text(&format!("({JOB}) &\n")).unwrap();
    goes_on(&vm, "boot");
    for number in 1..=MOVES {
        let mode = MODES[number % MODES.len()];
        let name = format!("vm{number}");
        let (next, address) = host.receive_with(&name, &["--key", &key]).unwrap();
        let report = vm
            .migrate(&address, &["--mode", mode, "--key", &key])
            .unwrap();
        assert_eq!(report["outcome"], "completed", "{report}");
        vm.skiff.succeed(PATIENCE).unwrap();
        vm = next;
        goes_on(&vm, mode);
    }
    let mut rounds = 0;
    for number in 1..=CYCLES {
        let directory = place.path().join(format!("snap{}", number % 2));
        let options = [&["--stop", "--live"][..], &["--stop"]][number % 2];
        vm.snapshot(&directory, options).unwrap();
        vm.skiff.succeed(PATIENCE).unwrap();
        let mode = MEMORY_MODES[number % MEMORY_MODES.len()];
        let name = format!("copy{number}");
        vm = host
            .restore(&name, &directory, &["--memory-mode", mode])
            .unwrap();
        rounds = goes_on(&vm, mode);
    }
    let errors = vm.info().unwrap()["disks"][0]["errors"].as_u64();
    assert_eq!(errors, Some(0));
    say(
        &mut vm,
        "touch /run/end; while [ ! -e /run/ended ]; do sleep 1; done; umount /mnt",
        "unmounted",
    );
    vm.tell("stop").unwrap();
    vm.skiff.succeed(PATIENCE).unwrap();
    e2fs("e2fsck", &["-fn"], &image);
    println!(
        "{rounds} files written and as many verified, through {MOVES} moves and {CYCLES} snapshots"
    );
}
