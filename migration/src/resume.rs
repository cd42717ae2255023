//! Resuming a VM out of a snapshot: a post-copy migration whose source is a directory.
//!
//! Memory, faults, the order of pages and the rule of one owner are those of every migration, but
//! nothing is sent: who serves a fault reads the page itself, where it is needed.
//!
//! ```text
//! faults --> order --> snapshot --> stage --> guest memory      thread `resume-faults`
//!   next --> order --> snapshot --> stage --> guest memory      thread `resume-fill`
//! ```

mod ahead;
mod faults;
mod inflow;
mod learning;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::destination::{ArrivingMemory, DestinationVm, FaultRegion};
use crate::error::{Error, Result};
use crate::offer::{Offer, Refusal};
use crate::report::LatencyUs;
use crate::snapshot::{StoredMemory, WorkingSet};
use crate::stop::Stop;
use faults::serve_faults;
use inflow::Inflow;

/// Has one resume that holds pages back, to learn which of them are touched, bring them at once. Clones
/// hurry the same one; it stays hurried.
#[derive(Clone, Debug)]
pub struct Haste(Stop);

impl Haste {
    /// Nobody is hurried yet.
    ///
    /// # Errors
    /// If the kernel has no file descriptor left.
    pub fn new() -> Result<Self> {
        Stop::new().map(Self)
    }

    /// Somebody waits for the last page.
    pub fn hurry(&self) {
        self.0.raise();
    }
}

/// What comes besides the pages that the guest waits for.
#[derive(Debug)]
pub enum Prefetch {
    /// The pages of the set first, as if they were waited for. It learns: what it has not learned yet
    /// it learns by holding all others back for a while.
    Learned(WorkingSet),
    /// What lies around each of them, and the rest meanwhile.
    Around,
    /// Nothing until none was waited for for a while, and then the rest: demand paging (VEE 2009,
    /// section 3.1), as a control.
    Nothing,
}

impl Prefetch {
    fn set(&self) -> Option<&WorkingSet> {
        match self {
            Self::Learned(set) => Some(set),
            Self::Around | Self::Nothing => None,
        }
    }
}

/// A VM in a snapshot, to be made here once more.
#[derive(Debug)]
pub struct StoredVm {
    /// What it asks of a host.
    pub offer: Offer,
    /// The state of vCPUs and devices.
    pub state: Vec<u8>,
    /// Its memory.
    pub memory: Arc<StoredMemory>,
    /// What else comes while pages are waited for.
    pub prefetch: Prefetch,
}

/// The account of a resume that is complete.
#[derive(Clone, Debug)]
pub struct Resumed {
    /// Pages that the guest waited for.
    pub faults: u64,
    /// How long it waited for those of them that were not being read already.
    pub latency_us: LatencyUs,
    /// Pages that came ahead of demand because they had been learned.
    pub prefetch_pages: u64,
    /// From when the guest ran until all of those were there; `None` if there were none.
    pub prefetch: Option<Duration>,
    /// From when the guest ran until all its memory was there.
    pub fill: Duration,
    /// The set with what was learned this time, if anything was to be.
    pub learned: Option<WorkingSet>,
}

/// Why a VM could not be resumed.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// This host cannot run it.
    #[error("this host cannot run the VM: {0}")]
    Refused(Refusal),
    /// It failed before it ran.
    #[error(transparent)]
    Failed(#[from] Error),
    /// It failed while it ran: it stands still at the first page that it misses.
    #[error(transparent)]
    Lost(Error),
}

/// Makes `stored` run in `vm`, and returns when all its memory is there, which `haste` may make sooner.
/// The calls of `vm` come from this thread.
///
/// # Errors
/// If this host cannot run it, or its memory or state cannot be read.
pub fn resume(
    stored: StoredVm,
    vm: &mut dyn DestinationVm,
    haste: &Haste,
) -> Result<Resumed, ResumeError> {
    let StoredVm {
        offer,
        state,
        memory,
        prefetch,
    } = stored;
    let ram = vm.prepare(&offer).map_err(ResumeError::Refused)?;
    if ram.pages() != memory.pages() {
        return Err(ResumeError::Failed(Error::MappedPages {
            mapped: ram.pages(),
            offered: memory.pages(),
        }));
    }
    let region = FaultRegion::register(ram)?;
    let inflow = Arc::new(Inflow::new(region, memory, &prefetch, haste.0.clone())?);
    thread::scope(|scope| {
        let spawn = |name: &str, work: fn(&Inflow) -> Result<()>| {
            let inflow = Arc::clone(&inflow);
            let run = move || {
                if let Err(error) = work(&inflow) {
                    inflow.fail(error);
                }
            };
            let spawned = thread::Builder::new()
                .name(name.to_owned())
                .spawn_scoped(scope, run);
            spawned.map(drop).map_err(|source| Error::Spawn {
                name: name.to_owned(),
                source,
            })
        };
        let done = spawn("resume-faults", serve_faults)
            .and_then(|()| spawn("resume-fill", Inflow::fill))
            .map_err(ResumeError::Failed)
            .and_then(|()| run(&inflow, &state, vm));
        // The threads of a resume that failed end as those of one that is complete.
        inflow.end();
        done.map(|began| inflow.account(began, prefetch))
    })
}

/// Restores the state and runs the guest until all its memory is there; says when it ran.
fn run(
    inflow: &Arc<Inflow>,
    state: &[u8],
    vm: &mut dyn DestinationVm,
) -> Result<Instant, ResumeError> {
    let restored = vm
        .restore(state, ArrivingMemory::of(inflow))
        .map_err(|source| Error::Restore { source });
    if let Err(error) = restored.and_then(|()| inflow.own_guest()) {
        // Who restores waits for pages as a guest does, and fails if there are none.
        let cause = inflow.cause_of(error);
        inflow.fail(Error::Stopped);
        return Err(ResumeError::Failed(cause));
    }
    let began = Instant::now();
    vm.resume()
        .map_err(|source| Error::Resume { source })
        .and_then(|()| {
            inflow.guest_runs();
            inflow.wait_filled()
        })
        .map_err(|error| ResumeError::Lost(inflow.cause_of(error)))?;
    Ok(began)
}
