//! skiff: a microVM monitor whose VMs can move.

pub mod boot;
pub mod cli;
pub mod config;
pub mod console;
pub mod control;
pub mod host;
pub mod monitor;
