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
        Self {
            total_bytes: total_bytes(),
            available_bytes: migration::available_memory_bytes(),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_this_host_is_plausible() {
        let memory = HostMemory::now();
        assert!(memory.available_bytes <= memory.total_bytes);
        assert!(memory.available_bytes > 0);
        assert!((1 << 16..memory.total_bytes).contains(&resident_bytes().unwrap()));
    }
}
