//! The work of a disk's thread: waits for kicks, has what is available done, and ends when told.

use std::io;
use std::time::{Duration, Instant};

use vm_memory::GuestAddress;
use vmm_sys_util::eventfd::EventFd;

use super::device::REQUESTS;
use super::request::Request;
use super::ring::{DEPTH, Event, Ring, Slot};
use super::server::{Server, Understood};
use crate::DeviceError;
use crate::event::{descriptor, lower, wait_for};
use crate::rate::Limiter;
use crate::virtio::{Chain, Orders, Queues, VirtQueue};

/// Requests that are served for one interrupt, and how long it may be put off for more of them, where one
/// is done after another. Our choice: a fast disk interrupts its guest seldom, and on a slow one nobody
/// waits for others' requests.
const BATCH: u16 = 16;
const BATCH_TIME: Duration = Duration::from_micros(500);

/// How many requests are done at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// As many as the kernel takes, if it has io_uring.
    Many,
    /// One after another.
    One,
}

/// Serves the queue until it is to end, or the driver breaks it.
pub(super) fn serve(
    server: Server,
    depth: Depth,
    limiter: Limiter,
    queues: &mut Queues,
    orders: &Orders,
) -> Result<(), DeviceError> {
    let kick = orders.signals.kick_event(REQUESTS);
    let (Some(queue), Some(kick)) = (queues.get_mut(REQUESTS), kick) else {
        return Ok(());
    };
    let mut work = Work {
        server,
        limiter,
        queue,
        kick,
        orders,
    };
    if depth == Depth::One {
        return work.one_at_a_time();
    }
    match Ring::new(kick) {
        Ok(ring) => work.many_at_a_time(ring),
        Err(error) => {
            log::info!("a disk is served by one request at a time: {error}");
            work.one_at_a_time()
        }
    }
}

struct Work<'a> {
    server: Server,
    limiter: Limiter,
    queue: &'a mut VirtQueue,
    kick: &'a EventFd,
    orders: &'a Orders,
}

impl Work<'_> {
    fn one_at_a_time(&mut self) -> Result<(), DeviceError> {
        let mut has_more = true;
        while self.orders.go_on() {
            let (mut left, began) = (0..BATCH, Instant::now());
            while left.next().is_some() && began.elapsed() < BATCH_TIME && self.may_begin() {
                let Some(chain) = self.queue.take()? else {
                    has_more = false;
                    break;
                };
                self.limiter.spend(Instant::now(), bytes_of(&chain));
                let written_bytes = self.server.serve(&chain)?;
                self.queue.put_back(chain, written_bytes)?;
            }
            self.queue.interrupt_if_wanted()?;
            let pause = has_more.then(|| self.limiter.wait(Instant::now()));
            if pause != Some(Duration::ZERO) {
                let [is_kicked] = wait_for([Some(descriptor(self.kick))], pause)?;
                if is_kicked {
                    lower(self.kick);
                    has_more = true;
                }
            }
        }
        Ok(())
    }

    fn many_at_a_time(&mut self, mut ring: Ring) -> Result<(), DeviceError> {
        let mut in_flight = InFlight::new();
        let mut has_more = true;
        loop {
            while let Some(event) = ring.take_event() {
                match event {
                    Event::Done(slot, result) => self.finish(in_flight.remove(slot), &result)?,
                    Event::Kicked => {
                        lower(self.kick);
                        has_more = true;
                    }
                }
            }
            self.queue.interrupt_if_wanted()?;
            let goes_on = self.orders.go_on();
            if !goes_on && in_flight.is_empty() {
                return Ok(());
            }
            if goes_on && has_more {
                has_more = self.begin(&mut ring, &mut in_flight)?;
                // Some may have been done already.
                self.queue.interrupt_if_wanted()?;
            }
            let can_begin = goes_on && has_more && in_flight.vacant().is_some();
            ring.wait(can_begin.then(|| self.limiter.wait(Instant::now())))?;
        }
    }

    /// Takes requests and hands them to the kernel, as long as there are some and they may begin. Says
    /// whether there may be more.
    fn begin(&mut self, ring: &mut Ring, in_flight: &mut InFlight) -> Result<bool, DeviceError> {
        while self.may_begin() {
            let Some(slot) = in_flight.vacant() else {
                return Ok(true);
            };
            let Some(chain) = self.queue.take()? else {
                return Ok(false);
            };
            self.limiter.spend(Instant::now(), bytes_of(&chain));
            match self.server.understand(&chain)? {
                Understood::Answered(written_bytes) => self.queue.put_back(chain, written_bytes)?,
                Understood::Asked(request, status_place) => {
                    let taken = Taken {
                        chain,
                        request,
                        status_place,
                    };
                    if self.server.hand_over(ring, slot, &taken.request)? {
                        in_flight.insert(slot, taken);
                    } else {
                        self.do_now(taken)?;
                    }
                }
            }
        }
        Ok(true)
    }

    /// Returns a request that the kernel has done. What it has not done whole is done here once more,
    /// which shows why.
    fn finish(&mut self, taken: Taken, result: &io::Result<usize>) -> Result<(), DeviceError> {
        match self.server.accept(&taken.request, result)? {
            Some(data_bytes) => self.conclude(taken, Ok(data_bytes)),
            None => self.do_now(taken),
        }
    }

    fn do_now(&mut self, taken: Taken) -> Result<(), DeviceError> {
        let done = self.server.attempt(&taken.request);
        self.conclude(taken, done)
    }

    fn conclude(&mut self, taken: Taken, done: io::Result<u32>) -> Result<(), DeviceError> {
        let Taken {
            chain,
            request,
            status_place,
        } = taken;
        let written_bytes = self.server.conclude(&request, status_place, done)?;
        self.queue.put_back(chain, written_bytes)
    }

    fn may_begin(&self) -> bool {
        self.orders.go_on() && self.limiter.lets_go()
    }
}

/// How many bytes a request moves, its header included: what a limit counts.
fn bytes_of(chain: &Chain) -> u64 {
    chain.readable_bytes() + chain.writable_bytes()
}

/// A request that was taken out of the queue.
#[derive(Debug)]
struct Taken {
    chain: Chain,
    request: Request,
    status_place: GuestAddress,
}

/// The requests that the kernel has, by their slots.
#[derive(Debug)]
struct InFlight {
    taken: Vec<Option<Taken>>,
    vacant: Vec<Slot>,
}

impl InFlight {
    fn new() -> Self {
        let slots = DEPTH as usize;
        Self {
            taken: (0..slots).map(|_| None).collect(),
            vacant: (0..slots).map(Slot).collect(),
        }
    }

    fn is_empty(&self) -> bool {
        self.vacant.len() == self.taken.len()
    }

    /// The slot that the next request gets.
    fn vacant(&self) -> Option<Slot> {
        self.vacant.last().copied()
    }

    fn insert(&mut self, slot: Slot, taken: Taken) {
        let vacant = self.vacant.pop();
        debug_assert_eq!(vacant, Some(slot));
        self.taken[slot.0] = Some(taken);
    }

    fn remove(&mut self, slot: Slot) -> Taken {
        self.vacant.push(slot);
        let taken = self.taken[slot.0].take();
        taken.expect("the kernel had it")
    }
}
