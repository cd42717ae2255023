//! What the threads of a relay share: the plan in force, the door, the connections.

mod membership;

use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::ops::RangeInclusive;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::net::{Shutdown, shutdown};

use super::bell::Bell;
use super::plan::{Cut, Plan};
use super::policy::Policy;
use super::stats::{ConnectionEnd, Stats};

pub(super) use membership::Membership;

/// How many connections a relay has at once; more of them wait in the kernel.
///
/// Our choice: each has a thread and two windows.
pub(super) const MAX_OPEN: usize = 128;

/// What the one who accepts connections is to do.
#[derive(Debug)]
pub(super) enum Admission {
    /// Accept from this listener.
    Open(Arc<TcpListener>),
    /// Listen again.
    Reopen,
    /// Leave newcomers waiting in the kernel until a connection ends.
    Crowded,
    /// Have no listener before that time.
    RefuseUntil(Duration),
    /// Come to an end.
    Stop,
}

/// What others have told a connection.
#[derive(Debug)]
struct Entry {
    bell: Bell,
    policy: Option<Arc<Policy>>,
    end: Option<ConnectionEnd>,
}

impl Entry {
    fn follow(&mut self, policy: &Arc<Policy>) {
        self.policy = Some(Arc::clone(policy));
        self.bell.ring();
    }

    fn end(&mut self, end: ConnectionEnd) {
        self.end = self.end.or(Some(end));
        self.bell.ring();
    }
}

#[derive(Debug)]
struct State {
    policy: Arc<Policy>,
    stats: Stats,
    entries: BTreeMap<u64, Entry>,
    listener: Option<Arc<TcpListener>>,
    refuse_until: Duration,
    stopping: bool,
    /// How many threads wait for [`Hub::changed`].
    waiting: u32,
}

/// What the threads of a relay share. All times are counted from its creation.
#[derive(Debug)]
pub(super) struct Hub {
    created: Instant,
    /// Rings when there is another [`Admission`].
    pub(super) door_bell: Bell,
    state: Mutex<State>,
    changed: Condvar,
}

impl Hub {
    /// A hub without connections, whose door is still closed.
    pub(super) fn new(plan: Plan, door_bell: Bell) -> Self {
        Self {
            created: Instant::now(),
            door_bell,
            state: Mutex::new(State {
                policy: Arc::new(Policy::new(plan)),
                stats: Stats::default(),
                entries: BTreeMap::new(),
                listener: None,
                refuse_until: Duration::ZERO,
                stopping: false,
                waiting: 0,
            }),
            changed: Condvar::new(),
        }
    }

    /// The time now.
    pub(super) fn now(&self) -> Duration {
        self.created.elapsed()
    }

    /// A copy of the statistics.
    pub(super) fn stats(&self) -> Stats {
        self.lock().stats.clone()
    }

    /// Puts another plan in force, for new connections and those that there are.
    pub(super) fn set_plan(&self, plan: Plan) {
        let policy = Arc::new(Policy::new(plan));
        let mut state = self.lock();
        for entry in state.entries.values_mut() {
            entry.follow(&policy);
        }
        state.policy = policy;
    }

    /// Cuts those of the connections that there are, and does not wait for it.
    pub(super) fn cut(&self, connections: RangeInclusive<u64>, how: Cut) {
        for (_, entry) in self.lock().entries.range_mut(connections) {
            entry.end(ConnectionEnd::Cut(how));
        }
    }

    /// Cuts all connections that there are; returns how many, once their sockets are closed.
    pub(super) fn cut_all(&self, how: Cut) -> usize {
        let mut state = self.lock();
        for entry in state.entries.values_mut() {
            entry.end(ConnectionEnd::Cut(how));
        }
        let told: Vec<u64> = state.entries.keys().copied().collect();
        state.waiting += 1;
        while told.iter().any(|index| state.entries.contains_key(index)) {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting -= 1;
        told.len()
    }

    /// Refuses new connections from now on for a time; those not accepted yet are reset.
    pub(super) fn refuse_for(&self, lasting: Duration) {
        let until = self.now().saturating_add(lasting);
        let mut state = self.lock();
        state.refuse_until = state.refuse_until.max(until);
        if let Some(listener) = state.listener.take() {
            // This and not closing it: the thread that polls it may keep it open for a while.
            if let Err(error) = shutdown(&*listener, Shutdown::Read) {
                log::warn!("relay: cannot stop listening at once: {error}");
            }
        }
        self.door_bell.ring();
    }

    /// Waits until a condition holds; returns false if it did not in time.
    pub(super) fn wait_until(
        &self,
        timeout: Duration,
        mut condition: impl FnMut(&Stats) -> bool,
    ) -> (bool, Stats) {
        let mut state = self.lock();
        state.waiting += 1;
        let unmet = |state: &mut State| !condition(&state.stats);
        let (mut state, waited) = self
            .changed
            .wait_timeout_while(state, timeout, unmet)
            .unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        (!waited.timed_out(), state.stats.clone())
    }

    /// Tells everybody to stop.
    pub(super) fn stop(&self) {
        let mut state = self.lock();
        state.stopping = true;
        state.listener = None;
        for entry in state.entries.values_mut() {
            entry.end(ConnectionEnd::Stopped);
        }
        self.door_bell.ring();
    }

    /// What to do at the door.
    pub(super) fn admission(&self) -> Admission {
        let state = self.lock();
        if state.stopping {
            Admission::Stop
        } else if self.now() < state.refuse_until {
            Admission::RefuseUntil(state.refuse_until)
        } else if let Some(listener) = &state.listener {
            if state.entries.len() >= MAX_OPEN {
                Admission::Crowded
            } else {
                Admission::Open(Arc::clone(listener))
            }
        } else {
            Admission::Reopen
        }
    }

    /// There is a listener again. It is dropped if it shall not be there yet.
    pub(super) fn opened(&self, listener: TcpListener) {
        let now = self.now();
        let mut state = self.lock();
        if now >= state.refuse_until && !state.stopping {
            state.listener = Some(Arc::new(listener));
        }
    }

    /// A connection was accepted. It is told right away what to follow.
    pub(super) fn enter(self: &Arc<Self>) -> io::Result<Membership> {
        let bell = Bell::new()?;
        let mut state = self.lock();
        let index = state.stats.accept();
        let mut entry = Entry {
            bell: bell.clone(),
            policy: None,
            end: None,
        };
        entry.follow(&state.policy);
        if state.stopping {
            entry.end(ConnectionEnd::Stopped);
        }
        state.entries.insert(index, entry);
        self.tell(&state);
        Ok(Membership::new(Arc::clone(self), bell, index))
    }

    fn tell(&self, state: &State) {
        if state.waiting > 0 {
            self.changed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
