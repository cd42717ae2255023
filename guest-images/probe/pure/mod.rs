//! The decisions of the probe as values in, values out: no port, no address, no unsafe.
//! The crate's own tests include this folder, so it is tested on the build host as well.

pub mod acpi;
pub mod balloon;
pub mod boot_info;
pub mod command;
pub mod disk;
pub mod frames;
pub mod job;
pub mod memory_map;
pub mod mix;
pub mod options;
pub mod pace;
pub mod pages;
pub mod pattern;
pub mod permutation;
pub mod sort;
pub mod sort_queue;
pub mod text;
pub mod virtio;
pub mod virtqueue;
pub mod walk;
pub mod zipf;
