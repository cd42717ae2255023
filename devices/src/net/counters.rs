//! What a card has done so far, counted while it runs and moved with it.

use serde::{Deserialize, Serialize};

/// Counts of what went through a card since the guest booted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetCounters {
    /// Frames the guest got.
    pub received_frames: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Frames for the guest that did not fit its buffers.
    pub receive_drops: u64,
    /// Frames the guest sent.
    pub sent_frames: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Frames of the guest that the host did not take, or that were none.
    pub send_drops: u64,
}

impl NetCounters {
    /// Counts `more`; wraps after more than any card can do.
    pub(super) fn add(&mut self, more: Self) {
        let Self {
            received_frames,
            received_bytes,
            receive_drops,
            sent_frames,
            sent_bytes,
            send_drops,
        } = more;
        for (counter, amount) in [
            (&mut self.received_frames, received_frames),
            (&mut self.received_bytes, received_bytes),
            (&mut self.receive_drops, receive_drops),
            (&mut self.sent_frames, sent_frames),
            (&mut self.sent_bytes, sent_bytes),
            (&mut self.send_drops, send_drops),
        ] {
            *counter = counter.wrapping_add(amount);
        }
    }
}
