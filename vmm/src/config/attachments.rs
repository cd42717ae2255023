//! Where the devices of a VM that comes from elsewhere are attached on this host.

use super::{SocketConfig, TapConfig};

/// What takes the place of that which the VM names itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attachments {
    /// Where the cables of its network cards end, in the order of the cards; the others end in interfaces
    /// of the names that they had.
    pub taps: Vec<TapConfig>,
    /// Where programs of this host find it; at the path that it had if there is none.
    pub socket: Option<SocketConfig>,
}
