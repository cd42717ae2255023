//! A card as those see it who watch and move it, and as its halves share it.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::announce::{FRAME_BYTES, frame};
use super::config::{Announcing, HEADER_BYTES};
use super::{Link, MacAddress, NetCounters, Tap};
use crate::Misbehaviour;

/// A card; clones mean the same one.
#[derive(Clone, Debug)]
pub struct NetHandle(Arc<Card>);

#[derive(Debug)]
struct Card {
    tap: Tap,
    mac: MacAddress,
    counters: Mutex<NetCounters>,
    /// What the driver finds of its link.
    is_link_up: AtomicBool,
    /// The driver is asked to announce itself, and has not said that it did.
    is_asked: AtomicBool,
    /// A failure of the host was logged.
    is_told: AtomicBool,
    misbehaviour: Mutex<Misbehaviour>,
}

impl NetHandle {
    pub(super) fn new(tap: Tap, mac: MacAddress) -> Self {
        Self(Arc::new(Card {
            is_link_up: AtomicBool::new(tap.link() == Link::Up),
            tap,
            mac,
            counters: Mutex::default(),
            is_asked: AtomicBool::new(false),
            is_told: AtomicBool::new(false),
            misbehaviour: Mutex::default(),
        }))
    }

    /// Its interface on the host.
    #[must_use]
    pub fn tap(&self) -> &Tap {
        &self.0.tap
    }

    /// Its address.
    #[must_use]
    pub fn mac(&self) -> MacAddress {
        self.0.mac
    }

    /// What it has done so far.
    #[must_use]
    pub fn counters(&self) -> NetCounters {
        *lock(&self.0.counters)
    }

    pub(super) fn set_counters(&self, counters: NetCounters) {
        *lock(&self.0.counters) = counters;
    }

    pub(super) fn count(&self, more: NetCounters) {
        lock(&self.0.counters).add(more);
    }

    /// Whether its interface is up.
    #[must_use]
    pub fn link(&self) -> Link {
        self.0.tap.link()
    }

    /// The link as the driver finds it.
    pub(super) fn shown_link(&self) -> Link {
        if self.0.is_link_up.load(Ordering::SeqCst) {
            Link::Up
        } else {
            Link::Down
        }
    }

    /// Shows the driver its link as it is, and says how that is if it was shown another.
    pub(super) fn look_at_link(&self) -> Option<Link> {
        // First, so that a change after the look is told.
        if let Some(watch) = self.0.tap.link_watch() {
            watch.settle();
        }
        let link = self.link();
        let is_up = link == Link::Up;
        let was_up = self.0.is_link_up.swap(is_up, Ordering::SeqCst);
        (is_up != was_up).then_some(link)
    }

    pub(super) fn announcing(&self) -> Announcing {
        if self.0.is_asked.load(Ordering::SeqCst) {
            Announcing::Asked
        } else {
            Announcing::No
        }
    }

    pub(super) fn set_announcing(&self, announcing: Announcing) {
        let is_asked = announcing == Announcing::Asked;
        self.0.is_asked.store(is_asked, Ordering::SeqCst);
    }

    /// Tells the network where the card is, in a frame of the device's own.
    pub(super) fn announce(&self) {
        let mut bytes = [0; HEADER_BYTES + FRAME_BYTES];
        bytes[HEADER_BYTES..].copy_from_slice(&frame(self.0.mac));
        if let Err(error) = self.0.tap.speak(&bytes) {
            self.tell(&error);
        }
    }

    pub(super) fn complain(&self, what: &dyn fmt::Display) {
        let subject = format_args!("network card on {}", self.0.tap.name());
        lock(&self.0.misbehaviour).note(&subject, what);
    }

    /// Logs a failure of the host, once.
    pub(super) fn tell(&self, error: &io::Error) {
        if !self.0.is_told.swap(true, Ordering::Relaxed) {
            let name = self.0.tap.name();
            log::warn!(
                "the network interface {name} does not take or give frames: {error}; is it up? \
                 `skiff info` counts what is lost"
            );
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
