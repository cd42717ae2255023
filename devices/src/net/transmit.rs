//! Frames of the driver out to the host.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use super::config::{HEADER_BYTES, LONGEST_BYTES, SHORTEST_BYTES};
use super::{NetCounters, NetHandle};
use crate::pieces::{MAX_PIECES, slices_of};
use crate::rate::Limiter;
use crate::virtio::{Chain, Progress, VirtQueue};
use crate::{DeviceError, GuestMemory, RateLimit};

/// The sending half of a card that runs.
#[derive(Debug)]
pub(super) struct Transmitter {
    card: NetHandle,
    memory: GuestMemory,
    limiter: RefCell<Limiter>,
}

impl Transmitter {
    pub(super) fn new(card: NetHandle, memory: GuestMemory, limit: RateLimit) -> Self {
        Self {
            card,
            memory,
            limiter: RefCell::new(Limiter::new(limit)),
        }
    }

    /// How long it is from `now` until a frame may be sent.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        self.limiter.borrow().wait(now)
    }

    /// Sends at most `budget` frames.
    ///
    /// # Errors
    /// The driver broke the queue.
    pub(super) fn turn(&self, queue: &mut VirtQueue, budget: u16) -> Result<Progress, DeviceError> {
        let mut counters = NetCounters::default();
        let mut left = 0..budget;
        let goes_on = || self.limiter.borrow().lets_go() && left.next().is_some();
        let progress = queue.serve_while(goes_on, |chain| {
            let mut limiter = self.limiter.borrow_mut();
            limiter.charge(chain.readable_bytes());
            if self.send(chain)? {
                counters.sent_frames += 1;
                counters.sent_bytes += chain.readable_bytes() - HEADER_BYTES as u64;
            } else {
                counters.send_drops += 1;
            }
            Ok(0)
        });
        self.card.count(counters);
        progress
    }

    /// Says whether the host took the frame.
    fn send(&self, chain: &Chain) -> Result<bool, DeviceError> {
        let is_frame = (SHORTEST_BYTES..=LONGEST_BYTES).contains(&chain.readable_bytes());
        if !is_frame || !chain.writable().is_empty() {
            self.card.complain(&"what is to be sent is no frame");
            return Ok(false);
        }
        let slices = slices_of(&self.memory, chain.readable())?;
        // No driver needs that many; the kernel would refuse them.
        if slices.len() > MAX_PIECES {
            return Ok(false);
        }
        match self.card.tap().send(&slices) {
            Ok(is_sent) => Ok(is_sent),
            // The kernel checks the header, too: what it says of the frame may be nonsense.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                self.card.complain(&"a frame's header is nonsense");
                Ok(false)
            }
            Err(error) => {
                self.card.tell(&error);
                Ok(false)
            }
        }
    }
}
