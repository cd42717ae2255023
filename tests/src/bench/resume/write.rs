//! How much does a snapshot write, how fast, and how long does its guest stand still?

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use super::Findings;
use super::guest::{Guest, ms};
use crate::bench::BenchError;
use crate::bench::guest::PAGE_BYTES;
use crate::bench::noise::Watch;
use crate::bench::sample::number_in;
use crate::bench::verdict::Bound;
use crate::count::to_f64;
use crate::harness::Host;

/// What the guest uses.
const USED_MIB: u64 = 200;

/// The most that may be written for each byte in use.
const MOST_WRITTEN: f64 = 1.05;

/// The least share of what `dd` reaches.
const LEAST_SHARE: f64 = 0.7;

/// Bytes of a unit of `stat`'s count of blocks (stat(2)).
const BLOCK_BYTES: u64 = 512;

/// How a snapshot is written.
const WAYS: [(&str, &[&str]); 2] = [(PLAIN, &[]), ("live", &["--live"])];

const PLAIN: &str = "plain";

const DD_RATE: &str = "dd conv=fsync of the same bytes: rate";

/// Writes a snapshot in each way, and the same bytes by `dd`, once a run.
///
/// # Errors
/// A snapshot or `dd` fails.
pub fn measure(runs: usize) -> Result<Findings, BenchError> {
    let mut findings = Findings::default();
    let host = Host::new()?;
    let guest = Guest {
        memory: "1G",
        set_kib: USED_MIB << 10,
        words: "workload=random rate=5000",
        filled_pages: 0,
    };
    let vm = guest.boot(&host)?;
    let directory = host.runtime().join("snapshot");
    let bytes = host.runtime().join("bytes");
    vm.snapshot(&directory, &[])?;
    let bytes_mib = mib(gather(&directory, &bytes).map_err(BenchError::system("copy pages"))?);
    for _ in 0..runs {
        let watch = Watch::begin()?;
        for (way, options) in WAYS {
            let report = vm.snapshot(&directory, options)?;
            let written = number_in(&report, "/written_bytes")? / mib_bytes();
            let on_disk = mib(disk_bytes(&directory).map_err(BenchError::system("list files"))?);
            let total_s = number_in(&report, "/total_ms")? / 1e3;
            findings.note(&by_used(way), "ratio", written / to_f64(USED_MIB));
            findings.note(&disk_by_used(way), "ratio", on_disk / to_f64(USED_MIB));
            findings.note(&rate(way), "MiB/s", written / total_s);
            findings.note(
                &format!("{way}: pause"),
                "ms",
                number_in(&report, "/pause_ms")?,
            );
        }
        findings.note(DD_RATE, "MiB/s", bytes_mib / dd_s(&bytes)?);
        findings.heard(watch.end()?);
    }
    for what in [by_used(PLAIN), disk_by_used(PLAIN)] {
        let median = findings.median(&what);
        findings.hold("ratio", &what, median, Bound::AtMost(MOST_WRITTEN));
    }
    let share = findings
        .median(&rate(PLAIN))
        .zip(findings.median(DD_RATE))
        .map(|(rate, floor)| rate / floor);
    findings.hold("by dd", &rate(PLAIN), share, Bound::AtLeast(LEAST_SHARE));
    Ok(findings)
}

fn by_used(way: &str) -> String {
    format!("{way}: written by used")
}

fn disk_by_used(way: &str) -> String {
    format!("{way}: room on the disk by used")
}

fn rate(way: &str) -> String {
    format!("{way}: rate")
}

fn mib_bytes() -> f64 {
    f64::from(1 << 20)
}

fn mib(bytes: u64) -> f64 {
    to_f64(bytes) / mib_bytes()
}

/// Copies the pages of the snapshot that are not zero into one file without holes; gives its size.
fn gather(directory: &Path, to: &Path) -> io::Result<u64> {
    let mut from = BufReader::new(File::open(memory_file(directory)?)?);
    let mut to = BufWriter::new(File::create(to)?);
    let mut page = [0; PAGE_BYTES as usize];
    let mut bytes = 0;
    loop {
        match from.read_exact(&mut page) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error),
        }
        if page.iter().any(|byte| *byte != 0) {
            to.write_all(&page)?;
            bytes += u64::from(PAGE_BYTES);
        }
    }
    to.into_inner()?.sync_all()?;
    Ok(bytes)
}

/// The largest file of the snapshot.
fn memory_file(directory: &Path) -> io::Result<PathBuf> {
    let mut largest = None;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        largest = largest.max(Some((entry.metadata()?.len(), entry.path())));
    }
    let (_, path) = largest.ok_or(io::ErrorKind::NotFound)?;
    Ok(path)
}

/// What all files of the snapshot take.
fn disk_bytes(directory: &Path) -> io::Result<u64> {
    fs::read_dir(directory)?
        .map(|entry| Ok(entry?.metadata()?.blocks() * BLOCK_BYTES))
        .sum()
}

/// Writes what is in the file to another beside it, to the disk.
fn dd_s(from: &Path) -> Result<f64, BenchError> {
    let to = from.with_extension("copy");
    let began = Instant::now();
    let output = Command::new("dd")
        .arg(format!("if={}", from.display()))
        .arg(format!("of={}", to.display()))
        .args(["bs=1M", "conv=fsync"])
        .output()
        .map_err(BenchError::system("run dd"))?;
    let took_s = ms(began.elapsed()) / 1e3;
    if !output.status.success() {
        return Err(BenchError::Tool {
            command: "dd".to_owned(),
            output: String::from_utf8_lossy(&output.stderr).into_owned(),
        });
    }
    fs::remove_file(to).map_err(BenchError::system("remove a copy"))?;
    Ok(took_s)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_the_largest_file_are_gathered_without_the_zero_ones() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("snapshot");
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("small"), [9; 10]).unwrap();
        let page = |byte| vec![byte; usize::from(PAGE_BYTES)];
        fs::write(
            directory.join("memory"),
            [page(1), page(0), page(2)].concat(),
        )
        .unwrap();
        let gathered = place.path().join("gathered");
        assert_eq!(gather(&directory, &gathered).unwrap(), 8192);
        assert_eq!(fs::read(&gathered).unwrap(), [page(1), page(2)].concat());
    }
}
