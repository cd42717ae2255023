//! What the README shows of the results.

use crate::result_files::Benchmark;

/// A line of the table.
#[derive(Debug)]
pub struct Row {
    /// The benchmark that measures it.
    pub benchmark: Benchmark,
    /// What is measured.
    pub what: &'static str,
    /// The numbers in their words, each in place of a `{}`.
    pub shown: &'static str,
    /// Where each of them is (see [`field`](super::field)).
    pub fields: &'static [&'static str],
}

/// All of them, those of one benchmark in this order.
pub const ROWS: &[Row] = &[
    Row {
        benchmark: Benchmark::Migrate,
        what: "VM of 2 GiB that reads or writes 512 MiB one page after the other, moved over 1 Gb/s by post-copy: \
               total time, downtime, network faults (the paper: 21 and 26 s, 1.1 s)",
        shown: "{} s, {} ms, {}",
        fields: &[
            "cells[suite=stress&hot_mib=512&column=bubble].spread.total_ms.median / 1000",
            "cells[suite=stress&hot_mib=512&column=bubble].spread.downtime_ms.median",
            "cells[suite=stress&hot_mib=512&column=bubble].spread.network_faults.median",
        ],
    },
    Row {
        benchmark: Benchmark::Migrate,
        what: "the same by pre-copy: total time, downtime when reading, when writing (the paper: 11 and 60 s, 0.05 and 4.9 s)",
        shown: "{} s, {} ms, {} ms",
        fields: &[
            "cells[suite=stress&hot_mib=512&column=pre-copy].spread.total_ms.median / 1000",
            "cells[suite=stress&workload=seq-read&hot_mib=512&column=pre-copy].spread.downtime_ms.median",
            "cells[suite=stress&workload=seq-write&hot_mib=512&column=pre-copy].spread.downtime_ms.median",
        ],
    },
    Row {
        benchmark: Benchmark::Migrate,
        what: "downtime of a post-copy move on loopback, guests of 256 MiB and of 8 GiB",
        shown: "{} ms, {} ms",
        fields: &[
            "cells[suite=sizes&memory_mib=256&column=bubble].spread.downtime_ms.median",
            "cells[suite=sizes&memory_mib=8192&column=bubble].spread.downtime_ms.median",
        ],
    },
    Row {
        benchmark: Benchmark::Migrate,
        what: "network faults while 1 and 2 processes sort 512 MB, moved over 1 Gb/s, by the fewest of any strategy in the paper",
        shown: "{}",
        fields: &["verdicts[claim=network faults; the paper's fewest].ratio"],
    },
    Row {
        benchmark: Benchmark::Degradation,
        what: "a guest of 512 MiB moves over 1 Gb/s; how much longer its work takes during the move and 5 s after it: on 82 MiB, by post-copy and by pre-copy \
               (the paper's kernel build, moved again and again: 30 and 29 %); sending 500 Mb/s over the same link (its NetPerf: 25 and 33 %)",
        shown: "{}, {} %; {}, {} %",
        fields: &[
            "repeated[application=build&column=post-copy&memory_mib=512].slowdown_percent",
            "repeated[application=build&column=pre-copy&memory_mib=512].slowdown_percent",
            "repeated[application=sender&column=post-copy&memory_mib=512].slowdown_percent",
            "repeated[application=sender&column=pre-copy&memory_mib=512].slowdown_percent",
        ],
    },
    Row {
        benchmark: Benchmark::Peers,
        what: "guest of 1 GiB that writes 256 MiB at full speed, moved by post-copy within a host, by the same move on QEMU \
               (post-copy, with and without preempt): total time, work lost, time blocked, longest stall, downtime",
        shown: "{}; {}; {}; {}; {}",
        fields: &[
            "verdicts[claim=total time, by QEMU's&subject=* loopback *].measured",
            "verdicts[claim=work lost, by QEMU's&subject=* loopback *].measured",
            "verdicts[claim=time blocked, by QEMU's&subject=* loopback *].measured",
            "verdicts[claim=longest stall, by QEMU's&subject=* loopback *].measured",
            "verdicts[claim=downtime, by QEMU's&subject=* loopback *].measured",
        ],
    },
    Row {
        benchmark: Benchmark::Peers,
        what: "the same over 1 Gb/s, where both wait for the wire",
        shown: "{}; {}; {}; {}; {}",
        fields: &[
            "verdicts[claim=total time, by QEMU's&subject=* 1G *].measured",
            "verdicts[claim=work lost, by QEMU's&subject=* 1G *].measured",
            "verdicts[claim=time blocked, by QEMU's&subject=* 1G *].measured",
            "verdicts[claim=longest stall, by QEMU's&subject=* 1G *].measured",
            "verdicts[claim=downtime, by QEMU's&subject=* 1G *].measured",
        ],
    },
    Row {
        benchmark: Benchmark::Resume,
        what: "start of `skiff restore` to the guest's first instruction, guests of 256 MiB to 8 GiB: memory mapped, lazy \
               (an empty process)",
        shown: "{} ms, {} ms ({} ms)",
        fields: &[
            "first.rows[what=*mapped: first instruction].values",
            "first.rows[what=*lazy: first instruction].values",
            "first.rows[what=an empty process].values",
        ],
    },
    Row {
        benchmark: Benchmark::Resume,
        what: "64 MiB out of 1 GiB touched after a lazy resume, by the time in a VM that has all its memory and a bulk copy",
        shown: "{}",
        fields: &["set.verdicts[claim=time by floors].measured"],
    },
    Row {
        benchmark: Benchmark::Resume,
        what: "page faults meanwhile: demand paging, a first lazy resume, later ones",
        shown: "{}, {}, {}",
        fields: &[
            "set.rows[what=lazy, demand paging: faults].values",
            "set.rows[what=lazy, first: faults].values",
            "set.rows[what=lazy, third: faults].values",
        ],
    },
    Row {
        benchmark: Benchmark::Resume,
        what: "until a guest that writes 256 MiB out of 1 GiB is at 90 % of its speed, or has been watched for 2.3 s: \
               lazy, mapped; the same where the snapshot has to come from the disk",
        shown: "{} s, {} s; {} s, {} s",
        fields: &[
            "speed.rows[what=lazy, prefetch: until full speed].values",
            "speed.rows[what=mapped: until full speed].values",
            "speed.rows[what=lazy, prefetch, cold: until full speed].values",
            "speed.rows[what=mapped, cold: until full speed].values",
        ],
    },
    Row {
        benchmark: Benchmark::Resume,
        what: "snapshot of 200 MiB out of 1 GiB: its rate by that of `dd conv=fsync` of the same bytes; the VM pauses with `--live`",
        shown: "{}; {} ms",
        fields: &[
            "write.verdicts[claim=by dd].measured",
            "write.rows[what=live: pause].values",
        ],
    },
    Row {
        benchmark: Benchmark::Resume,
        what: "50 clones of one snapshot: all are ready; private memory of each",
        shown: "{} s; {} MiB",
        fields: &[
            "clones.rows[what=all are ready].values / 1000",
            "clones.rows[what=private and dirty, worst copy].values",
        ],
    },
    Row {
        benchmark: Benchmark::Balloon,
        what: "self-ballooning every 100 ms and every second, guest of 512 MiB that grows to 400 MiB and shrinks to 50 within half a minute, a MiB at a time, \
               on one half of a processor: less work done than by its equal without on the other half; time that the guest counts for it",
        shown: "{} %, {} %; {} %, {} %",
        fields: &[
            "sweep.rows[interval_ms=100].slowdown_percent.median",
            "sweep.rows[interval_ms=1000].slowdown_percent.median",
            "sweep.rows[interval_ms=100].balloon_percent.median",
            "sweep.rows[interval_ms=1000].balloon_percent.median",
        ],
    },
    Row {
        benchmark: Benchmark::Devices,
        what: "4 KiB reads of a disk in the page cache, by those of the same guest on QEMU (microvm, io_uring, its own thread): \
               sequential, random, random one at a time; sequential reads of 128 KiB",
        shown: "{}; {}; {}; {}",
        fields: &[
            "disk[name=sequential, 4 KiB, 32 at a time].rounds.skiff / disk[name=sequential, 4 KiB, 32 at a time].rounds.qemu",
            "disk[name=random, 4 KiB, 32 at a time].rounds.skiff / disk[name=random, 4 KiB, 32 at a time].rounds.qemu",
            "disk[name=random, 4 KiB, one at a time].rounds.skiff / disk[name=random, 4 KiB, one at a time].rounds.qemu",
            "disk[name=sequential, 128 KiB, 32 at a time].rounds.skiff / disk[name=sequential, 128 KiB, 32 at a time].rounds.qemu",
        ],
    },
    Row {
        benchmark: Benchmark::Devices,
        what: "frames through a network card on a bridge, by those of the same guest on QEMU (without vhost): sent, 1514 and 64 bytes; received",
        shown: "{}, {}; {}, {}",
        fields: &[
            "net[name=send, frames of 1514 bytes].rounds.skiff / net[name=send, frames of 1514 bytes].rounds.qemu",
            "net[name=send, frames of 64 bytes].rounds.skiff / net[name=send, frames of 64 bytes].rounds.qemu",
            "net[name=receive, frames of 1514 bytes].rounds.skiff / net[name=receive, frames of 1514 bytes].rounds.qemu",
            "net[name=receive, frames of 64 bytes].rounds.skiff / net[name=receive, frames of 64 bytes].rounds.qemu",
        ],
    },
    Row {
        benchmark: Benchmark::Boot,
        what: "process start to the guest's first serial line (an empty process)",
        shown: "{} ms ({} ms)",
        fields: &["first_line_ms.median", "process_floor_ms.median"],
    },
    Row {
        benchmark: Benchmark::Boot,
        what: "resident memory of a monitor, its idle guest of 128 MiB included",
        shown: "{} MB",
        fields: &["resident_mb.median"],
    },
];
