//! `skiff receive`: a guest from another monitor.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use migration::{
    CancelToken, DestinationOptions, DestinationPhase, DestinationVm, Notice as Event,
};

use super::boot::{fatal_sink, serial_output};
use super::event_loop::{EventLoop, Outside};
use super::notices::{Notice, Notifier};
use super::place::{Activity, Place};
use super::rate::Rate;
use super::{Ending, MonitorError};
use crate::config::{Attachments, Exposure, ReceiveConfig, TimeSpan};
use crate::console::Signals;
use crate::control::{ControlSocket, Direction, Failure, MigrationInfo, Progress, SocketPath};
use crate::host::HostKvm;
use crate::machine::{Machine, Wiring};
use crate::memory::PAGE_BYTES;
use crate::transfer::{Arrival, Files};

/// Waits for a guest, and serves it until it ends or has moved on.
///
/// # Errors
/// The host is unfit, the address cannot be had, the guest crashes, or it is lost on its way.
pub fn receive(config: ReceiveConfig) -> Result<(), MonitorError> {
    let started = Instant::now();
    let signals = Signals::block()?;
    // Whatever would refuse every guest is told before anyone is asked to send one.
    let kvm = HostKvm::open()?.kind;
    migration::check_userfaultfd()?;
    let serial = serial_output(&config.serial)?;
    let socket = ControlSocket::bind(SocketPath::choose(&config.name, config.api.as_deref())?)?;
    let defaults = DestinationOptions::default();
    let options = DestinationOptions {
        trust: config.trust.load()?,
        reconnect_for: config
            .reconnect_for
            .map_or(defaults.reconnect_for, TimeSpan::duration),
        ..defaults
    };
    let (listener, address, files) = listen(&config)?;

    let outside = Outside {
        name: config.name.clone(),
        socket,
        signals,
        started,
        kvm,
    };
    let event_loop = EventLoop::new(outside, &config.serial)?;
    let host = Hospitality {
        place: event_loop.place.clone(),
        notifier: event_loop.notifier.clone(),
        options,
        files,
        attachments: config.attachments.clone(),
        wiring: Wiring {
            serial,
            requests: event_loop.requests.clone(),
            fatal: fatal_sink(&event_loop.notifier),
        },
    };
    let stop = CancelToken::new()?;
    thread::Builder::new()
        .name("receive".to_owned())
        .spawn(move || host.take_in(&listener, &stop))
        .map_err(|source| MonitorError::System {
            action: "start a thread",
            source,
        })?;
    log::info!(
        "listening on {address} for a VM to become {} on {kvm}",
        config.name
    );
    event_loop.serve()
}

/// Listens where the configuration says, unless that lets in whoever comes.
fn listen(config: &ReceiveConfig) -> Result<(TcpListener, SocketAddr, Files), MonitorError> {
    let failed = |source| MonitorError::Listen {
        address: config.listen.clone(),
        source,
    };
    let addresses: Vec<_> = config.listen.to_socket_addrs().map_err(failed)?.collect();
    if let Some(exposed) = config.trust.exposed(&addresses) {
        match config.exposure {
            Exposure::Loopback => return Err(MonitorError::Exposed { address: exposed }),
            Exposure::Anybody => log::warn!(
                "insecure: whoever reaches {exposed} can hand a VM over, and nothing is encrypted"
            ),
        }
    }
    let listener = TcpListener::bind(&addresses[..]).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    // Every user of this host reaches its loopback interface.
    let files = if config.trust.is_none() {
        Files::Withheld
    } else {
        Files::Named
    };
    Ok((listener, address, files))
}

/// What the thread needs that takes a guest in.
#[derive(Debug)]
struct Hospitality {
    place: Place,
    notifier: Notifier,
    options: DestinationOptions,
    files: Files,
    attachments: Attachments,
    wiring: Wiring,
}

impl Hospitality {
    fn take_in(self, listener: &TcpListener, stop: &CancelToken) {
        let record = Mutex::new(Record::default());
        let notify = |event: &Event<'_>| {
            report(event);
            let Ok(mut record) = record.lock() else {
                return;
            };
            if let Some(migration) = record.follow(event) {
                self.place.tell(migration);
            } else if record.is_over(event) {
                self.place.forget_migration();
            }
        };
        let arrival =
            migration::receive(listener, &mut || self.fresh(), &self.options, &notify, stop);
        match arrival.map(|arrival| arrival.outcome) {
            Ok(Ok(report)) => {
                // Whoever is told may ask for the next thing at once.
                self.place.arrived();
                log::info!(
                    "all memory of the VM from {} has arrived in {:.0} ms",
                    report.peer,
                    report.total_ms
                );
            }
            Ok(Err(error)) => self.fail(MonitorError::LostHere(error)),
            Err(error) => self.fail(MonitorError::Migration(error)),
        }
    }

    /// A place for the next guest that is offered.
    fn fresh(&self) -> Box<dyn DestinationVm> {
        let (place, notifier) = (self.place.clone(), self.notifier.clone());
        let settle_in = move |machine: Arc<Machine>| {
            let mut tenant = place.lock();
            tenant.machine = Some(Arc::clone(&machine));
            tenant.activity = Activity::Arriving;
            notifier.send(Notice::Arrived(machine));
        };
        let arrival = Arrival::new(self.wiring.clone(), settle_in);
        let arrival = arrival.with_files(self.files);
        Box::new(arrival.with_attachments(self.attachments.clone()))
    }

    fn fail(&self, error: MonitorError) {
        self.notifier.send(Notice::End(Ending::Failed(error)));
    }
}

/// What is known of the VM that is arriving.
#[derive(Debug, Default)]
struct Record {
    offered: Option<(String, String, Instant)>,
    rate: Rate,
}

impl Record {
    /// Whether the VM that was offered is the one of which nothing came.
    fn is_over(&self, event: &Event<'_>) -> bool {
        let offered = self.offered.as_ref().map(|(peer, ..)| peer);
        matches!(event, Event::Rejected { peer, .. } if offered == Some(&peer.to_string()))
    }

    /// Takes note of what happens, and says how the migration stands if that has changed.
    fn follow(&mut self, event: &Event<'_>) -> Option<MigrationInfo> {
        if let Event::Offered { peer, mode, .. } = event {
            self.offered = Some((peer.to_string(), mode.to_string(), Instant::now()));
            self.rate = Rate::default();
        }
        let Event::Progress {
            phase,
            pages_done,
            pages_total,
            page_bytes,
        } = event
        else {
            return None;
        };
        let (peer, mode, began) = self.offered.as_ref()?;
        let elapsed = began.elapsed();
        let remaining_bytes = pages_total.saturating_sub(*pages_done) * PAGE_BYTES;
        self.rate.learn(elapsed, *page_bytes);
        Some(MigrationInfo {
            direction: Direction::Arriving,
            peer: peer.clone(),
            mode: mode.clone(),
            progress: Progress {
                phase: words(*phase).to_owned(),
                round: 0,
                pages_done: *pages_done,
                pages_total: *pages_total,
                elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
                rate_bytes_per_s: self.rate.bytes_per_s(),
                remaining_bytes,
                eta_ms: self.rate.time_for_ms(remaining_bytes),
            },
        })
    }
}

/// The phase as a user reads it.
fn words(phase: DestinationPhase) -> &'static str {
    match phase {
        DestinationPhase::Accepted | DestinationPhase::Flushing => "receiving memory",
        DestinationPhase::Restoring => "restoring state",
        DestinationPhase::Ready | DestinationPhase::Filling | DestinationPhase::Filled => {
            "waiting for the guest"
        }
        DestinationPhase::Running | DestinationPhase::Draining => "the guest runs, memory follows",
        DestinationPhase::Completed => "finishing",
    }
}

/// One line for each step, none for the pages.
fn report(event: &Event<'_>) {
    match event {
        Event::Offered { peer, offer, mode } => {
            log::info!("{peer} offers the VM {} ({mode})", offer.name);
        }
        Event::Rejected { peer, error } => {
            log::warn!(
                "nothing came of the call from {peer}: {}",
                Failure::of(*error)
            );
        }
        Event::HandedOver { peer } => log::info!("the VM from {peer} runs here now"),
        Event::Lost { peer, error } => {
            log::warn!("waiting for {peer} to come back: {}", Failure::of(*error));
        }
        Event::Recovered { peer } => log::info!("{peer} is back"),
        Event::Progress { .. } => {}
    }
}
