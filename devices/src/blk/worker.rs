//! The work of a disk's thread: waits for kicks, has what is available done, and ends when told.

use std::time::Instant;

use super::device::REQUESTS;
use super::engine::{Begun, Engine};
use super::polling::Polling;
use super::pool::with_pool;
use super::ring::Ring;
use super::run::{Run, Taken};
use super::server::{Server, Understood};
use crate::DeviceError;
use crate::rate::Limiter;
use crate::virtio::{Chain, Orders, Queues, VirtQueue};

/// Bytes that are handed over before what is done already goes back. Our choice: so much is copied from
/// the host's cache in some tens of microseconds, in which the guest works on what it has.
const TURN_BYTES: u64 = 512 << 10;

/// Serves the queue until it is to end, or the driver breaks it.
pub(super) fn serve(
    server: &Server,
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
        orders,
    };
    match Ring::new(server, kick) {
        Ok(ring) => work.serve(ring),
        Err(error) => {
            log::info!("a disk is served by threads, without io_uring: {error}");
            with_pool(server, kick, |pool| work.serve(pool))
        }
    }
}

struct Work<'a> {
    server: &'a Server,
    limiter: Limiter,
    queue: &'a mut VirtQueue,
    orders: &'a Orders,
}

impl Work<'_> {
    fn serve(&mut self, mut engine: impl Engine) -> Result<(), DeviceError> {
        let mut polling = Polling::default();
        loop {
            while let Some(served) = engine.take_done()? {
                self.queue.put_back_together(served)?;
            }
            self.queue.interrupt_if_wanted()?;
            let goes_on = self.orders.go_on();
            if !goes_on && engine.is_idle() {
                return Ok(());
            }
            let has_more = goes_on && self.begin(&mut engine)?;
            // Some were done at once, and what comes from the host's cache is done when it is handed over.
            self.queue.interrupt_if_wanted()?;
            if engine.submit()? {
                continue;
            }
            let is_drained = goes_on && !has_more;
            let idle_since = (is_drained && engine.is_idle()).then(Instant::now);
            if idle_since.is_some() && polling.look(|| self.queue.has_chain())? {
                continue;
            }
            if is_drained && self.queue.ask_for_kicks()? {
                continue;
            }
            let can_begin = has_more && engine.has_room();
            engine.wait(can_begin.then(|| self.limiter.wait(Instant::now())))?;
            if let Some(since) = idle_since {
                polling.waited(since.elapsed());
            }
        }
    }

    /// Takes requests and hands them over, as long as there are some and they may begin. Says whether
    /// there may be more.
    fn begin(&mut self, engine: &mut impl Engine) -> Result<bool, DeviceError> {
        let mut run: Option<Run> = None;
        let (mut has_more, mut begun_bytes) = (true, 0);
        while begun_bytes < TURN_BYTES && engine.has_room() && self.may_begin() {
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
                        self.hand_over(run, engine)?;
                    }
                }
            }
        }
        if let Some(run) = run {
            self.hand_over(run, engine)?;
        }
        Ok(has_more)
    }

    /// Hands a run over, and returns it if it was done at once.
    fn hand_over(&mut self, run: Run, engine: &mut impl Engine) -> Result<(), DeviceError> {
        match engine.hand_over(run)? {
            Begun::UnderWay => Ok(()),
            Begun::Done(served) => self.queue.put_back_together(served),
        }
    }

    fn may_begin(&self) -> bool {
        self.orders.go_on() && self.limiter.lets_go()
    }
}

/// How many bytes a request moves, its header included: what a limit counts.
fn bytes_of(chain: &Chain) -> u64 {
    chain.readable_bytes() + chain.writable_bytes()
}
