//! What guest, wire and client say while a VM moves, on one time axis.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::guest::last_pages;
use crate::bench::BenchError;
use crate::harness::{HarnessError, Lines, Network};

/// How often they are asked. Our choice: half as often as the guest says something.
const EVERY: Duration = Duration::from_millis(50);

/// The interfaces at which bytes are counted.
#[derive(Debug, Clone)]
pub(super) struct Counters {
    /// That of the place in which the VM is before the move.
    pub(super) wire: String,
    /// That of the client.
    pub(super) client: String,
}

/// What has come so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Moment {
    /// Since the move began; before that negative.
    pub(super) at_s: f64,
    /// Bytes out of the place in which the VM was before the move.
    pub(super) wire_bytes: u64,
    /// Bytes that the client got from the guest, wherever that was.
    pub(super) client_bytes: u64,
    /// What the guest has done by its own count.
    pub(super) pages: u64,
}

/// A VM that is being watched.
#[derive(Debug)]
pub(super) struct Watched {
    /// The consoles at which it has been heard, the last of which is the newest.
    consoles: Mutex<Vec<Lines>>,
    began: Mutex<Option<Instant>>,
    is_over: AtomicBool,
}

impl Counters {
    fn wire_bytes(&self) -> Result<u64, HarnessError> {
        Network::counted(&self.wire, "rx_bytes")
    }

    pub(super) fn client_bytes(&self) -> Result<u64, HarnessError> {
        Network::counted(&self.client, "rx_bytes")
    }
}

impl Watched {
    /// The VM is heard at `console`.
    pub(super) fn new(console: Lines) -> Self {
        Self {
            consoles: Mutex::new(vec![console]),
            began: Mutex::new(None),
            is_over: AtomicBool::new(false),
        }
    }

    /// It will be heard at this one, too.
    pub(super) fn add(&self, console: Lines) {
        lock(&self.consoles).push(console);
    }

    /// The move begins.
    pub(super) fn begin(&self) {
        *lock(&self.began) = Some(Instant::now());
    }

    /// No more is to be noted.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Notes moments until the end.
    ///
    /// # Errors
    /// A counter cannot be read.
    pub(super) fn moments(&self, counters: &Counters) -> Result<Vec<Moment>, BenchError> {
        let mut noted = Vec::new();
        let mut next = Instant::now();
        while !self.is_over.load(Ordering::Relaxed) {
            let heard = lock(&self.consoles)
                .iter()
                .map(|console| last_pages(&console.all()))
                .max();
            let pages = heard.unwrap_or(0);
            noted.push((
                Instant::now(),
                counters.wire_bytes()?,
                counters.client_bytes()?,
                pages,
            ));
            next += EVERY;
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        let began = lock(&self.began).unwrap_or_else(Instant::now);
        let moments = noted
            .into_iter()
            .map(|(at, wire_bytes, client_bytes, pages)| {
                let (after, before) = (
                    at.saturating_duration_since(began),
                    began.saturating_duration_since(at),
                );
                Moment {
                    at_s: after.as_secs_f64() - before.as_secs_f64(),
                    wire_bytes,
                    client_bytes,
                    pages,
                }
            });
        Ok(moments.collect())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
