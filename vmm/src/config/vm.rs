//! The configuration of a VM that is to boot.

use std::path::PathBuf;

use super::kernel::check_command_line;
use super::list::Listed as _;
use super::{
    BalloonMode, ByteSize, ConfigError, DiskConfig, KernelSource, NetConfig, SerialMode, VmName,
    VmSettings, VsockConfig,
};
use crate::boot::VcpuCount;

/// The least memory of a VM.
pub const MIN_MEMORY: ByteSize = ByteSize::from_mib(16);

/// The memory of a VM when none is given.
pub const DEFAULT_MEMORY: ByteSize = ByteSize::from_mib(512);

/// The size of a guest page in bytes.
const PAGE_BYTES: u64 = 4096;

/// A VM that can be built: every value is in range and fits the others.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VmConfig {
    /// What it boots.
    pub kernel: KernelSource,
    /// The initial ramdisk; never with the probe guest.
    pub initrd: Option<PathBuf>,
    /// The kernel command line: printable ASCII, at most 2047 bytes.
    pub command_line: String,
    /// Guest memory: whole pages, at least 16 MiB, not more than the host has.
    pub memory: ByteSize,
    /// Its vCPUs.
    pub cpus: VcpuCount,
    /// Its disks, in the order in which the guest finds them.
    pub disks: Vec<DiskConfig>,
    /// Its network cards, in the order in which the guest finds them.
    pub nets: Vec<NetConfig>,
    /// Its socket device.
    pub vsock: Option<VsockConfig>,
    /// Where its serial port leads.
    pub serial: SerialMode,
    /// Whether it has a memory balloon.
    pub balloon: BalloonMode,
    /// Its name.
    pub name: VmName,
    /// The path chosen for its control socket, in place of the one made from the name.
    pub api: Option<PathBuf>,
}

impl VmConfig {
    /// Makes a configuration of what was typed, on a host with that much memory in all.
    ///
    /// # Errors
    /// If no kernel is given, or a value does not fit this host, a guest or the other values.
    pub fn new(settings: VmSettings, host_memory: ByteSize) -> Result<Self, ConfigError> {
        let VmSettings {
            kernel,
            initrd,
            cmdline,
            memory,
            cpus,
            disk,
            net,
            vsock,
            serial,
            balloon,
            name,
            api,
        } = settings;
        let kernel = kernel.ok_or(ConfigError::KernelMissing)?;
        if let (KernelSource::Probe, Some(path)) = (&kernel, &initrd) {
            return Err(ConfigError::ProbeInitrd { path: path.clone() });
        }
        let command_line = cmdline.unwrap_or_else(|| kernel.default_command_line().to_owned());
        check_command_line(&command_line)?;
        Ok(Self {
            kernel,
            initrd,
            command_line,
            memory: check_memory(memory.unwrap_or(DEFAULT_MEMORY), host_memory)?,
            cpus: cpus.unwrap_or(VcpuCount::ONE),
            disks: DiskConfig::check(disk)?,
            nets: NetConfig::check(net)?,
            vsock,
            serial: serial.unwrap_or_default(),
            balloon: balloon.unwrap_or_default(),
            name: name.map_or_else(VmName::generate, Ok)?,
            api,
        })
    }
}

fn check_memory(memory: ByteSize, host: ByteSize) -> Result<ByteSize, ConfigError> {
    if memory < MIN_MEMORY {
        return Err(ConfigError::MemoryTooSmall {
            memory,
            minimum: MIN_MEMORY,
        });
    }
    if !memory.bytes().is_multiple_of(PAGE_BYTES) {
        return Err(ConfigError::MemoryUnaligned { memory });
    }
    if memory > host {
        return Err(ConfigError::MemoryExceedsHost { memory, host });
    }
    Ok(memory)
}

#[cfg(test)]
mod tests;
