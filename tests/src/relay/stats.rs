//! What a relay has done so far.

use std::collections::VecDeque;
use std::ops::AddAssign;

use super::plan::{Cut, Direction};

/// How many connections are remembered one by one, the latest; the totals go on.
///
/// Our choice: more than a test makes, and a relay that runs for days stays small.
pub const REMEMBERED_CONNECTIONS: usize = 1024;

/// What has happened to the bytes of one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FlowStats {
    /// Read from the sender's side.
    pub received_bytes: u64,
    /// Written to the receiver's side: handed to the kernel, not necessarily read by the peer.
    pub forwarded_bytes: u64,
    /// Read and thrown away, because the receiver was gone or a rule had half-closed the connection.
    pub discarded_bytes: u64,
    /// Bits inverted in what was read.
    pub flipped_bits: u64,
}

impl AddAssign for FlowStats {
    fn add_assign(&mut self, other: Self) {
        self.received_bytes += other.received_bytes;
        self.forwarded_bytes += other.forwarded_bytes;
        self.discarded_bytes += other.discarded_bytes;
        self.flipped_bits += other.flipped_bits;
    }
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectionEnd {
    /// Both streams ended with a FIN, given by the peers or by half-closing rules.
    Finished,
    /// A peer reset it, and so the other peer's connection was reset.
    PeerReset,
    /// A rule or [`cut_all`](super::Relay::cut_all) cut it.
    Cut(Cut),
    /// The server could not be reached; the client's connection was reset.
    NoServer,
    /// The relay stopped and reset it.
    Stopped,
}

/// What has happened on one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionStats {
    /// Its number; the first one accepted is 0.
    pub index: u64,
    /// From client to server.
    pub to_server: FlowStats,
    /// From server to client.
    pub to_client: FlowStats,
    /// How it ended, if it has.
    pub end: Option<ConnectionEnd>,
}

/// What has happened on all connections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// How many connections were accepted.
    pub accepted: u64,
    /// How many of them have ended.
    pub ended: u64,
    /// How many of those ended by a cut.
    pub cut: u64,
    /// From clients to the server.
    pub to_server: FlowStats,
    /// From the server to clients.
    pub to_client: FlowStats,
    /// The latest connections, in the order of their numbers.
    pub connections: VecDeque<ConnectionStats>,
}

impl Stats {
    /// How many connections there are now.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.accepted - self.ended
    }

    /// One of the connections remembered.
    #[must_use]
    pub fn connection(&self, index: u64) -> Option<&ConnectionStats> {
        self.connections.get(self.place(index)?)
    }

    fn remembered(&mut self, index: u64) -> Option<&mut ConnectionStats> {
        let place = self.place(index)?;
        self.connections.get_mut(place)
    }

    fn place(&self, index: u64) -> Option<usize> {
        let first = self.connections.front()?.index;
        usize::try_from(index.checked_sub(first)?).ok()
    }

    /// A connection was accepted; returns its number.
    pub(super) fn accept(&mut self) -> u64 {
        let index = self.accepted;
        self.accepted += 1;
        if self.connections.len() == REMEMBERED_CONNECTIONS {
            self.connections.pop_front();
        }
        self.connections.push_back(ConnectionStats {
            index,
            to_server: FlowStats::default(),
            to_client: FlowStats::default(),
            end: None,
        });
        index
    }

    /// Something happened in one direction of a connection.
    pub(super) fn record(&mut self, index: u64, direction: Direction, flow: FlowStats) {
        *match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        } += flow;
        if let Some(connection) = self.remembered(index) {
            *match direction {
                Direction::ToServer => &mut connection.to_server,
                Direction::ToClient => &mut connection.to_client,
            } += flow;
        }
    }

    /// A connection ended.
    pub(super) fn finish(&mut self, index: u64, end: ConnectionEnd) {
        self.ended += 1;
        if matches!(end, ConnectionEnd::Cut(_)) {
            self.cut += 1;
        }
        if let Some(connection) = self.remembered(index) {
            connection.end = Some(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ConnectionEnd, FlowStats, REMEMBERED_CONNECTIONS, Stats};
    use crate::relay::{Cut, Direction};

    #[test]
    fn stats_of_many_connections_forget_the_oldest_and_keep_the_totals() {
        let mut stats = Stats::default();
        let many = u64::try_from(REMEMBERED_CONNECTIONS).unwrap() + 10;
        let flow = FlowStats {
            forwarded_bytes: 3,
            ..FlowStats::default()
        };
        for _ in 0..many {
            let index = stats.accept();
            stats.record(index, Direction::ToClient, flow);
            stats.record(0, Direction::ToServer, flow);
            stats.finish(index, ConnectionEnd::Cut(Cut::Fin));
        }
        assert_eq!(stats.connections.len(), REMEMBERED_CONNECTIONS);
        assert_eq!(stats.connection(9), None);
        assert_eq!(stats.connection(10).unwrap().index, 10);
        assert_eq!(stats.connection(10).unwrap().to_client, flow);
        assert_eq!(stats.to_client.forwarded_bytes, 3 * many);
        assert_eq!(stats.to_server.forwarded_bytes, 3 * many);
        assert_eq!((stats.accepted, stats.cut, stats.open()), (many, many, 0));
    }
}
