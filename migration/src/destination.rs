//! The destination of migrations: it waits for a VM and takes it in.

mod arrival;
mod attempt;
mod clock;
mod door;
mod giving_up;
mod host;
mod memory;
mod region;
mod strangers;
mod table;
mod threads;

use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::thread;

use serde::Serialize;

use crate::cancel::CancelToken;
use crate::error::{Error, MachineError, Result};
use crate::offer::{Offer, Refusal};
use crate::options::{DestinationOptions, Mode};
use crate::phase::DestinationPhase;
use crate::ram::RamMapping;
use crate::report::{FaultCounts, PageCounts};

use door::Door;
pub use giving_up::ArrivingMemory;
pub(crate) use giving_up::GivesUp;
pub use memory::available_memory_bytes;
pub use region::check_userfaultfd;
pub(crate) use region::{FaultRegion, HUGE_PAGES, Stage};

/// A VM that may arrive. One is made for each attempt, and dropped if the attempt fails before the
/// hand-over. The calls come in the order of the methods below, from the thread that calls
/// [`receive`].
pub trait DestinationVm: Send {
    /// Checks that the VM can run here, that there is memory for it above all, and builds it, with
    /// its RAM mapped and untouched: a page that was written before would stay in place of the one
    /// that is to come. Huge pages are ruled out for the mapping then.
    ///
    /// # Errors
    /// The reason to refuse the VM.
    fn prepare(&mut self, offer: &Offer) -> Result<RamMapping, Refusal>;

    /// Restores the state of vCPUs and devices. It may touch RAM: missing pages are fetched. What
    /// discards pages later, before all of `memory` has arrived, does it through that.
    ///
    /// # Errors
    /// If the state does not fit; the guest runs on at the source.
    fn restore(&mut self, state: &[u8], memory: ArrivingMemory) -> Result<(), MachineError>;

    /// Runs the guest, which is this host's now.
    ///
    /// # Errors
    /// If it cannot run. It is lost then.
    fn resume(&mut self) -> Result<(), MachineError>;
}

/// What happens while [`receive`] waits and receives.
#[derive(Clone, Copy, Debug)]
pub enum Notice<'a> {
    /// A source offers a VM.
    Offered {
        /// The source.
        peer: SocketAddr,
        /// What its VM needs.
        offer: &'a Offer,
        /// How it comes.
        mode: Mode,
    },
    /// A connection was not a peer's, or a VM was refused or failed to arrive; whatever it was, it
    /// is over, and the listener goes on.
    Rejected {
        /// The other end.
        peer: SocketAddr,
        /// What was wrong.
        error: &'a Error,
    },
    /// The guest has been handed over and runs here. Missing pages may still follow.
    HandedOver {
        /// The source.
        peer: SocketAddr,
    },
    /// The connections to the source of a VM were lost; it is waited for.
    Lost {
        /// The source.
        peer: SocketAddr,
        /// What was wrong.
        error: &'a Error,
    },
    /// The source is back, and its VM goes on arriving.
    Recovered {
        /// The source.
        peer: SocketAddr,
    },
    /// Pages are arriving; told about ten times a second.
    Progress {
        /// What the destination is doing.
        phase: DestinationPhase,
        /// Pages that arrived or were listed as absent.
        pages_done: u64,
        /// All pages.
        pages_total: u64,
        /// Bytes of pages that arrived, each as often as it did.
        page_bytes: u64,
    },
}

/// Is told what happens. It is called from several threads and must return at once.
pub trait NoticeSink: Sync {
    /// This happened.
    fn notice(&self, notice: &Notice<'_>);
}

impl<F: Fn(&Notice<'_>) + Sync> NoticeSink for F {
    fn notice(&self, notice: &Notice<'_>) {
        self(notice);
    }
}

/// A VM that was handed over.
pub struct Arrival {
    /// The VM. It runs, unless its `resume` failed.
    pub vm: Box<dyn DestinationVm>,
    /// The account of a VM that has all of its memory, or why it is lost: its memory stays
    /// incomplete, and who touches a missing page waits for good.
    pub outcome: Result<ArrivalReport>,
}

impl std::fmt::Debug for Arrival {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arrival")
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}

/// The account of an arrival, as the destination sees it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ArrivalReport {
    /// The source.
    pub peer: SocketAddr,
    /// How the VM came.
    pub mode: Mode,
    /// Time to restore the state.
    pub restore_ms: f64,
    /// Time to run the guest after it was handed over.
    pub resume_ms: f64,
    /// From the offer until every page was here.
    pub total_ms: f64,
    /// What became of the pages. What was pushed and what demanded, only the source knows, and
    /// absent pages include zero ones.
    pub pages: PageCounts,
    /// Network faults.
    pub faults: FaultCounts,
    /// Pages that the guest gave up here before they came.
    pub given_up_pages: u64,
}

/// Waits on `listener` for a VM and takes it in; returns when all its memory is here, or when it
/// was handed over and then lost.
///
/// `fresh` makes the VM for each attempt. What comes to nothing before the hand-over (strangers,
/// refusals, sources that fail) is told to `notices`, and waiting goes on. `stop` ends the wait
/// from any thread, until a guest has been handed over.
///
/// # Errors
/// If it was stopped, or the listener fails; there is no VM then.
pub fn receive(
    listener: &TcpListener,
    fresh: &mut dyn FnMut() -> Box<dyn DestinationVm>,
    options: &DestinationOptions,
    notices: &dyn NoticeSink,
    stop: &CancelToken,
) -> Result<Arrival> {
    listener
        .set_nonblocking(true)
        .map_err(|source| Error::Accept { source })?;
    let (callers, calls) = mpsc::channel();
    let door = Door::new(options, notices, stop);
    thread::scope(|scope| {
        let accepting = thread::Builder::new()
            .name("receive-accept".to_owned())
            .spawn_scoped(scope, || door.keep(scope, listener, callers))
            .map_err(|source| Error::Spawn {
                name: "receive-accept".to_owned(),
                source,
            })?;
        let arrival = loop {
            let Ok(caller) = calls.recv() else { break None };
            let arrival = arrival::take_in(scope, caller, fresh(), &door);
            if arrival.is_some() {
                break arrival;
            }
        };
        door.shut();
        let kept = accepting
            .join()
            .expect("the accepting thread does not panic");
        match (arrival, kept) {
            (Some(arrival), _) => Ok(arrival),
            (None, Err(error)) => Err(error),
            (None, Ok(())) => Err(Error::Stopped),
        }
    })
}
