//! The built-in probe guest and the recipe of the Linux test guest.
//!
//! The probe is a freestanding program in `probe/`, built by this crate's build script. Its decisions
//! (`probe/pure`) are tested here; all of it together is tested under the monitor.

/// The probe guest: an ELF file for x86-64 with a PVH note and a 64-bit entry, loaded from 1 MiB up.
pub static PROBE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/probe.elf"));

#[cfg(test)]
#[path = "../probe/pure/mod.rs"]
mod pure;

// Never compiled here: it shows `cargo fmt` the program that the build script compiles.
#[cfg(any())]
#[path = "../probe/main.rs"]
mod program;
