//! skiff: a microVM monitor whose VMs can move.
//!
//! The library behind the `skiff` command. `machine` builds and holds a VM; `monitor` is the
//! process around it: event loop, control socket, and the only place that knows both a machine
//! and the migration engine.

pub mod boot;
mod bounded;
pub mod cli;
pub mod config;
pub mod console;
pub mod control;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod host;
pub mod kvm;
pub mod machine;
pub mod memory;
pub mod monitor;
pub mod transfer;
pub mod vcpu;
