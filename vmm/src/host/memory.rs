//! How much memory the host has, and how much of it is free.

use std::fs;

use serde::Serialize;

use crate::config::ByteSize;

/// All memory of the host; one system call.
pub fn total_memory() -> ByteSize {
    let info = rustix::system::sysinfo();
    let unit_bytes = u64::from(info.mem_unit.max(1));
    ByteSize::from_bytes(info.totalram.saturating_mul(unit_bytes))
        .expect("a host that runs this has memory")
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
        let total_bytes = total_memory().bytes();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        // A kernel without this line is older than 3.14; without /proc there is nothing to tell.
        let available_bytes = parse_available(&meminfo).unwrap_or(total_bytes);
        Self {
            total_bytes,
            available_bytes,
        }
    }
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
    }
}
