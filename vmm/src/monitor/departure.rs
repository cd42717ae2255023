//! The thread that moves the guest away.

use std::sync::{Arc, Mutex};

use migration::{
    Bandwidth, CancelToken, MigrationError, Mode, Outcome, SendPlan, SourceOptions, SourcePhase,
};

use super::notices::{Notice, Notifier};
use super::place::Place;
use super::rate::Rate;
use super::{Ending, MonitorError};
use crate::config::{MigrateConfig, MigrationMode, TimeSpan, VmName};
use crate::control::{Direction, Failure, MigrationInfo, Progress, Reply};
use crate::machine;
use crate::memory::PAGE_BYTES;
use crate::transfer::Departure;

/// What the thread needs: the guest, the way back to the event loop, and who waits for the report.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) name: VmName,
    pub(super) place: Place,
    pub(super) notifier: Notifier,
    pub(super) cancel: CancelToken,
    pub(super) reply: Reply,
}

/// Moves the guest, tells the client how it went, and ends the monitor if the guest is gone.
pub(super) fn run(ticket: Ticket, config: &MigrateConfig) {
    let Ticket {
        name,
        place,
        notifier,
        cancel,
        reply,
    } = ticket;
    let Some(machine) = place.machine() else {
        return reply.error(Failure::of(&MonitorError::NoGuest));
    };
    let to = &config.to;
    let mut reply = reply;
    if place.is_arriving() {
        reply.progress(&waiting_for_arrival());
    }
    if place.wait_arrived(&cancel).is_err() {
        return reply.error(Failure::of(&MigrationError::Cancelled));
    }
    log::info!("moving {name} to {to}");
    if let Err(error) = machine::own_disks(machine.devices().disks()) {
        place.settle();
        return reply.error(Failure::of(&MonitorError::Disk(error)));
    }
    let departure = Departure::new(name.to_string(), Arc::clone(&machine));
    let options = match engine_options(config) {
        Ok(options) => options,
        Err(error) => {
            place.settle();
            return reply.error(Failure::of(&MonitorError::Migration(error)));
        }
    };
    let audience = Mutex::new((reply, Rate::default()));
    let report_progress = |progress: &migration::Progress| {
        if let Ok(mut audience) = audience.lock() {
            let (reply, rate) = &mut *audience;
            let progress = translate(progress, rate);
            reply.progress(&progress);
            place.tell(MigrationInfo {
                direction: Direction::Leaving,
                peer: to.to_string(),
                mode: options.mode.to_string(),
                progress,
            });
        }
    };
    let moved = migration::migrate(&departure, &options, &report_progress, &cancel);
    let (reply, _) = audience
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    match moved {
        Ok(report) => {
            log::info!("{name} has moved to {to}");
            machine::leave_disks(machine.devices().disks());
            reply.ok(&report);
            notifier.send(Notice::End(Ending::Moved));
        }
        Err(failure) => {
            let lost = failure.outcome() == Outcome::Lost;
            if !lost {
                // Whoever is told that the guest stays may ask for the next thing at once.
                place.settle();
            }
            reply.ok(&failure.report);
            if lost {
                notifier.send(Notice::End(Ending::Failed(MonitorError::Lost(
                    failure.error,
                ))));
            } else {
                log::warn!("{name} stays here: {}", Failure::of(&failure.error));
            }
        }
    }
}

/// What is told while pages of the guest are missing here.
pub(super) fn waiting_for_arrival() -> Progress {
    Progress {
        phase: "waiting for the last pages to arrive".to_owned(),
        round: 0,
        pages_done: 0,
        pages_total: 0,
        elapsed_ms: 0,
        rate_bytes_per_s: 0,
        remaining_bytes: 0,
        eta_ms: None,
    }
}

/// What was asked for, as the engine takes it.
///
/// # Errors
/// If the files that say whom to trust cannot be used.
fn engine_options(config: &MigrateConfig) -> Result<SourceOptions, MigrationError> {
    let MigrateConfig {
        to,
        mode,
        max_downtime,
        prepaging,
        pivots,
        growth,
        order,
        streams,
        bandwidth,
        reconnect_for,
        verify,
        trust,
    } = config;
    let defaults = SourceOptions::new(to.to_string());
    Ok(SourceOptions {
        mode: engine_mode(*mode),
        max_downtime: max_downtime.map_or(defaults.max_downtime, TimeSpan::duration),
        streams: *streams,
        bandwidth: bandwidth.and_then(|rate| Bandwidth::new(rate.bits_per_s())),
        reconnect_for: reconnect_for.map_or(defaults.reconnect_for, TimeSpan::duration),
        verify: *verify,
        send_plan: SendPlan {
            prepaging: *prepaging,
            pivots: *pivots,
            growth: *growth,
            order: *order,
        },
        trust: trust.load()?,
        ..defaults
    })
}

/// The mode in the engine's terms.
fn engine_mode(mode: MigrationMode) -> Mode {
    match mode {
        MigrationMode::Auto => Mode::Auto,
        MigrationMode::PostCopy => Mode::PostCopy,
        MigrationMode::Hybrid => Mode::Hybrid,
        MigrationMode::PreCopy => Mode::PreCopy,
        MigrationMode::StopAndCopy => Mode::StopAndCopy,
    }
}

/// The phase as a user reads it.
fn words(phase: SourcePhase) -> &'static str {
    match phase {
        SourcePhase::Negotiating => "negotiating",
        SourcePhase::Accepted | SourcePhase::Copying => "copying memory",
        SourcePhase::Paused | SourcePhase::Restoring => "moving state",
        SourcePhase::CopyingLast
        | SourcePhase::Ready
        | SourcePhase::Filling
        | SourcePhase::Pushing => "moving memory",
        SourcePhase::Filled | SourcePhase::HandedOver | SourcePhase::HandedOverWhole => {
            "handing over"
        }
        SourcePhase::Recovering | SourcePhase::RecoveringWhole => "reconnecting",
        SourcePhase::Returned => "taking the VM back",
        SourcePhase::Draining | SourcePhase::Completed => "finishing",
    }
}

fn translate(progress: &migration::Progress, rate: &mut Rate) -> Progress {
    let migration::Progress {
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
        rate_bytes_per_s: rate.bytes_per_s(),
        remaining_bytes,
        eta_ms: rate.time_for_ms(remaining_bytes),
        phase: words(*phase).to_owned(),
        round: *round,
        pages_done: *pages_done,
        pages_total: *pages_total,
        elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
    }
}
