//! A guest that runs before its memory is there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use migration::snapshot::{Snapshot, WorkingSet};
use migration::{
    ArrivingMemory, DestinationVm, Haste, MachineError, Offer, RamMapping, Refusal, ResumeError,
    Resumed,
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
/// Page faults cannot be served here, or there is no thread.
pub(super) fn begin(event_loop: &EventLoop, resume: Resume) -> Result<(), MonitorError> {
    migration::check_userfaultfd()?;
    let (place, notifier) = (event_loop.place.clone(), event_loop.notifier.clone());
    thread::Builder::new()
        .name("restore".to_owned())
        .spawn(move || {
            if let Err(error) = run(resume, &place, &notifier) {
                notifier.send(Notice::End(Ending::Failed(error)));
            }
        })
        .map(drop)
        .map_err(|source| MonitorError::System {
            action: "start a thread",
            source,
        })
}

/// Has the guest run here; returns when all its memory is here.
fn run(resume: Resume, place: &Place, notifier: &Notifier) -> Result<(), MonitorError> {
    let Resume {
        config,
        snapshot,
        machine,
        wiring,
        record,
    } = resume;
    let record = Arc::new(Mutex::new(record));
    let passage = machine.passage();
    let stored = machine.stored(prefetch(&snapshot, config.prefetch));
    let haste = Haste::new()?;
    let settle_in = {
        let (home, notifier, noted) = (place.clone(), notifier.clone(), Arc::clone(&record));
        let haste = haste.clone();
        move |machine: Arc<Machine>| {
            let mut tenant = home.lock();
            tenant.machine = Some(Arc::clone(&machine));
            tenant.activity = Activity::Arriving;
            tenant.haste = Some(haste.clone());
            drop(tenant);
            notifier.send(Notice::Arrived(machine));
            lock(&noted).loaded();
        }
    };
    let mut vm = Timed {
        vm: Arrival::new(wiring, settle_in)
            .by(passage)
            .with_attachments(config.attachments.clone()),
        place: place.clone(),
        record: Arc::clone(&record),
    };
    let resumed = migration::resume(stored, &mut vm, &haste).map_err(why)?;
    place.arrived();
    let kept = resumed
        .learned
        .as_ref()
        .map_or(Ok(()), |set| snapshot.keep_working_set(set));
    if let Err(error) = kept {
        log::info!(
            "nothing is kept for the next resume: {}",
            Failure::of(&error)
        );
    }
    lock(&record).write(config.report.as_deref(), filling(&resumed));
    log::info!(
        "all memory is here after {:.0} ms, {} pages were waited for",
        resumed.fill.as_secs_f64() * 1e3,
        resumed.faults
    );
    Ok(())
}

/// The choice in the engine's terms, with what was learned from earlier resumes. Without that a resume
/// is slower.
fn prefetch(snapshot: &Snapshot, choice: Prefetch) -> migration::Prefetch {
    match choice {
        Prefetch::Off => migration::Prefetch::Around,
        Prefetch::Demand => migration::Prefetch::Nothing,
        Prefetch::On => {
            migration::Prefetch::Learned(snapshot.working_set().unwrap_or_else(|error| {
                log::info!("{}", Failure::of(&error));
                WorkingSet::empty(snapshot.memory().pages())
            }))
        }
    }
}

/// Why a guest is not here whole, in the words of who resumes it.
fn why(error: ResumeError) -> MonitorError {
    match error {
        ResumeError::Refused(refusal) => MonitorError::Restore(StoredError::Unfit(refusal)),
        ResumeError::Failed(error) => MonitorError::Migration(error),
        ResumeError::Lost(error) => MonitorError::LostHere(error),
    }
}

fn filling(resumed: &Resumed) -> Filling {
    Filling {
        prefetch: resumed.prefetch,
        prefetch_pages: resumed.prefetch_pages,
        faults: resumed.faults,
        fault_p50_us: resumed.latency_us.p50,
        fault_p99_us: resumed.latency_us.p99,
        fill: Some(resumed.fill),
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
