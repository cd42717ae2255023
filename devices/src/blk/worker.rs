//! The work of a disk's thread: waits for kicks, has what is available done, and ends when told.

use std::io;
use std::time::{Duration, Instant};

use vmm_sys_util::eventfd::EventFd;

use super::device::REQUESTS;
use super::polling::Polling;
use super::ring::{DEPTH, Event, Ring, Slot};
use super::run::{Run, Taken};
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

/// Bytes that are handed to the kernel before what is done already goes back. Our choice: so much is
/// copied from the host's cache in some tens of microseconds, in which the guest works on what it has.
const TURN_BYTES: u64 = 512 << 10;

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
                self.limiter.charge(bytes_of(&chain));
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
        let mut polling = Polling::default();
        loop {
            while let Some(event) = ring.take_event() {
                match event {
                    Event::Done(slot, result) => self.finish(in_flight.remove(slot), &result)?,
                    Event::Kicked => lower(self.kick),
                }
            }
            self.queue.interrupt_if_wanted()?;
            let goes_on = self.orders.go_on();
            if !goes_on && in_flight.is_empty() {
                return Ok(());
            }
            let has_more = goes_on && self.begin(&mut ring, &mut in_flight)?;
            // Some were done at once, and what comes from the host's cache is done when it is handed over.
            self.queue.interrupt_if_wanted()?;
            if ring.submit()? {
                continue;
            }
            let is_drained = goes_on && !has_more;
            let idle_since = (is_drained && in_flight.is_empty()).then(Instant::now);
            if idle_since.is_some() && polling.look(|| self.queue.has_chain())? {
                continue;
            }
            if is_drained && self.queue.ask_for_kicks()? {
                continue;
            }
            let can_begin = has_more && in_flight.has_room();
            ring.wait(can_begin.then(|| self.limiter.wait(Instant::now())))?;
            if let Some(since) = idle_since {
                polling.waited(since.elapsed());
            }
        }
    }

    /// Takes requests and hands them to the kernel, as long as there are some and they may begin. Says
    /// whether there may be more.
    fn begin(&mut self, ring: &mut Ring, in_flight: &mut InFlight) -> Result<bool, DeviceError> {
        let mut run: Option<Run> = None;
        let (mut has_more, mut begun_bytes) = (true, 0);
        while begun_bytes < TURN_BYTES && in_flight.has_room() && self.may_begin() {
            let Some(chain) = self.queue.take_unasked()? else {
                has_more = false;
                break;
            };
            let bytes = bytes_of(&chain);
            self.limiter.charge(bytes);
            begun_bytes += bytes;
            match self.server.understand(&chain)? {
                Understood::Answered(written_bytes) => self.queue.put_back(chain, written_bytes)?,
                Understood::Asked(request, status_place) => {
                    let taken = Taken {
                        chain,
                        request,
                        status_place,
                    };
                    let apart = match &mut run {
                        Some(run) => run.add(taken),
                        None => Some(taken),
                    };
                    if let Some(apart) = apart
                        && let Some(run) = run.replace(Run::of(apart))
                    {
                        self.hand_over(run, ring, in_flight)?;
                    }
                }
            }
        }
        if let Some(run) = run {
            self.hand_over(run, ring, in_flight)?;
        }
        Ok(has_more)
    }

    /// Queues a run for the kernel, or does it now if it is not one for it. There has to be room.
    fn hand_over(
        &mut self,
        run: Run,
        ring: &mut Ring,
        in_flight: &mut InFlight,
    ) -> Result<(), DeviceError> {
        let slot = in_flight.vacant().expect("there is room for one more");
        if self.server.hand_over(ring, slot, &run)? {
            in_flight.insert(slot, run);
            return Ok(());
        }
        let mut taken = run.into_taken().into_iter();
        taken.try_for_each(|taken| self.do_now(taken))
    }

    /// Returns requests that the kernel has done. What it has not done whole is done here once more,
    /// which shows why.
    fn finish(&mut self, run: Run, result: &io::Result<usize>) -> Result<(), DeviceError> {
        let is_done = self.server.accept(&run, result)?;
        let taken = run.into_taken();
        if !is_done {
            return taken.into_iter().try_for_each(|taken| self.do_now(taken));
        }
        let mut done = Vec::with_capacity(taken.len());
        for taken in taken {
            let data_bytes = taken.request.data_bytes();
            done.push(self.answer(taken, Ok(data_bytes))?);
        }
        self.queue.put_back_together(done)
    }

    fn do_now(&mut self, taken: Taken) -> Result<(), DeviceError> {
        let done = self.server.attempt(&taken.request);
        self.conclude(taken, done)
    }

    fn conclude(&mut self, taken: Taken, done: io::Result<u32>) -> Result<(), DeviceError> {
        let (chain, written_bytes) = self.answer(taken, done)?;
        self.queue.put_back(chain, written_bytes)
    }

    /// Writes the status of a request; gives its chain, and how many bytes were written into it.
    fn answer(&self, taken: Taken, done: io::Result<u32>) -> Result<(Chain, u32), DeviceError> {
        let Taken {
            chain,
            request,
            status_place,
        } = taken;
        let written_bytes = self.server.conclude(&request, status_place, done)?;
        Ok((chain, written_bytes))
    }

    fn may_begin(&self) -> bool {
        self.orders.go_on() && self.limiter.lets_go()
    }
}

/// How many bytes a request moves, its header included: what a limit counts.
fn bytes_of(chain: &Chain) -> u64 {
    chain.readable_bytes() + chain.writable_bytes()
}

/// What the kernel has, by its slots.
#[derive(Debug)]
struct InFlight {
    runs: Vec<Option<Run>>,
    vacant: Vec<Slot>,
}

impl InFlight {
    fn new() -> Self {
        let slots = DEPTH as usize;
        Self {
            runs: (0..slots).map(|_| None).collect(),
            vacant: (0..slots).map(Slot).collect(),
        }
    }

    fn is_empty(&self) -> bool {
        self.vacant.len() == self.runs.len()
    }

    /// Whether there are slots for what was taken and for what is taken next.
    fn has_room(&self) -> bool {
        self.vacant.len() >= 2
    }

    /// The slot that the next run gets.
    fn vacant(&self) -> Option<Slot> {
        self.vacant.last().copied()
    }

    fn insert(&mut self, slot: Slot, run: Run) {
        let vacant = self.vacant.pop();
        debug_assert_eq!(vacant, Some(slot));
        self.runs[slot.0] = Some(run);
    }

    fn remove(&mut self, slot: Slot) -> Run {
        self.vacant.push(slot);
        let run = self.runs[slot.0].take();
        run.expect("the kernel had it")
    }
}
