//! The thread of a disk that runs: waits for kicks, serves what is available, and ends when told.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::device::REQUESTS;
use super::server::Server;
use crate::DeviceError;
use crate::event::{lower, wait};
use crate::virtio::{DeviceSignals, Progress, Queues};

/// Requests that are served for one interrupt, and how long it may be put off for more of them. Our
/// choice: a fast disk interrupts its guest seldom, and on a slow one nobody waits for others' requests.
const BATCH: u16 = 16;
const BATCH_TIME: Duration = Duration::from_micros(500);

/// A running thread, and how to end it.
#[derive(Debug)]
pub(super) struct Worker {
    is_to_end: Arc<AtomicBool>,
    signals: DeviceSignals,
    thread: JoinHandle<Queues>,
}

/// What could not be started, and what it was to work on.
#[derive(Debug)]
pub(super) struct NotStarted(pub(super) DeviceError, pub(super) Queues);

impl Worker {
    /// Starts the thread, which has `queues` from now on.
    pub(super) fn start(
        server: Server,
        queues: Queues,
        signals: DeviceSignals,
    ) -> Result<Self, Box<NotStarted>> {
        let is_to_end = Arc::new(AtomicBool::new(false));
        // A thread that does not start drops what it was given, so the queues follow.
        let (hand_over, queues_follow) = mpsc::channel::<Queues>();
        let (told, line) = (Arc::clone(&is_to_end), signals.clone());
        let work = move || {
            let mut queues = queues_follow.recv().expect("they are sent below");
            if let Err(error) = serve(&server, &mut queues, &line, &told) {
                line.fail(error);
            }
            queues
        };
        match thread::Builder::new().name("disk".to_owned()).spawn(work) {
            Ok(thread) => {
                hand_over.send(queues).expect("the thread waits for them");
                Ok(Self {
                    is_to_end,
                    signals,
                    thread,
                })
            }
            Err(source) => {
                let error = DeviceError::StartDisk(source);
                Err(Box::new(NotStarted(error, queues)))
            }
        }
    }

    /// Waits until the request that is being served is done, and gives the queues back with all others
    /// still in them.
    pub(super) fn stop(self) -> Queues {
        self.is_to_end.store(true, Ordering::Release);
        self.signals.kick(REQUESTS);
        let ended = self.thread.join();
        ended.expect("the thread of a disk does not panic")
    }
}

/// Serves the queue until it is to end, or the driver breaks it.
fn serve(
    server: &Server,
    queues: &mut Queues,
    signals: &DeviceSignals,
    is_to_end: &AtomicBool,
) -> Result<(), DeviceError> {
    let (Some(queue), Some(kick)) = (queues.get_mut(REQUESTS), signals.kick_event(REQUESTS)) else {
        return Ok(());
    };
    let goes_on = || !is_to_end.load(Ordering::Acquire);
    while goes_on() {
        wait(kick)?;
        lower(kick);
        let mut progress = Progress::More;
        while progress == Progress::More && goes_on() {
            let (mut left, began) = (0..BATCH, Instant::now());
            let takes_one = || goes_on() && began.elapsed() < BATCH_TIME && left.next().is_some();
            progress = queue.serve_while(takes_one, |chain| server.serve(chain))?;
        }
    }
    Ok(())
}
