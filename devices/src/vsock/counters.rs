//! What a socket device has done so far, counted while it runs and moved with it.

use serde::{Deserialize, Serialize};

/// Counts of what went through a socket device since the guest booted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VsockCounters {
    /// Connections that were made, from either side.
    pub connections: u64,
    /// Bytes the guest got.
    pub received_bytes: u64,
    /// Bytes the guest sent.
    pub sent_bytes: u64,
    /// Connections that nobody wanted, on either side, and those that a guest broke.
    pub refused: u64,
}

impl VsockCounters {
    /// Counts `more`; wraps after more than any device can do.
    pub(super) fn add(&mut self, more: Self) {
        let Self {
            connections,
            received_bytes,
            sent_bytes,
            refused,
        } = more;
        for (counter, amount) in [
            (&mut self.connections, connections),
            (&mut self.received_bytes, received_bytes),
            (&mut self.sent_bytes, sent_bytes),
            (&mut self.refused, refused),
        ] {
            *counter = counter.wrapping_add(amount);
        }
    }
}
