//! The configuration of a monitor that waits for a VM to arrive.

use std::path::PathBuf;

use super::{Attachments, Exposure, HostPort, SerialMode, TimeSpan, TrustConfig, VmName};

/// A monitor that listens for one VM and runs it; memory and vCPUs come with the VM.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceiveConfig {
    /// Where it listens; port 0 chooses a free one.
    pub listen: HostPort,
    /// The name under which the arriving VM is found on this host.
    pub name: VmName,
    /// The path chosen for its control socket, in place of the one made from the name.
    pub api: Option<PathBuf>,
    /// Where the arriving VM's serial port leads here.
    pub serial: SerialMode,
    /// Where its devices are attached here.
    pub attachments: Attachments,
    /// How long it waits for a source whose connections were lost, if that was chosen.
    pub reconnect_for: Option<TimeSpan>,
    /// Whom it takes a VM from.
    pub trust: TrustConfig,
    /// Who may reach it if it asks nobody for anything.
    pub exposure: Exposure,
}

impl ReceiveConfig {
    /// A monitor that listens there under that name, on standard input and output.
    pub fn new(listen: HostPort, name: VmName) -> Self {
        Self {
            listen,
            name,
            api: None,
            serial: SerialMode::default(),
            attachments: Attachments::default(),
            reconnect_for: None,
            trust: TrustConfig::default(),
            exposure: Exposure::default(),
        }
    }
}
