//! The machine under the probe. Everything unsafe is here and in `boot`.

pub mod clock;
pub mod local_apic;
pub mod lock;
pub mod memory;
pub mod once;
pub mod paging;
pub mod port;
pub mod power;
pub mod processor;
pub mod serial;
pub mod start;
pub mod virtio_mmio;
