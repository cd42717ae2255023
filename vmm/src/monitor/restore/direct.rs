//! A guest whose memory is there before it runs.

use std::sync::Arc;

use super::report::{Filling, Record};
use crate::config::RestoreConfig;
use crate::machine::Machine;
use crate::monitor::MonitorError;
use crate::monitor::boot::settle;
use crate::monitor::event_loop::EventLoop;

/// Runs the machine, unless its user had paused it.
pub(super) fn resume(
    event_loop: &EventLoop,
    machine: Machine,
    mut record: Record,
    config: &RestoreConfig,
) -> Result<(), MonitorError> {
    let machine = Arc::new(machine);
    settle(event_loop, &machine);
    record.loaded();
    machine.start()?;
    record.started(machine.wish());
    record.write(config.report.as_deref(), Filling::default());
    Ok(())
}
