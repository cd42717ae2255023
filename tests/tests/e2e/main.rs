//! The monitor from the outside: every case starts the `skiff` that users get.
//!
//! Cases that need a stock Linux guest run where the host's KVM can boot one. On other hosts they
//! say so, and the case `rig` runs the whole suite under emulated AMD-V, where they can.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

mod bad_input;
mod balloon;
mod boot;
mod chains;
mod console;
mod control;
mod cuts;
mod disks;
mod disks_job;
mod disks_linux;
mod every_byte;
mod ground;
mod kills;
mod linux;
mod migrate;
mod modes;
mod nets;
mod nets_linux;
mod probe_balloon;
mod probe_disk;
mod probe_net;
mod rig;
mod rootfs_linux;
mod secure;
mod snapshot;
mod snapshot_bytes;
mod snapshot_difference;
mod snapshot_kills;
mod snapshot_limits;
mod snapshot_linux;
mod vsock;
