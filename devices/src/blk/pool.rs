//! Many requests at a time where the kernel has no io_uring(7): a few threads beside that of the disk do
//! what it hands over, each waiting for the storage, and give back what is done in any order.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Scope};
use std::time::Duration;

use vmm_sys_util::eventfd::EventFd;

use super::engine::{Begun, DEPTH, Engine, Served};
use super::run::Run;
use super::server::Server;
use crate::DeviceError;
use crate::event::{descriptor, lower, new_event, raise, wait_for};

/// Threads of one disk, and so what its storage has to do at a time. Our choice: so many that a slow flush
/// or two hold up nobody, and so few that a guest with eight disks has some tens of them.
pub(super) const THREADS: usize = 4;

/// The longest run that the thread of the disk reads by itself if the host's cache has it. Our choice: what
/// Linux reads ahead. It is copied about as soon as another thread is awake.
pub(super) const CACHED_BYTES: u64 = 128 << 10;

/// What the threads are called.
const NAME: &str = "disk-io";

/// What became of a run.
type Outcome = Result<Served, DeviceError>;

/// Has `work` use threads that do what it hands over. When this returns, they have done all and are gone.
///
/// # Errors
/// No thread can be started, or `work` fails.
pub(super) fn with_pool(
    server: &Server,
    kick: &EventFd,
    work: impl FnOnce(Pool<'_>) -> Result<(), DeviceError>,
) -> Result<(), DeviceError> {
    let shared = Shared::new()?;
    thread::scope(|scope| {
        // It is dropped before the scope waits for the threads, which that ends.
        let pool = Pool {
            server,
            shared: &shared,
            kick,
            taken: VecDeque::with_capacity(DEPTH),
            under_way: 0,
        };
        start_threads(scope, &shared, server)?;
        work(pool)
    })
}

/// Starts as many threads as there may be; fewer than one are none.
fn start_threads<'scope>(
    scope: &'scope Scope<'scope, '_>,
    shared: &'scope Shared,
    server: &'scope Server,
) -> Result<(), DeviceError> {
    for started in 0..THREADS {
        let thread = thread::Builder::new().name(NAME.to_owned());
        if let Err(source) = thread.spawn_scoped(scope, || shared.serve(server)) {
            if started == 0 {
                let name = NAME;
                return Err(DeviceError::StartThread { name, source });
            }
            log::warn!("a disk has {started} threads instead of {THREADS}: {source}");
            break;
        }
    }
    Ok(())
}

/// The threads as that of the disk sees them.
#[derive(Debug)]
pub(super) struct Pool<'a> {
    server: &'a Server,
    shared: &'a Shared,
    /// Raised by the driver.
    kick: &'a EventFd,
    /// What was completed, and is not given back yet.
    taken: VecDeque<Outcome>,
    under_way: usize,
}

impl Engine for Pool<'_> {
    fn under_way(&self) -> usize {
        self.under_way
    }

    fn hand_over(&mut self, run: Run) -> Result<Begun, DeviceError> {
        if run.len_bytes() <= CACHED_BYTES && self.server.read_cached(&run) {
            return self.server.conclude_whole(run).map(Begun::Done);
        }
        self.shared.queues().submitted.push_back(run);
        self.shared.submission.notify_one();
        self.under_way += 1;
        Ok(Begun::UnderWay)
    }

    /// The threads have begun by themselves.
    fn submit(&mut self) -> Result<bool, DeviceError> {
        Ok(!self.shared.queues().completed.is_empty())
    }

    fn wait(&mut self, patience: Option<Duration>) -> Result<(), DeviceError> {
        let events = [self.kick, &self.shared.completion];
        let are_raised = wait_for(events.map(|event| Some(descriptor(event))), patience)?;
        for (event, is_raised) in events.into_iter().zip(are_raised) {
            if is_raised {
                lower(event);
            }
        }
        Ok(())
    }

    fn take_done(&mut self) -> Result<Option<Served>, DeviceError> {
        if self.taken.is_empty() {
            mem::swap(&mut self.taken, &mut self.shared.queues().completed);
        }
        let Some(outcome) = self.taken.pop_front() else {
            return Ok(None);
        };
        self.under_way -= 1;
        outcome.map(Some)
    }
}

impl Drop for Pool<'_> {
    /// The threads end as soon as they have done all.
    fn drop(&mut self) {
        self.shared.queues().is_closed = true;
        self.shared.submission.notify_all();
    }
}

/// What the thread of the disk and the others share.
#[derive(Debug)]
struct Shared {
    queues: Mutex<RunQueues>,
    /// A run was submitted, or none will be any more.
    submission: Condvar,
    /// Raised when there is something completed where there was nothing.
    completion: EventFd,
}

#[derive(Debug)]
struct RunQueues {
    submitted: VecDeque<Run>,
    completed: VecDeque<Outcome>,
    is_closed: bool,
}

impl Shared {
    fn new() -> Result<Self, DeviceError> {
        Ok(Self {
            queues: Mutex::new(RunQueues {
                submitted: VecDeque::with_capacity(DEPTH),
                completed: VecDeque::with_capacity(DEPTH),
                is_closed: false,
            }),
            submission: Condvar::new(),
            completion: new_event()?,
        })
    }

    fn queues(&self) -> MutexGuard<'_, RunQueues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The work of a thread of the pool, until all is done and nothing can come any more.
    fn serve(&self, server: &Server) {
        while let Some(run) = self.next_run() {
            self.complete(server.perform(run));
        }
    }

    fn next_run(&self) -> Option<Run> {
        let is_idle = |queues: &mut RunQueues| queues.submitted.is_empty() && !queues.is_closed;
        let queues = self.submission.wait_while(self.queues(), is_idle);
        let mut queues = queues.unwrap_or_else(PoisonError::into_inner);
        queues.submitted.pop_front()
    }

    fn complete(&self, outcome: Outcome) {
        let mut queues = self.queues();
        let was_empty = queues.completed.is_empty();
        queues.completed.push_back(outcome);
        drop(queues);
        if was_empty {
            raise(&self.completion);
        }
    }
}
