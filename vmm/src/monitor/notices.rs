//! What other threads tell the event loop: a queue and a doorbell.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};

use vmm_sys_util::eventfd::{EFD_CLOEXEC, EFD_NONBLOCK, EventFd};

use super::Ending;
use crate::machine::Machine;

/// One thing the event loop must know.
#[derive(Debug)]
pub(super) enum Notice {
    /// A guest is here: its queues want to be served.
    Arrived(Arc<Machine>),
    /// Self-ballooning was switched on or off.
    Ballooning,
    /// The process is to end.
    End(Ending),
}

/// The sending side; clones send to the same loop.
#[derive(Debug, Clone)]
pub(super) struct Notifier {
    queue: Sender<Notice>,
    doorbell: Arc<EventFd>,
}

/// The event loop's side.
#[derive(Debug)]
pub(super) struct Notices {
    queue: Receiver<Notice>,
    doorbell: Arc<EventFd>,
}

pub(super) fn channel() -> io::Result<(Notifier, Notices)> {
    let doorbell = Arc::new(EventFd::new(EFD_NONBLOCK | EFD_CLOEXEC)?);
    let (sender, queue) = mpsc::channel();
    let notifier = Notifier {
        queue: sender,
        doorbell: doorbell.clone(),
    };
    Ok((notifier, Notices { queue, doorbell }))
}

impl Notifier {
    pub(super) fn send(&self, notice: Notice) {
        // A loop that is gone needs no notice any more; a full counter has rung already.
        if self.queue.send(notice).is_ok() {
            let _ = self.doorbell.write(1);
        }
    }
}

impl Notices {
    pub(super) fn doorbell(&self) -> &EventFd {
        &self.doorbell
    }

    /// All that has come since the last time.
    pub(super) fn take(&self) -> Vec<Notice> {
        let _ = self.doorbell.read();
        self.queue.try_iter().collect()
    }
}
