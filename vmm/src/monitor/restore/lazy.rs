//! A guest that runs before its memory is there: a migration whose two ends are in this process.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use migration::snapshot::{Snapshot, StoredVm, WorkingSet};
use migration::{
    ArrivingMemory, CancelToken, DestinationOptions, DestinationVm, Failure as Lost, Key,
    MachineError, MigrationError, Notice as Event, Offer, Outcome, RamMapping, Refusal, Report,
    SourceOptions, Trust,
};

use super::report::{Filling, Record};
use crate::config::{Prefetch, RestoreConfig};
use crate::control::Failure;
use crate::machine::{Machine, Wiring, Wish};
use crate::monitor::event_loop::EventLoop;
use crate::monitor::notices::{Notice, Notifier};
use crate::monitor::place::{Activity, Place};
use crate::monitor::{Ending, MonitorError};
use crate::transfer::{Arrival, StoredError, StoredMachine};

/// Everything that the resume is made of.
pub(super) struct Resume {
    pub(super) config: RestoreConfig,
    pub(super) snapshot: Snapshot,
    pub(super) machine: StoredMachine,
    pub(super) wiring: Wiring,
    pub(super) record: Record,
}

/// Starts the thread that takes the guest in.
///
/// # Errors
/// There is no thread or no address to meet at.
pub(super) fn begin(event_loop: &EventLoop, resume: Resume) -> Result<(), MonitorError> {
    migration::check_userfaultfd()?;
    let system = |action| move |source| MonitorError::System { action, source };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .map_err(system("open a connection within this process"))?;
    let (place, notifier) = (event_loop.place.clone(), event_loop.notifier.clone());
    thread::Builder::new()
        .name("restore".to_owned())
        .spawn(move || {
            if let Err(error) = run(resume, &listener, &place, &notifier) {
                notifier.send(Notice::End(Ending::Failed(error)));
            }
        })
        .map(drop)
        .map_err(system("start a thread"))
}

/// Gives the guest away at one end and takes it in at the other; returns when all its memory is here.
fn run(
    resume: Resume,
    listener: &TcpListener,
    place: &Place,
    notifier: &Notifier,
) -> Result<(), MonitorError> {
    let Resume {
        config,
        snapshot,
        machine,
        wiring,
        record,
    } = resume;
    // Whoever else connects has no such key.
    let trust = Trust {
        key: Some(Key::random()?),
        tls: None,
    };
    let address = listener
        .local_addr()
        .map_err(|source| MonitorError::System {
            action: "open a connection within this process",
            source,
        })?;
    let source = machine.source(working_set(&snapshot, config.prefetch));
    let source_options = SourceOptions {
        reconnect_for: Duration::ZERO,
        trust: trust.clone(),
        ..source.options(address.to_string())
    };
    let destination_options = DestinationOptions {
        reconnect_for: Duration::ZERO,
        trust,
        ..DestinationOptions::default()
    };
    let (cancel, stop) = (CancelToken::new()?, CancelToken::new()?);
    let record = Arc::new(Mutex::new(record));
    let passage = machine.passage();
    let mut fresh = || -> Box<dyn DestinationVm> {
        let (home, notifier) = (place.clone(), notifier.clone());
        let noted = Arc::clone(&record);
        let settle_in = move |machine: Arc<Machine>| {
            let mut tenant = home.lock();
            tenant.machine = Some(Arc::clone(&machine));
            tenant.activity = Activity::Arriving;
            drop(tenant);
            notifier.send(Notice::Arrived(machine));
            lock(&noted).loaded();
        };
        Box::new(Timed {
            vm: Arrival::new(wiring.clone(), settle_in).by(passage),
            place: place.clone(),
            record: Arc::clone(&record),
        })
    };
    let (given, taken) = thread::scope(|scope| {
        let giving = thread::Builder::new()
            .name("restore-source".to_owned())
            .spawn_scoped(scope, || give(&source, &source_options, &cancel, &stop));
        let ignore = |_: &Event<'_>| {};
        let taken = migration::receive(listener, &mut fresh, &destination_options, &ignore, &stop);
        let given = giving.map(|giving| giving.join().expect("it does not panic"));
        (given, taken)
    });
    let given = given.map_err(|source| MonitorError::System {
        action: "start a thread",
        source,
    })?;
    // The end that reads the snapshot knows best why there is no more of it.
    let report = given.map_err(|lost| why(*lost))?;
    taken?.outcome.map_err(MonitorError::LostHere)?;
    place.arrived();
    let record = lock(&record);
    let filling = filling(&report, &source);
    let kept = source
        .learned()
        .map_or(Ok(()), |set| snapshot.keep_working_set(&set));
    if let Err(error) = kept {
        log::info!(
            "nothing is kept for the next resume: {}",
            Failure::of(&error)
        );
    }
    record.write(config.report.as_deref(), filling);
    log::info!(
        "all memory is here after {:.0} ms, {} pages were waited for",
        report.resume_ms,
        filling.faults
    );
    Ok(())
}

/// What was learned from earlier resumes, if that matters. Without it a resume is slower.
fn working_set(snapshot: &Snapshot, prefetch: Prefetch) -> Option<WorkingSet> {
    match (prefetch, snapshot.working_set()) {
        (Prefetch::Off, _) => None,
        (Prefetch::On, Ok(set)) => Some(set),
        (Prefetch::On, Err(error)) => {
            log::info!("{}", Failure::of(&error));
            Some(WorkingSet::empty(snapshot.memory().pages()))
        }
    }
}

/// Gives the guest away. If that comes to nothing, nobody is waited for at the other end.
fn give(
    source: &StoredVm,
    options: &SourceOptions,
    cancel: &CancelToken,
    stop: &CancelToken,
) -> Result<Report, Box<Lost>> {
    let given = migration::migrate(source, options, &|_: &_| {}, cancel);
    if given.is_err() {
        stop.cancel();
    }
    given
}

/// Why a guest is not here whole, in the words of who resumes it.
fn why(lost: Lost) -> MonitorError {
    match (lost.error, lost.report.outcome) {
        (MigrationError::Refused { refusal, .. }, _) => {
            MonitorError::Restore(StoredError::Unfit(refusal))
        }
        (error, Outcome::Lost) => MonitorError::LostHere(error),
        (error, _) => MonitorError::Migration(error),
    }
}

fn filling(report: &Report, source: &StoredVm) -> Filling {
    let faults = &report.faults;
    let (prefetch_pages, prefetch) = source.prefetched();
    Filling {
        prefetch,
        prefetch_pages,
        faults: faults.network + faults.underway,
        fault_p50_us: faults.latency_us.p50,
        fault_p99_us: faults.latency_us.p99,
        fill: Some(Duration::from_secs_f64(report.resume_ms / 1e3)),
    }
}

/// An arrival whose steps are noted.
struct Timed {
    vm: Arrival,
    place: Place,
    record: Arc<Mutex<Record>>,
}

impl DestinationVm for Timed {
    fn prepare(&mut self, offer: &Offer) -> Result<RamMapping, Refusal> {
        self.vm.prepare(offer)
    }

    fn restore(&mut self, state: &[u8], memory: ArrivingMemory) -> Result<(), MachineError> {
        self.vm.restore(state, memory)
    }

    fn resume(&mut self) -> Result<(), MachineError> {
        self.vm.resume()?;
        let wish = self
            .place
            .machine()
            .map_or(Wish::Paused, |machine| machine.wish());
        lock(&self.record).started(wish);
        Ok(())
    }
}

fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}
