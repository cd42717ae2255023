//! How much memory this host has to give.

use std::fs;

/// Memory that can be had without swapping, in bytes: `MemAvailable` of proc_meminfo(5), or 0 if
/// that cannot be read.
pub fn available_memory_bytes() -> u64 {
    fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| parse(&text))
        .unwrap_or(0)
}

fn parse(meminfo: &str) -> Option<u64> {
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
    fn available_memory_is_read_in_kib() {
        let text = "MemTotal:       24000000 kB\nMemAvailable:   20000000 kB\n";
        assert_eq!(parse(text), Some(20_000_000 * 1024));
        assert_eq!(parse("MemTotal: 1 kB\n"), None);
    }
}
