//! skiff: a microVM monitor whose VMs can move.

pub mod config;
