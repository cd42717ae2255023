//! A stock Linux guest with disks: what it writes is there, on the host and after moves.

use std::fs::{self, File};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use tests::harness::{Host, VmProcess};

use crate::ground::{has_hardware, key};

const PATIENCE: Duration = Duration::from_secs(180);

const MIB: usize = 1 << 20;

/// MiB of the pattern, and how often it is on the disk.
const PATTERN: usize = 2;
const COPIES: usize = 30;

/// Types a command and waits until it says that it was done.
pub fn say(vm: &mut VmProcess, command: &str, word: &str) {
    // What is typed is echoed, and is not what is waited for.
    let typed = format!("{command} && echo {word} $((40 + 2))\n");
    vm.skiff.type_text(&typed).unwrap();
    let answer = format!("{word} 42");
    vm.skiff.output().wait(&answer, PATIENCE).unwrap();
}

fn image(path: &Path, mib: usize) -> String {
    File::create(path)
        .unwrap()
        .set_len((mib * MIB) as u64)
        .unwrap();
    path.to_str().unwrap().to_owned()
}

fn disk(vm: &VmProcess, index: usize, key: &str) -> u64 {
    let info = vm.info().unwrap();
    let value = info["disks"][index][key].as_u64();
    value.unwrap_or_else(|| panic!("no {key} of disk {index} in {info}"))
}

#[test]
fn stock_guest_finds_on_its_disk_what_it_wrote_before_during_and_after_a_move() {
    if !has_hardware("linux_disk") {
        return;
    }
    let (host, place) = (Host::new().unwrap(), tempfile::tempdir().unwrap());
    let path = place.path().join("disk");
    let image_of = |name: &str, mib| image(&place.path().join(name), mib);
    let written = image_of("disk", 64) + ",serial=written";
    let read_only = image_of("base", 1) + ",ro";
    let options = ["--memory", "256M", "--disk", &written, "--disk", &read_only];
    let mut source = host.boot_linux_with("disk", &options, "").unwrap();
    let ready = source.skiff.output().wait("skiff: ready", PATIENCE);
    ready.unwrap();
    say(
        &mut source,
        "grep -q written /sys/block/vda/serial",
        "serial",
    );

    let pattern = format!("dd if=/dev/urandom of=/run/p bs=1M count={PATTERN}");
    // The copy number $i of the pattern.
    let write = format!(
        "dd if=/run/p of=/dev/vda bs=1M seek=$((i * {PATTERN})) conv=fsync,notrunc 2>/dev/null"
    );
    let compare = format!(
        "dd if=/dev/vda bs=1M skip=$((i * {PATTERN})) count={PATTERN} 2>/dev/null | cmp - /run/p"
    );
    let each = |from: usize, what: &str| {
        format!(
            "i={from}; while [ $i -lt {COPIES} ]; do {what} || break; i=$((i + 1)); done; [ $i = {COPIES} ]"
        )
    };
    let forget = "echo 3 >/proc/sys/vm/drop_caches";
    let roundtrip = ["i=0", &pattern, &write, forget, &compare].join(" && ");
    say(&mut source, &roundtrip, "same");
    let (reads, writes) = (
        disk(&source, 0, "read_bytes"),
        disk(&source, 0, "written_bytes"),
    );
    assert!(reads >= (PATTERN * MIB) as u64 && writes >= (PATTERN * MIB) as u64);
    assert!(disk(&source, 0, "flushes") > 0);

    let refused = "! dd if=/dev/zero of=/dev/vdb bs=512 count=1 conv=fsync 2>/dev/null";
    say(&mut source, refused, "readonly");
    let discard = [
        format!("blkdiscard -o {} -l {MIB} /dev/vda", 63 * MIB),
        forget.into(),
        "dd if=/dev/vda bs=1M skip=63 count=1 2>/dev/null | cmp -n 1048576 - /dev/zero".into(),
    ];
    // A file system that cannot make holes is told to the guest as such.
    let can = "[ $(cat /sys/block/vda/queue/discard_max_bytes) = 0 ]";
    let line = format!("{{ {can} || {{ {}; }}; }}", discard.join(" && "));
    say(&mut source, &line, "discarded");
    println!("{} discards", disk(&source, 0, "discards"));

    // Each copy is on the disk before the next begins; the guest moves among them.
    let line = format!("({} && echo wri''tten all) &\n", each(1, &write));
    source.skiff.type_text(&line).unwrap();
    let key = key(place.path(), "key", "sixteen bytes or more");
    let (mut target, address) = host.receive_with("moved", &["--key", &key]).unwrap();
    let began = Instant::now();
    while disk(&source, 0, "written_bytes") < writes + 2 * (PATTERN * MIB) as u64 {
        assert!(began.elapsed() < PATIENCE, "nothing is written");
        thread::sleep(Duration::from_millis(20));
    }
    let (report, at_hand_over) = thread::scope(|scope| {
        let moving =
            scope.spawn(|| source.migrate(&address, &["--mode", "post-copy", "--key", &key]));
        let runs = target.skiff.messages().wait("runs here now", PATIENCE);
        runs.unwrap();
        let written = disk(&target, 0, "written_bytes");
        (moving.join().unwrap().unwrap(), written)
    });
    assert_eq!(report["outcome"], "completed", "{report}");
    source.skiff.succeed(PATIENCE).unwrap();
    let text = || source.skiff.output().text() + &target.skiff.output().text();
    let began = Instant::now();
    while !text().contains("written all") {
        assert!(began.elapsed() < PATIENCE, "{}", text());
        thread::sleep(Duration::from_millis(100));
    }
    let all = disk(&target, 0, "written_bytes");
    println!("{at_hand_over} of {all} bytes were written when the guest ran there");
    assert!(
        at_hand_over < all,
        "the guest had written everything before"
    );
    assert_eq!(all, writes + ((COPIES - 1) * PATTERN * MIB) as u64);
    let line = format!("{forget}; {}", each(0, &compare));
    say(&mut target, &line, "after");
    assert_eq!(disk(&target, 0, "errors"), 0);
    let snapshot = place.path().join("snap");
    target.snapshot(&snapshot, &["--stop"]).unwrap();
    target.skiff.succeed(PATIENCE).unwrap();
    let mut again = host.restore("again", &snapshot, &[]).unwrap();
    assert_eq!(disk(&again, 0, "written_bytes"), all);
    say(&mut again, &line, "resumed");
    assert_eq!(disk(&again, 0, "errors"), 0);
    again.tell("stop").unwrap();
    again.skiff.succeed(PATIENCE).unwrap();
    // The host finds the same.
    let content = fs::read(&path).unwrap();
    let copies: Vec<_> = content.chunks(PATTERN * MIB).take(COPIES).collect();
    assert!(copies[0].iter().any(|byte| *byte != 0));
    assert!(copies.iter().all(|copy| *copy == copies[0]));
}
