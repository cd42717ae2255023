//! What the guest wants of the event loop: its queues served, its machine switched off.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use balloon::{BalloonHandle, PAGE_BYTES};
use devices::virtio::QueueIndex;
use devices::{GuestRequest, GuestRequestLine};
use event_manager::{EventOps, Events, MutEventSubscriber};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::eventfd::EventFd;
use vmm_sys_util::timerfd::TimerFd;

use super::Ending;
use super::notices::{Notice, Notices};
use crate::machine::{Machine, SharedTransport};

/// Why the event loop is to stop; set once.
pub(super) type EndingCell = Rc<RefCell<Option<Ending>>>;

/// Serves the guest, from the moment it is here.
#[derive(Debug)]
pub(super) struct GuestEvents {
    requests: GuestRequestLine,
    notices: Notices,
    ending: EndingCell,
    queues: Vec<WatchedQueue>,
    /// Wakes the console when the guest's serial port has room for input.
    room: Option<EventFd>,
    machine: Option<Arc<Machine>>,
    balloon_timer: TimerFd,
}

#[derive(Debug)]
struct WatchedQueue {
    kick: RawFd,
    transport: SharedTransport,
    index: QueueIndex,
}

impl GuestEvents {
    pub(super) fn new(
        requests: GuestRequestLine,
        notices: Notices,
        ending: EndingCell,
        room: Option<EventFd>,
    ) -> io::Result<Self> {
        Ok(Self {
            requests,
            notices,
            ending,
            queues: Vec::new(),
            room,
            machine: None,
            balloon_timer: TimerFd::new()?,
        })
    }

    fn end(&self, ending: Ending) {
        self.ending.borrow_mut().get_or_insert(ending);
    }

    fn take_notices(&mut self, ops: &mut EventOps) {
        for notice in self.notices.take() {
            match notice {
                Notice::Arrived(machine) => {
                    self.watch_queues(&machine, ops);
                    watch(ops, machine.devices().serial().room_event());
                    self.machine = Some(machine);
                    self.pace_balloon();
                    self.wake_console();
                }
                Notice::Ballooning => self.pace_balloon(),
                Notice::End(ending) => self.end(ending),
            }
        }
    }

    fn watch_queues(&mut self, machine: &Machine, ops: &mut EventOps) {
        for transport in machine.devices().virtio() {
            let locked = transport.lock().unwrap_or_else(PoisonError::into_inner);
            for (index, kick) in (0_u16..).map(QueueIndex).zip(locked.watched_kicks()) {
                let queue = WatchedQueue {
                    kick: kick.as_raw_fd(),
                    transport: Arc::clone(transport),
                    index,
                };
                watch(ops, kick);
                self.queues.push(queue);
            }
        }
    }

    /// Serves the queue whose event this is, or tells the console that the serial port has room.
    fn serve_guest(&self, event: RawFd) {
        if let Some(queue) = self.queues.iter().find(|queue| queue.kick == event) {
            let mut transport = queue
                .transport
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            transport.queue_event(queue.index);
        } else if let Some(machine) = &self.machine {
            // Whoever raised it has left room, which is asked for, not counted.
            let _ = machine.devices().serial().room_event().read();
            self.wake_console();
        }
    }

    /// Sets the time of the next poll of the balloon, if it is to be polled.
    fn pace_balloon(&mut self) {
        let balloon = self.balloon().map(BalloonHandle::status);
        let set = match balloon.and_then(|balloon| balloon.self_ballooning) {
            Some(settings) => {
                let next = Duration::from_millis(settings.poll_ms().into());
                self.balloon_timer.reset(next, None)
            }
            None => self.balloon_timer.clear(),
        };
        if let Err(error) = set {
            log::warn!("self-ballooning stops: {error}");
        }
    }

    /// Lets the balloon act on what the guest has said of its memory.
    fn poll_balloon(&mut self) {
        // That it expired is known.
        let _ = self.balloon_timer.wait();
        if let Some(change) = self.balloon().and_then(BalloonHandle::poll) {
            let mib = (u64::from(change.target_pages) * PAGE_BYTES) >> 20;
            log::info!("balloon: target {mib} MiB, {}", change.reason);
        }
        self.pace_balloon();
    }

    fn balloon(&self) -> Option<&BalloonHandle> {
        self.machine.as_ref()?.devices().balloon()
    }

    fn wake_console(&self) {
        if let Some(room) = &self.room {
            // A full counter has woken it already.
            let _ = room.write(1);
        }
    }

    fn take_request(&self) {
        match self.requests.take() {
            Some(GuestRequest::PowerOff) => self.end(Ending::PoweredOff),
            Some(GuestRequest::Reset) => self.end(Ending::Reset),
            None => {}
        }
    }
}

impl MutEventSubscriber for GuestEvents {
    fn process(&mut self, events: Events, ops: &mut EventOps) {
        let fd = events.fd();
        if fd == self.notices.doorbell().as_raw_fd() {
            self.take_notices(ops);
        } else if fd == self.balloon_timer.as_raw_fd() {
            self.poll_balloon();
        } else if fd == self.requests.event().as_raw_fd() {
            self.take_request();
        } else {
            self.serve_guest(fd);
        }
    }

    fn init(&mut self, ops: &mut EventOps) {
        watch(ops, self.notices.doorbell());
        watch(ops, self.requests.event());
        watch(ops, &self.balloon_timer);
    }
}

/// Fails only when the kernel is out of memory for watches, which must not end a guest.
fn watch(ops: &mut EventOps, event: &impl AsRawFd) {
    if let Err(error) = ops.add(Events::new(event, EventSet::IN)) {
        log::warn!("an event is not watched: {error}");
    }
}
