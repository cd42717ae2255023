//! How much memory the host has, and how much of it is free.

use std::{fs, io};

use serde::Serialize;

use crate::config::ByteSize;

/// All memory of the host, in whole MiB as people give it; one system call.
pub fn total_memory() -> ByteSize {
    ByteSize::from_mib((total_bytes() >> 20).max(1))
}

fn total_bytes() -> u64 {
    let info = rustix::system::sysinfo();
    info.totalram
        .saturating_mul(u64::from(info.mem_unit.max(1)))
}

/// The host's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HostMemory {
    /// All of it.
    pub total_bytes: u64,
    /// What new programs can use without swapping (`MemAvailable` of proc_meminfo(5)).
    pub available_bytes: u64,
}

impl HostMemory {
    /// Asks the kernel.
    pub fn now() -> Self {
        let total_bytes = total_bytes();
        // Without /proc there is nothing to tell.
        let available_bytes = available_memory_bytes().unwrap_or(total_bytes);
        Self {
            total_bytes,
            available_bytes,
        }
    }
}

/// What new programs can use without swapping (`MemAvailable` of proc_meminfo(5)).
///
/// # Errors
/// If /proc is not mounted or the kernel is older than 3.14.
pub fn available_memory_bytes() -> io::Result<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    parse_available(&meminfo).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The resident memory of this process, what it has mapped of guest memory included (proc_pid_statm(5)).
///
/// # Errors
/// If /proc is not mounted.
pub fn resident_bytes() -> io::Result<u64> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    let pages: Option<u64> = statm
        .split_ascii_whitespace()
        .nth(1)
        .and_then(|text| text.parse().ok());
    let page_bytes = rustix::param::page_size() as u64;
    pages
        .and_then(|pages| pages.checked_mul(page_bytes))
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn parse_available(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_memory_is_read_in_bytes() {
        let meminfo = "MemTotal:       24611004 kB\nMemAvailable:   23456789 kB\nBuffers: 1 kB\n";
        assert_eq!(parse_available(meminfo), Some(23_456_789 << 10));
    }

    #[test]
    fn available_memory_malformed_is_not_guessed() {
        for meminfo in [
            "",
            "MemAvailable: kB",
            "MemAvailable: 12",
            "MemAvailable: -1 kB",
        ] {
            assert_eq!(parse_available(meminfo), None, "{meminfo}");
        }
    }

    #[test]
    fn memory_of_this_host_is_plausible() {
        let memory = HostMemory::now();
        assert!(memory.available_bytes <= memory.total_bytes);
        assert!(memory.available_bytes > 0);
        assert!((1 << 16..memory.total_bytes).contains(&resident_bytes().unwrap()));
    }
}
