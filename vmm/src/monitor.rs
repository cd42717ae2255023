//! The process around one VM, as the commands `run`, `receive` and `preflight --to` see it.

use crate::config::{HostPort, ReceiveConfig, VmConfig};
use crate::host::PeerReport;

/// Why a VM did not run to its end here.
#[derive(Debug, thiserror::Error)]
pub enum MonitorError {
    /// This program was built without its monitor.
    #[error("this build of skiff has no monitor")]
    NotLinked,
}

/// Boots a VM and stays with it.
///
/// # Errors
/// Always, in a build without a monitor.
pub fn run(_config: VmConfig) -> Result<(), MonitorError> {
    Err(MonitorError::NotLinked)
}

/// Waits for one VM and stays with it.
///
/// # Errors
/// Always, in a build without a monitor.
pub fn receive(_config: ReceiveConfig) -> Result<(), MonitorError> {
    Err(MonitorError::NotLinked)
}

/// Asks a waiting monitor about its host.
///
/// # Errors
/// Always, in a build without a monitor.
pub fn ask_peer(_to: &HostPort) -> Result<PeerReport, MonitorError> {
    Err(MonitorError::NotLinked)
}
