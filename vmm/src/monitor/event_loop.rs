//! The event loop: whatever a monitor waits for, until something ends it.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use devices::GuestRequestLine;
use event_manager::{EventManager, MutEventSubscriber, SubscriberOps};

use super::console::Console;
use super::guest_events::{EndingCell, GuestEvents};
use super::handler::Handler;
use super::notices::{self, Notice, Notifier};
use super::place::Place;
use super::{Ending, MonitorError};
use crate::config::{SerialMode, VmName};
use crate::console::{SignalSubscriber, Signals, StdinSubscriber};
use crate::control::{ControlServer, ControlSocket};
use crate::host::KvmKind;

type Subscriber = Rc<RefCell<dyn MutEventSubscriber>>;

/// Everything the loop is made of before it runs; other parts of the monitor take handles from it.
pub(super) struct EventLoop {
    /// The guest's place.
    pub(super) place: Place,
    /// The way for other threads to reach the loop.
    pub(super) notifier: Notifier,
    /// Where the guest asks to be switched off.
    pub(super) requests: GuestRequestLine,
    subscribers: Vec<Subscriber>,
    ending: EndingCell,
}

/// What a loop needs of the process: signals are blocked before any thread starts.
#[derive(Debug)]
pub(super) struct Outside {
    pub(super) name: VmName,
    pub(super) socket: ControlSocket,
    pub(super) signals: Signals,
    pub(super) started: Instant,
    pub(super) kvm: KvmKind,
}

impl EventLoop {
    pub(super) fn new(outside: Outside, serial: &SerialMode) -> Result<Self, MonitorError> {
        let Outside {
            name,
            socket,
            signals,
            started,
            kvm,
        } = outside;
        let system = |action| move |source| MonitorError::System { action, source };
        let (notifier, notices) = notices::channel().map_err(system("make an event"))?;
        let place = Place::default();
        let requests = GuestRequestLine::new()?;
        let ending = EndingCell::default();

        let handler = Handler {
            name,
            started,
            kvm,
            place: place.clone(),
            notifier: notifier.clone(),
        };
        let control =
            ControlServer::new(socket, handler).map_err(system("serve the control socket"))?;
        let on_signal = {
            let notifier = notifier.clone();
            move |signal| {
                log::info!("{signal}: stopping");
                notifier.send(Notice::End(Ending::Stopped));
            }
        };
        let mut subscribers: Vec<Subscriber> = vec![
            shared(control),
            shared(SignalSubscriber::new(signals, on_signal)),
        ];
        let mut room = None;
        if *serial == SerialMode::Stdio {
            let console = Console::new(place.clone(), notifier.clone());
            let stdin = StdinSubscriber::new(console)?;
            room = Some(stdin.room_event()?);
            subscribers.push(shared(stdin));
        }
        let guest = GuestEvents::new(requests.clone(), notices, ending.clone(), room)
            .map_err(system("make a timer"))?;
        subscribers.push(shared(guest));
        Ok(Self {
            place,
            notifier,
            requests,
            subscribers,
            ending,
        })
    }

    /// Serves until something ends the monitor.
    ///
    /// Before it returns, the terminal is as it was and the control socket is gone. The machine is
    /// not taken apart: a vCPU may wait for a page that will never come, and the process ends
    /// anyway.
    pub(super) fn serve(self) -> Result<(), MonitorError> {
        let Self {
            place,
            subscribers,
            ending,
            ..
        } = self;
        let mut manager = EventManager::new().map_err(MonitorError::EventLoop)?;
        for subscriber in subscribers {
            manager.add_subscriber(subscriber);
        }
        let outcome = loop {
            if let Err(error) = manager.run() {
                break Ending::Failed(MonitorError::EventLoop(error));
            }
            if let Some(ending) = ending.take() {
                break ending;
            }
        };
        if let Some(machine) = place.machine() {
            machine.devices().withdraw();
            std::mem::forget(machine);
        }
        drop(manager);
        outcome.into_result()
    }
}

fn shared(subscriber: impl MutEventSubscriber + 'static) -> Subscriber {
    Rc::new(RefCell::new(subscriber))
}
