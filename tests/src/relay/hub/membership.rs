//! A connection's side of the hub.

use std::sync::Arc;

use super::Hub;
use crate::relay::bell::Bell;
use crate::relay::plan::Direction;
use crate::relay::policy::Policy;
use crate::relay::stats::{ConnectionEnd, FlowStats};

/// A connection's place in the hub, given up when dropped: after its sockets are closed.
#[derive(Debug)]
pub(in crate::relay) struct Membership {
    /// Rings when the connection is told something.
    pub(in crate::relay) bell: Bell,
    /// How the connection has ended, once it has.
    pub(in crate::relay) end: ConnectionEnd,
    hub: Arc<Hub>,
    index: u64,
}

impl Membership {
    /// A place in a hub that has an entry with that index and that bell.
    pub(super) fn new(hub: Arc<Hub>, bell: Bell, index: u64) -> Self {
        Self {
            bell,
            end: ConnectionEnd::Stopped,
            hub,
            index,
        }
    }

    /// The number of the connection.
    pub(in crate::relay) fn index(&self) -> u64 {
        self.index
    }

    /// The hub itself.
    pub(in crate::relay) fn hub(&self) -> &Hub {
        &self.hub
    }

    /// What the connection shall follow, if it is not what it followed so far.
    pub(in crate::relay) fn new_policy(&self) -> Option<Arc<Policy>> {
        let mut state = self.hub.lock();
        state.entries.get_mut(&self.index)?.policy.take()
    }

    /// How the connection shall end, if it shall.
    pub(in crate::relay) fn ordered_end(&self) -> Option<ConnectionEnd> {
        self.hub.lock().entries.get(&self.index)?.end
    }

    /// Adds to the statistics what has happened in each of [`Direction::ALL`].
    pub(in crate::relay) fn record(&self, flows: [FlowStats; 2]) {
        let mut state = self.hub.lock();
        for (direction, flow) in Direction::ALL.into_iter().zip(flows) {
            state.stats.record(self.index, direction, flow);
        }
        self.hub.tell(&state);
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut state = self.hub.lock();
        state.entries.remove(&self.index);
        state.stats.finish(self.index, self.end);
        self.hub.tell(&state);
        self.hub.door_bell.ring();
    }
}
