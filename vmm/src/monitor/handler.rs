//! What the monitor does when a client of the control socket asks.

use std::process;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use balloon::{BalloonHandle, PAGE_BYTES};
use devices::blk::{Access, DiskHandle};
use devices::net::NetHandle;
use devices::vsock::VsockHandle;
use migration::{CancelToken, Cancellation};

use super::departure::{self, Ticket};
use super::notices::{Notice, Notifier};
use super::place::{Activity, Errand, Place};
use super::snapshot;
use super::{Ending, MonitorError};
use crate::config::{MigrateConfig, SnapshotConfig, VmName};
use crate::control::{
    BalloonInfo, ControlHandler, DiskInfo, Failure, NetInfo, Reply, Request, SelfBallooningWish,
    VmInfo, VmState, VsockInfo,
};
use crate::host::{self, KvmKind};
use crate::machine::{Machine, Wish};

/// How long the thread of a migration or a snapshot waits for a client that does not read the report.
const REPORT_PATIENCE: Duration = Duration::from_secs(5);

/// Serves the control socket of the monitor of one VM.
#[derive(Debug)]
pub(super) struct Handler {
    pub(super) name: VmName,
    pub(super) started: Instant,
    pub(super) kvm: KvmKind,
    pub(super) place: Place,
    pub(super) notifier: Notifier,
}

impl ControlHandler for Handler {
    fn handle(&mut self, request: Request, reply: Reply) {
        let done = match request {
            Request::Info => return reply.ok(&self.info()),
            Request::Balloon { target_bytes, auto } => {
                return match self.balloon(target_bytes, auto) {
                    Ok(balloon) => reply.ok(&balloon),
                    Err(error) => reply.error(Failure::of(&error)),
                };
            }
            Request::Migrate(config) => return self.migrate(config, reply),
            Request::Snapshot(config) => return self.snapshot(config, reply),
            Request::Stop => {
                self.notifier.send(Notice::End(Ending::Stopped));
                Ok(())
            }
            Request::Pause => self.ask(Wish::Paused),
            Request::Resume => self.ask(Wish::Running),
            Request::Cancel => self.cancel(),
        };
        match done {
            Ok(()) => reply.ok(&()),
            Err(error) => reply.error(Failure::of(&error)),
        }
    }
}

impl Handler {
    fn machine(&self) -> Result<Arc<Machine>, MonitorError> {
        self.place.machine().ok_or(MonitorError::NoGuest)
    }

    fn ask(&self, wish: Wish) -> Result<(), MonitorError> {
        Ok(self.machine()?.ask(wish)?)
    }

    fn cancel(&self) -> Result<(), MonitorError> {
        match &self.place.lock().activity {
            Activity::Busy(_, token) | Activity::ArrivingFirst(_, token) => match token.cancel() {
                Cancellation::Accepted => Ok(()),
                Cancellation::TooLate => Err(MonitorError::CancelTooLate),
            },
            Activity::None | Activity::Arriving => Err(MonitorError::NothingToCancel),
        }
    }

    fn balloon(
        &self,
        target_bytes: Option<u64>,
        auto: Option<SelfBallooningWish>,
    ) -> Result<BalloonInfo, MonitorError> {
        let machine = self.machine()?;
        let balloon = machine.devices().balloon().ok_or(MonitorError::NoBalloon)?;
        let self_ballooning = match auto {
            Some(SelfBallooningWish::On(settings)) if !settings.is_valid() => {
                return Err(MonitorError::SelfBallooning { settings });
            }
            Some(SelfBallooningWish::On(settings)) => Some(settings),
            Some(SelfBallooningWish::Off) => None,
            None => balloon.status().self_ballooning,
        };
        let target_pages = match target_bytes {
            Some(_) if self_ballooning.is_some() => return Err(MonitorError::TargetFollows),
            Some(target_bytes) => Some(target_pages(&machine, target_bytes)?),
            None => None,
        };
        if auto.is_some() {
            balloon.set_self_ballooning(self_ballooning);
            self.notifier.send(Notice::Ballooning);
        }
        if let Some(target_pages) = target_pages {
            balloon.set_target(target_pages);
        }
        // They are there the next time.
        balloon.request_statistics();
        Ok(balloon_info(balloon))
    }

    fn migrate(&self, config: MigrateConfig, reply: Reply) {
        self.begin(Errand::Move, reply, move |ticket| {
            departure::run(ticket, &config);
        });
    }

    fn snapshot(&self, config: SnapshotConfig, reply: Reply) {
        self.begin(Errand::Snapshot, reply, move |ticket| {
            snapshot::run(ticket, &config);
        });
    }

    /// Has another thread do something with the guest that takes a while.
    fn begin(&self, errand: Errand, reply: Reply, work: impl FnOnce(Ticket) + Send + 'static) {
        let token = match self.engage(errand) {
            Ok(token) => token,
            Err(error) => return reply.error(Failure::of(&error)),
        };
        let ticket = Ticket {
            name: self.name.clone(),
            place: self.place.clone(),
            notifier: self.notifier.clone(),
            cancel: token,
            reply: reply.with_patience(REPORT_PATIENCE),
        };
        let name = match errand {
            Errand::Move => "migration",
            Errand::Snapshot => "snapshot",
        };
        let spawned = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(ticket));
        if let Err(error) = spawned {
            // The reply went with the closure and has told the client that there is no answer.
            log::warn!("cannot start the thread of the {name}: {error}");
            self.place.settle();
        }
    }

    /// Marks the guest as busy, if it is here and nothing else is going on with it.
    fn engage(&self, errand: Errand) -> Result<CancelToken, MonitorError> {
        let mut tenant = self.place.lock();
        if tenant.machine.is_none() {
            return Err(MonitorError::NoGuest);
        }
        let token = CancelToken::new()?;
        tenant.activity = match tenant.activity {
            Activity::None => Activity::Busy(errand, token.clone()),
            Activity::Arriving => Activity::ArrivingFirst(errand, token.clone()),
            Activity::Busy(Errand::Move, _) | Activity::ArrivingFirst(Errand::Move, _) => {
                return Err(MonitorError::AlreadyLeaving);
            }
            Activity::Busy(Errand::Snapshot, _) | Activity::ArrivingFirst(Errand::Snapshot, _) => {
                return Err(MonitorError::AlreadySnapshotting);
            }
        };
        Ok(token)
    }

    fn info(&self) -> VmInfo {
        let tenant = self.place.lock();
        let blueprint = tenant.machine.as_ref().map(|machine| machine.blueprint());
        VmInfo {
            name: self.name.clone(),
            state: state_of(tenant.machine.as_deref(), &tenant.activity),
            pid: process::id(),
            vcpus: blueprint.map_or(0, |blueprint| blueprint.vcpus.get()),
            memory_bytes: blueprint.map_or(0, |blueprint| blueprint.memory.memory_bytes()),
            resident_bytes: host::resident_bytes().unwrap_or(0),
            uptime_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            kvm: self.kvm.to_string(),
            kernel: blueprint.map(|blueprint| blueprint.kernel.clone()),
            migration: tenant.migration.clone(),
            balloon: tenant
                .machine
                .as_ref()
                .and_then(|machine| machine.devices().balloon())
                .map(balloon_info),
            disks: tenant
                .machine
                .as_ref()
                .map_or_else(Vec::new, |machine| disk_infos(machine.devices().disks())),
            nets: tenant
                .machine
                .as_ref()
                .map_or_else(Vec::new, |machine| net_infos(machine.devices().nets())),
            vsock: tenant
                .machine
                .as_ref()
                .and_then(|machine| machine.devices().vsock())
                .map(vsock_info),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// A target for the balloon of `machine`, in pages.
fn target_pages(machine: &Machine, target_bytes: u64) -> Result<u32, MonitorError> {
    let memory_bytes = machine.blueprint().memory.memory_bytes();
    let fits = target_bytes <= memory_bytes && target_bytes.is_multiple_of(PAGE_BYTES);
    u32::try_from(target_bytes / PAGE_BYTES)
        .ok()
        .filter(|_| fits)
        .ok_or(MonitorError::BalloonTarget {
            target_bytes,
            memory_bytes,
        })
}

fn disk_infos(disks: &[DiskHandle]) -> Vec<DiskInfo> {
    let info = |disk: &DiskHandle| {
        let shape = disk.image().shape();
        DiskInfo {
            path: disk.image().path().display().to_string(),
            size_bytes: shape.size_bytes,
            read_only: shape.access == Access::ReadOnly,
            counters: disk.counters(),
        }
    };
    disks.iter().map(info).collect()
}

fn net_infos(nets: &[NetHandle]) -> Vec<NetInfo> {
    let info = |net: &NetHandle| NetInfo {
        tap: net.tap().name().to_string(),
        mac: net.mac().to_string(),
        link: net.link(),
        counters: net.counters(),
    };
    nets.iter().map(info).collect()
}

fn vsock_info(vsock: &VsockHandle) -> VsockInfo {
    VsockInfo {
        socket: vsock.path().display().to_string(),
        cid: vsock.cid().get(),
        counters: vsock.counters(),
    }
}

fn balloon_info(balloon: &BalloonHandle) -> BalloonInfo {
    let status = balloon.status();
    BalloonInfo {
        target_bytes: u64::from(status.target_pages) * PAGE_BYTES,
        actual_bytes: u64::from(status.actual_pages) * PAGE_BYTES,
        reported_bytes: status.reported_bytes,
        reported_bytes_per_s: status.reported_bytes_per_s,
        discarded_bytes: status.discarded_bytes,
        discarded_bytes_per_s: status.discarded_bytes_per_s,
        resident_bytes: host::resident_bytes().unwrap_or(0),
        self_ballooning: status.self_ballooning,
        statistics: status.statistics,
    }
}

fn state_of(machine: Option<&Machine>, activity: &Activity) -> VmState {
    match (machine, activity) {
        (None, _) => VmState::Receiving,
        (Some(_), Activity::Busy(Errand::Move, _)) => VmState::Migrating,
        (Some(_), Activity::Busy(Errand::Snapshot, _)) => VmState::Snapshotting,
        (Some(_), Activity::Arriving | Activity::ArrivingFirst(..)) => VmState::Arriving,
        (Some(machine), Activity::None) => match machine.wish() {
            Wish::Running => VmState::Running,
            Wish::Paused => VmState::Paused,
        },
    }
}
