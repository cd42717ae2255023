//! A whole snapshot of a difference and its base, made by the process that was asked for it: no VM takes
//! part.

use std::cell::RefCell;

use migration::CancelToken;
use migration::snapshot::{self, MergeOptions, MergeReport, SnapshotProgress};

use super::MonitorError;
use super::rate::Rate;
use super::snapshot::translate;
use crate::console::Signals;
use crate::control::Progress;

/// Merges what is asked for, and says how far it is. To be called before the process starts a thread; a
/// signal that asks it to end cancels.
///
/// # Errors
/// The two do not belong together, are damaged, or the new snapshot cannot be written or is cancelled.
/// Nothing is left of it then.
pub fn merge(
    options: &MergeOptions,
    on_progress: impl FnMut(&Progress),
) -> Result<MergeReport, MonitorError> {
    let signals = Signals::block()?;
    let cancel = CancelToken::new()?;
    let audience = RefCell::new((on_progress, Rate::default()));
    let tell = |progress: &SnapshotProgress| {
        if let Some(signal) = signals.next() {
            log::info!("{signal}: the merge is being cancelled");
            cancel.cancel();
        }
        let (on_progress, rate) = &mut *audience.borrow_mut();
        on_progress(&translate(progress, rate));
    };
    snapshot::merge(options, &tell, &cancel).map_err(MonitorError::Merge)
}
