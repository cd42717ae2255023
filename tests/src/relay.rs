//! A relay between two TCP peers that is a bad network, the same one each time.
//!
//! It stands between client and server, forwards what they send, and does to it what a [`Plan`]
//! says: delay, jitter, rate, stall, cut, half-close, bit flip, refusal of new connections. Whatever
//! depends on chance depends on the seed, the number of the connection, the direction and the byte
//! position only, so that a failure can be had again.
//!
//! ```text
//! client <--- socket ---> [ read | link: rate | under way: delay, stall | write ] <--- socket ---> server
//!                         `------- one pump for each direction, one thread -------'
//! ```
//!
//! Back-pressure is real: a direction holds no more than rate times delay and a small constant, and
//! the kernel's buffers on both sides are bounded. What the relay does not show: a client is
//! connected as soon as the relay has accepted it, before the server knows of it.

mod bell;
mod bucket;
mod chance;
mod connection;
mod door;
mod error;
mod hub;
mod parcels;
mod plan;
mod policy;
mod pump;
mod ring;
mod schedule;
mod script;
mod socket;
mod stats;
mod text;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub use chance::Chance;
pub use error::RelayError;
pub use plan::{Cut, Direction, Effect, JITTER_BLOCK_BYTES, Plan, Rule, When};
pub use stats::{ConnectionEnd, ConnectionStats, FlowStats, REMEMBERED_CONNECTIONS, Stats};

use bell::Bell;
use door::Door;
use hub::Hub;

/// A relay at work. Dropped, it resets its connections, and its threads have ended when that returns.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    hub: Arc<Hub>,
    attendant: Option<JoinHandle<()>>,
}

impl Relay {
    /// Starts a relay at any port of 127.0.0.1 that connects each client to `target`.
    ///
    /// # Errors
    /// If it cannot listen or has no thread.
    pub fn start(target: SocketAddr, plan: Plan) -> Result<Self, RelayError> {
        Self::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), target, plan)
    }

    /// Starts a relay at an address that connects each client to `target`.
    ///
    /// # Errors
    /// If it cannot listen there or has no thread.
    pub fn listen(address: SocketAddr, target: SocketAddr, plan: Plan) -> Result<Self, RelayError> {
        let failed = |source| RelayError::Listen { address, source };
        let door = Door::at(address).map_err(failed)?;
        let address = door.address();
        let hub = Arc::new(Hub::new(plan, Bell::new().map_err(failed)?));
        hub.opened(door.open().map_err(failed)?);
        let attendant = thread::Builder::new()
            .name("relay-door".to_owned())
            .spawn({
                let hub = Arc::clone(&hub);
                move || door::attend(&hub, &door, target)
            })
            .map_err(|source| RelayError::StartThread { address, source })?;
        Ok(Self {
            address,
            hub,
            attendant: Some(attendant),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has happened so far.
    ///
    /// A peer can see a byte or an end slightly before it is counted here; a test that has to know
    /// [waits](Self::wait_until).
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.hub.stats()
    }

    /// Puts another plan in force, for connections to come and those that there are.
    ///
    /// The latter follow it from their present byte position on: bytes already read arrive as they
    /// would have, rules that strike at one of them are too late, and times count from now.
    pub fn set_plan(&self, plan: Plan) {
        self.hub.set_plan(plan);
    }

    /// Cuts all connections that there are and returns how many, once their sockets are closed.
    pub fn cut_all(&self, how: Cut) -> usize {
        self.hub.cut_all(how)
    }

    /// Refuses new connections from now on for a time; when this returns it already does.
    ///
    /// [`Duration::MAX`] is for ever. A longer refusal that is in force stays.
    pub fn refuse_for(&self, lasting: Duration) {
        self.hub.refuse_for(lasting);
    }

    /// Waits until a condition holds and returns what has happened by then.
    ///
    /// # Errors
    /// If it does not hold in time.
    pub fn wait_until(
        &self,
        timeout: Duration,
        condition: impl FnMut(&Stats) -> bool,
    ) -> Result<Stats, RelayError> {
        match self.hub.wait_until(timeout, condition) {
            (true, stats) => Ok(stats),
            (false, stats) => Err(RelayError::NotReached {
                timeout,
                stats: Box::new(stats),
            }),
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.hub.stop();
        let ended = self.attendant.take().map(JoinHandle::join);
        if ended.is_some_and(|ended| ended.is_err()) {
            log::error!("relay: the thread that accepts connections panicked");
        }
    }
}

#[cfg(test)]
mod tests;
