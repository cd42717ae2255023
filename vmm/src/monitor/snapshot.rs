//! The thread that writes a snapshot of the guest.

use std::cell::RefCell;
use std::sync::Arc;

use migration::snapshot::{
    self, Afterwards, SnapshotError, SnapshotOptions, SnapshotPhase, SnapshotProgress,
};

use super::departure::{Ticket, waiting_for_arrival};
use super::notices::Notice;
use super::rate::Rate;
use super::{Ending, MonitorError};
use crate::config::SnapshotConfig;
use crate::control::{Failure, Progress};
use crate::memory::PAGE_BYTES;
use crate::transfer::Departure;

/// Writes the snapshot and tells the client how it went; the guest goes on, or has come to its end.
pub(super) fn run(ticket: Ticket, config: &SnapshotConfig) {
    let Ticket {
        name,
        place,
        notifier,
        cancel,
        mut reply,
    } = ticket;
    let Some(machine) = place.machine() else {
        return reply.error(Failure::of(&MonitorError::NoGuest));
    };
    if place.is_arriving() {
        reply.progress(&waiting_for_arrival());
    }
    if place.wait_arrived(&cancel).is_err() {
        return reply.error(Failure::of(&MonitorError::Snapshot(
            SnapshotError::Cancelled,
        )));
    }
    let SnapshotConfig {
        to,
        base,
        liveness,
        afterwards,
    } = config;
    log::info!("writing a snapshot of {name} to {}", to.display());
    let options = SnapshotOptions {
        directory: to.clone(),
        base: base.clone(),
        liveness: *liveness,
        afterwards: *afterwards,
    };
    let departure = Departure::new(name.to_string(), Arc::clone(&machine));
    let audience = RefCell::new((reply, Rate::default()));
    let tell = |progress: &SnapshotProgress| {
        let (reply, rate) = &mut *audience.borrow_mut();
        reply.progress(&translate(progress, rate));
    };
    let written = snapshot::write(&departure, &options, &tell, &cancel);
    let (reply, _) = audience.into_inner();
    match written {
        Ok(report) => {
            log::info!(
                "the snapshot of {name} is complete; the guest stood still for {:.1} ms",
                report.pause_ms
            );
            // Whoever is told that it is done may ask for the next thing at once.
            if *afterwards == Afterwards::Resumed {
                place.settle();
            }
            reply.ok(&report);
            if *afterwards == Afterwards::Held {
                notifier.send(Notice::End(Ending::Stopped));
            }
        }
        Err(error) => {
            let error = MonitorError::Snapshot(error);
            log::warn!("there is no snapshot of {name}: {}", Failure::of(&error));
            place.settle();
            reply.error(Failure::of(&error));
        }
    }
}

/// What a client is told.
pub(super) fn translate(progress: &SnapshotProgress, rate: &mut Rate) -> Progress {
    let SnapshotProgress {
        phase,
        round,
        pages_done,
        pages_total,
        page_bytes,
        elapsed,
    } = progress;
    rate.learn(*elapsed, *page_bytes);
    let remaining_bytes = pages_total.saturating_sub(*pages_done) * PAGE_BYTES;
    Progress {
        phase: match phase {
            SnapshotPhase::Writing => "writing memory",
            SnapshotPhase::Syncing => "waiting for the disk",
        }
        .to_owned(),
        round: *round,
        pages_done: *pages_done,
        pages_total: *pages_total,
        elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        rate_bytes_per_s: rate.bytes_per_s(),
        remaining_bytes,
        eta_ms: rate.time_for_ms(remaining_bytes),
    }
}
