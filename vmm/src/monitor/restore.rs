//! `skiff restore`: a guest from a snapshot.

mod choice;
mod direct;
mod lazy;
mod report;

use std::time::Instant;

use migration::snapshot::Snapshot;

use super::MonitorError;
use super::boot::{fatal_sink, random_id, serial_output};
use super::event_loop::{EventLoop, Outside};
use crate::config::{MemoryMode, RestoreConfig};
use crate::console::Signals;
use crate::control::{ControlSocket, SocketPath};
use crate::host::HostKvm;
use crate::machine::Wiring;
use crate::transfer::{CloneIdentity, Memory, StoredMachine};
use choice::choose;
use report::Record;

/// Resumes a guest from a snapshot and serves it until it ends or has moved away.
///
/// # Errors
/// The host or the snapshot is unfit, the guest crashes, or its memory cannot be read to the end.
pub fn restore(config: RestoreConfig) -> Result<(), MonitorError> {
    let started = Instant::now();
    let signals = Signals::block()?;
    let kvm = HostKvm::open()?.kind;
    let snapshot =
        Snapshot::open(&config.directory).map_err(|source| MonitorError::SnapshotOpen {
            directory: config.directory.clone(),
            source,
        })?;
    let choice = choose(config.memory_mode, snapshot.memory());
    let serial = serial_output(&config.serial)?;
    let socket = SocketPath::choose(&config.name, config.api.as_deref())?;
    let ready = format!(
        "{} is ready: memory mode {}, control socket {}\n",
        config.name,
        choice.mode,
        socket.as_path().display()
    );
    let outside = Outside {
        name: config.name.clone(),
        socket: ControlSocket::bind(socket)?,
        signals,
        started,
        kvm,
    };
    let event_loop = EventLoop::new(outside, &config.serial)?;
    let copy = CloneIdentity {
        name: config.name.to_string(),
        generation_id: random_id()?,
        wish: config.wish,
        attachments: config.attachments.clone(),
    };
    let machine = StoredMachine::new(&snapshot, &copy)?;
    let wiring = Wiring {
        serial,
        requests: event_loop.requests.clone(),
        fatal: fatal_sink(&event_loop.notifier),
    };
    log::info!(
        "resuming {} from {}, memory mode {}: {}",
        config.name,
        config.directory.display(),
        choice.mode,
        choice.reason
    );
    let record = Record::new(started, choice, &snapshot, ready);
    match choice.mode {
        MemoryMode::Lazy | MemoryMode::Auto => {
            lazy::begin(
                &event_loop,
                lazy::Resume {
                    config,
                    snapshot,
                    machine,
                    wiring,
                    record,
                },
            )?;
        }
        MemoryMode::Eager => {
            direct::resume(
                &event_loop,
                machine.build(Memory::Read, wiring)?,
                record,
                &config,
            )?;
        }
        MemoryMode::Mapped => {
            direct::resume(
                &event_loop,
                machine.build(Memory::Mapped, wiring)?,
                record,
                &config,
            )?;
        }
    }
    event_loop.serve()
}
