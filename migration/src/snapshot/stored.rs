//! A VM in a snapshot, as the engine gives it away.

mod reading;

use std::sync::Arc;
use std::time::Duration;

use crate::bitmap::PageBitmap;
use crate::error::MachineError;
use crate::offer::Offer;
use crate::options::SourceOptions;
use crate::order::{Order, Prepaging, Recency, SendPlan};
use crate::snapshot::memory::StoredMemory;
use crate::snapshot::working_set::WorkingSet;
use crate::source::{Hints, SourceMemory, SourceVm};
use reading::ReadingLog;

/// How long after a resume touched pages belong to the working set. Our choice: a guest has done by
/// then what it does first each time, and the first resume, whose other pages are held back so that
/// all of the set is seen, is not slow for longer.
const WINDOW: Duration = Duration::from_secs(1);

/// How long without a fault the pages are held back at most. Our choice: what comes later comes by
/// chance.
const QUIET: Duration = Duration::from_millis(200);

/// A VM whose memory is that of a snapshot. It runs nowhere, so there is nothing to stop, and whoever
/// takes it takes a copy.
#[derive(Debug)]
pub struct StoredVm {
    offer: Offer,
    state: Vec<u8>,
    memory: Arc<StoredMemory>,
    set: Option<WorkingSet>,
    reading: Arc<ReadingLog>,
}

/// A snapshot does not change.
#[derive(Debug, thiserror::Error)]
#[error("nobody writes the memory of a snapshot")]
struct NothingToTrack;

impl StoredVm {
    /// The VM with that memory, which asks for `offer` and is in `state`: those of the snapshot, or
    /// what has been made of them. With a `set`, its pages come first, and it learns.
    pub fn new(
        offer: Offer,
        state: Vec<u8>,
        memory: Arc<StoredMemory>,
        set: Option<WorkingSet>,
    ) -> Self {
        let mut ahead = PageBitmap::empty(memory.pages());
        if let Some(set) = &set {
            ahead.add_all(set.pages());
        }
        Self {
            offer,
            state,
            memory,
            set,
            reading: Arc::new(ReadingLog::new(ahead, WINDOW)),
        }
    }

    /// The options with which it leaves for `destination`: in post-copy, the pages of the set first,
    /// or, where a set is yet to be learned, none but those that are touched, for a while.
    pub fn options(&self, destination: String) -> SourceOptions {
        let options = SourceOptions::new(destination);
        match &self.set {
            None => options,
            Some(set) if set.is_empty() => SourceOptions {
                send_plan: SendPlan {
                    prepaging: Prepaging::None,
                    ..options.send_plan
                },
                drain_after: QUIET,
                drain_by: Some(WINDOW),
                ..options
            },
            Some(set) => {
                let mut recency = Recency::new();
                recency.add_round(set.pages().clone());
                SourceOptions {
                    send_plan: SendPlan {
                        order: Order::Recency,
                        ..options.send_plan
                    },
                    recency,
                    ..options
                }
            }
        }
    }

    /// How many pages of the set there are to come first, and how long after the guest left all of
    /// them had been sent, if they have.
    pub fn prefetched(&self) -> (u64, Option<Duration>) {
        let pages = self.set.as_ref().map_or(0, |set| set.pages().count());
        (pages, self.reading.all_went_after())
    }

    /// The set with what was learned this time, if anything was to be.
    pub fn learned(&self) -> Option<WorkingSet> {
        let mut set = self.set.clone().filter(WorkingSet::may_learn)?;
        set.learn(&self.reading.touched());
        Some(set)
    }
}

impl SourceVm for StoredVm {
    fn offer(&self) -> Result<Offer, MachineError> {
        Ok(self.offer.clone())
    }

    fn ram(&self) -> SourceMemory {
        SourceMemory::stored(Arc::clone(&self.memory), Arc::clone(&self.reading) as _)
    }

    fn start_tracking(&self) -> Result<(), MachineError> {
        Err(NothingToTrack.into())
    }

    /// Nobody is there to be asked.
    fn start_hinting(&self) {}

    fn take_hints(&self, _: &mut PageBitmap) -> Hints {
        Hints::Complete
    }

    fn stop_hinting(&self) {}

    fn take_dirty(&self, _: &mut PageBitmap) -> Result<(), MachineError> {
        Err(NothingToTrack.into())
    }

    fn stop_tracking(&self) -> Result<(), MachineError> {
        Err(NothingToTrack.into())
    }

    fn pause(&self) -> Result<(), MachineError> {
        Ok(())
    }

    fn save(&self) -> Result<Vec<u8>, MachineError> {
        self.reading.begin();
        Ok(self.state.clone())
    }

    fn resume(&self) -> Result<(), MachineError> {
        Ok(())
    }
}
