//! A thread of its own on which a device serves its queues while it runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use super::{DeviceSignals, QueueIndex, Queues};
use crate::DeviceError;

/// A thread that serves queues, and how to end it; or the queues that none serves, because the device has
/// failed, which its driver knows.
#[derive(Debug)]
pub(crate) enum QueueThread {
    Runs {
        is_to_end: Arc<AtomicBool>,
        signals: DeviceSignals,
        wake: QueueIndex,
        thread: JoinHandle<Queues>,
    },
    Failed(Queues),
}

/// What a working thread looks at besides its queues.
#[derive(Debug)]
pub(crate) struct Orders {
    is_to_end: Arc<AtomicBool>,
    /// How the device reaches its driver, and hears of kicks.
    pub(crate) signals: DeviceSignals,
}

impl Orders {
    /// Whether to go on. It is asked after every kick, and between requests.
    pub(crate) fn go_on(&self) -> bool {
        !self.is_to_end.load(Ordering::Acquire)
    }
}

impl QueueThread {
    /// Starts a thread of that name, which has `queues` from now on. `work` ends when its orders say
    /// so, which it is told by a kick of the queue `wake`, or when the driver breaks a queue.
    pub(crate) fn start(
        name: &'static str,
        queues: Queues,
        signals: DeviceSignals,
        wake: QueueIndex,
        work: impl FnOnce(&mut Queues, &Orders) -> Result<(), DeviceError> + Send + 'static,
    ) -> Self {
        let is_to_end = Arc::new(AtomicBool::new(false));
        // A thread that does not start drops what it was given, so the queues follow.
        let (hand_over, queues_follow) = mpsc::channel::<Queues>();
        let orders = Orders {
            is_to_end: Arc::clone(&is_to_end),
            signals: signals.clone(),
        };
        let run = move || {
            let mut queues = queues_follow.recv().expect("they are sent below");
            if let Err(error) = work(&mut queues, &orders) {
                orders.signals.fail(error);
            }
            queues
        };
        match thread::Builder::new().name(name.to_owned()).spawn(run) {
            Ok(thread) => {
                hand_over.send(queues).expect("the thread waits for them");
                Self::Runs {
                    is_to_end,
                    signals,
                    wake,
                    thread,
                }
            }
            Err(source) => Self::fail(queues, &signals, DeviceError::StartThread { name, source }),
        }
    }

    /// No thread can serve them: the driver is told that the device has failed.
    pub(crate) fn fail(queues: Queues, signals: &DeviceSignals, error: DeviceError) -> Self {
        signals.fail(error);
        Self::Failed(queues)
    }

    /// Waits until what is being served is done, and gives the queues back with all else still in them.
    pub(crate) fn stop(self) -> Queues {
        match self {
            Self::Runs {
                is_to_end,
                signals,
                wake,
                thread,
            } => {
                is_to_end.store(true, Ordering::Release);
                signals.kick(wake);
                let ended = thread.join();
                ended.expect("the thread of a device does not panic")
            }
            Self::Failed(queues) => queues,
        }
    }
}
