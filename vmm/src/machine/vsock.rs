//! The socket device of a machine: what stands in its blueprint, and the socket that it has here.

use std::path::{self, PathBuf};

use ::devices::DeviceError;
use ::devices::vsock::{GuestCid, Vsock, VsockError, VsockListener};
use serde::{Deserialize, Serialize};

use super::Passage;
use crate::config::{SocketConfig, VsockConfig};

/// The socket device of a blueprint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VsockSpec {
    /// Where programs of the host find the guest: an absolute path.
    pub path: PathBuf,
    /// The guest's address.
    pub cid: GuestCid,
}

/// A socket device with its socket.
#[derive(Debug)]
pub struct VsockPort {
    listener: VsockListener,
    cid: GuestCid,
}

impl VsockPort {
    /// That of a VM that is to boot.
    ///
    /// # Errors
    /// The socket cannot be had.
    pub fn of_new_vm(config: &VsockConfig) -> Result<Self, VsockError> {
        // The same on a host to which the VM moves.
        let path = path::absolute(&config.path).unwrap_or_else(|_| config.path.clone());
        Ok(Self {
            listener: VsockListener::new(&path)?,
            cid: config.cid,
        })
    }

    /// That of a VM that was elsewhere, with the socket `here` if one is named. A moved one takes it over,
    /// when it begins to run, from the monitor that had it; a copy is another VM.
    ///
    /// # Errors
    /// The socket cannot be had.
    pub fn of_known_vm(
        spec: &VsockSpec,
        here: Option<&SocketConfig>,
        passage: Passage,
    ) -> Result<Self, VsockError> {
        let path = match here {
            Some(SocketConfig(path)) => path::absolute(path).unwrap_or_else(|_| path.clone()),
            None => spec.path.clone(),
        };
        let listener = match passage {
            Passage::Copied { .. } => VsockListener::new(&path)?,
            Passage::Moved => VsockListener::beside(&path)?,
        };
        let cid = spec.cid;
        Ok(Self { listener, cid })
    }

    /// What stands of it in a blueprint.
    #[must_use]
    pub fn spec(&self) -> VsockSpec {
        VsockSpec {
            path: self.listener.path().to_owned(),
            cid: self.cid,
        }
    }

    /// The device.
    pub(super) fn into_device(self) -> Result<Vsock, DeviceError> {
        Vsock::new(self.cid, self.listener)
    }
}

impl VsockSpec {
    /// Whether the path is the same wherever it is opened, and fit to be shown.
    #[must_use]
    pub fn has_plain_path(&self) -> bool {
        super::is_plain(&self.path)
    }
}
