//! How much a guest reads of its disk.
//!
//! The image is in the host's page cache, so that what is compared is the monitors' work and no disk's.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::monitor::Equipment;
use super::{Monitor, Row, Title};
use crate::bench::BenchError;
use crate::count::to_f64;
use crate::harness::write_numbered_image;
use guest_images::PROBE;

const IMAGE_PAGES: u64 = 512 << 8;

/// Until reading goes as it will go on.
const WARM_UP: Duration = Duration::from_millis(500);

/// How long it is measured.
const MEASURED: Duration = Duration::from_secs(3);

/// What the guest reads.
#[derive(Debug, Clone, Copy)]
struct Reading {
    /// For people.
    name: &'static str,
    /// The probe's workload.
    workload: &'static str,
    /// KiB in a read.
    block_kib: u16,
    /// Reads under way.
    depth: u16,
}

const READINGS: [Reading; 4] = [
    Reading {
        name: "sequential, 128 KiB, 32 at a time",
        workload: "disk-seq",
        block_kib: 128,
        depth: 32,
    },
    Reading {
        name: "sequential, 4 KiB, 32 at a time",
        workload: "disk-seq",
        block_kib: 4,
        depth: 32,
    },
    Reading {
        name: "random, 4 KiB, 32 at a time",
        workload: "disk-random",
        block_kib: 4,
        depth: 32,
    },
    Reading {
        name: "random, 4 KiB, one at a time",
        workload: "disk-random",
        block_kib: 4,
        depth: 1,
    },
];

/// What the table is of.
pub const TITLE: Title = Title {
    device: "disk",
    unit: "MiB/s",
    host: "pread",
    claimed: Some(1.0),
};

/// Measures every reading on skiff and on its peer, in turns.
///
/// # Errors
/// A monitor or guest fails.
pub fn measure(rounds: usize, peer: Option<Monitor>) -> Result<Vec<Row>, BenchError> {
    let directory = tempfile::tempdir().map_err(BenchError::system("make a directory"))?;
    let [probe, image] = ["probe.elf", "disk.img"].map(|name| directory.path().join(name));
    std::fs::write(&probe, PROBE).map_err(BenchError::system("write the probe"))?;
    write_numbered_image(&image, IMAGE_PAGES).map_err(BenchError::system("write an image"))?;
    let mut rows = READINGS.map(|reading| Row::new(reading.name));
    for round in 0..rounds {
        for (row, reading) in rows.iter_mut().zip(READINGS) {
            row.measure(
                peer,
                || preads(reading, &image).map_err(BenchError::system("read the image")),
                |monitor| read(monitor, reading, &probe, &image),
            )?;
        }
        eprintln!("disk: round {}/{rounds}", round + 1);
    }
    Ok(rows.into())
}

/// What the host itself reads, in MiB/s.
fn preads(reading: Reading, image: &Path) -> std::io::Result<f64> {
    let file = File::open(image)?;
    let block_bytes = u64::from(reading.block_kib) << 10;
    let mut block = vec![0; usize::from(reading.block_kib) << 10];
    let blocks = (IMAGE_PAGES << 2) / u64::from(reading.block_kib);
    let began = Instant::now();
    let mut count: u64 = 0;
    while began.elapsed() < MEASURED / 3 {
        for _ in 0..64 {
            let number = match reading.workload {
                // As good as random: multiples of the golden ratio.
                "disk-random" => (count.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % blocks,
                _ => count % blocks,
            };
            file.read_exact_at(&mut block, number * block_bytes)?;
            count += 1;
        }
    }
    let mib = to_f64(count * u64::from(reading.block_kib)) / 1024.0;
    Ok(mib / began.elapsed().as_secs_f64())
}

/// What a guest reads, in MiB/s.
fn read(monitor: Monitor, reading: Reading, probe: &Path, image: &Path) -> Result<f64, BenchError> {
    let Reading {
        workload,
        block_kib,
        depth,
        ..
    } = reading;
    let words = format!("workload={workload} block={block_kib}K depth={depth} ws=8M");
    let guest = monitor.run(probe, Equipment::Disk(image), &words)?;
    Ok(guest.rate(WARM_UP, MEASURED)? / 256.0)
}
