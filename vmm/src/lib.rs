//! skiff: a microVM monitor whose VMs can move.
