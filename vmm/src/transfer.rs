//! A machine as the migration engine wants it: the only place that knows both.
//!
//! At the source a [`Machine`] is held, saved and, if it stays, released. At the destination an
//! offer becomes an [`Assembly`], whose RAM the engine fills while the state turns it into a
//! [`Machine`].

mod stored;

use std::fmt;
use std::sync::Arc;

use kvm_bindings::CpuId;
use migration::{
    ArrivingMemory, DestinationVm, Hints, MachineError, Offer, PageBitmap, PeerText, RamMapping,
    Refusal, SourceVm,
};
use serde::{Deserialize, Serialize};

use crate::boot::{RamLayout, VcpuCount, cpuid};
use crate::bounded::at_most;
use crate::config::{BalloonMode, DISKS_MAX};
use crate::host::{HostKvm, HostMemory, KvmKind};
use crate::kvm::Hypervisor;
use crate::machine::{
    Assembly, Blueprint, CpuModel, DiskSpec, Disks, Machine, MachineState, Wiring,
};
use crate::memory::{self, GuestRam, MemoryError, PAGE_BYTES};

pub use stored::{CloneIdentity, Memory, StoredError, StoredMachine, writable_disk};

/// Changes whenever [`Demands`] does.
const VERSION: u32 = 3;

/// What a machine asks of its destination beyond RAM and a number of vCPUs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Demands {
    version: u32,
    cpu: CpuModel,
    balloon: BalloonMode,
    #[serde(deserialize_with = "at_most::<DISKS_MAX, _, _>")]
    disks: Vec<DiskSpec>,
    kernel: String,
    generation_id: [u8; 16],
}

impl Demands {
    pub(crate) fn new(cpu: CpuModel, blueprint: &Blueprint) -> Self {
        let Blueprint {
            vcpus: _, // these two stand in the offer
            memory: _,
            balloon,
            disks,
            kernel,
            generation_id,
        } = blueprint;
        Self {
            version: VERSION,
            cpu,
            balloon: *balloon,
            disks: disks.clone(),
            kernel: kernel.clone(),
            generation_id: *generation_id,
        }
    }
}

/// A machine that may leave.
#[derive(Debug)]
pub struct Departure {
    name: String,
    machine: Arc<Machine>,
}

impl Departure {
    /// Prepares `machine` to leave under `name`, which the destination shows to people.
    #[must_use]
    pub fn new(name: String, machine: Arc<Machine>) -> Self {
        Self { name, machine }
    }
}

impl SourceVm for Departure {
    fn offer(&self) -> Result<Offer, MachineError> {
        let blueprint = self.machine.blueprint();
        let demands = Demands::new(self.machine.cpu().clone(), blueprint);
        Ok(Offer {
            name: PeerText::from(self.name.as_str()),
            memory: memory::frames_of(blueprint.memory)?,
            vcpus: u32::from(blueprint.vcpus.get()),
            machine: postcard::to_stdvec(&demands)?,
        })
    }

    fn ram(&self) -> RamMapping {
        self.machine.ram().mapping()
    }

    fn start_tracking(&self) -> Result<(), MachineError> {
        Ok(self.machine.start_tracking()?)
    }

    fn start_hinting(&self) {
        self.machine.start_hinting();
    }

    fn take_hints(&self, free: &mut PageBitmap) -> Hints {
        self.machine.take_hints(free)
    }

    fn stop_hinting(&self) {
        self.machine.stop_hinting();
    }

    fn take_dirty(&self, dirty: &mut PageBitmap) -> Result<(), MachineError> {
        Ok(self.machine.take_dirty(dirty)?)
    }

    fn stop_tracking(&self) -> Result<(), MachineError> {
        self.machine.release_hints();
        Ok(self.machine.stop_tracking()?)
    }

    fn pause(&self) -> Result<(), MachineError> {
        Ok(self.machine.hold()?)
    }

    fn save(&self) -> Result<Vec<u8>, MachineError> {
        let state = self.machine.save()?.encode()?;
        // Who goes on from this state may do so on another host.
        for disk in self.machine.devices().disks() {
            disk.image().sync()?;
        }
        Ok(state)
    }

    fn resume(&self) -> Result<(), MachineError> {
        Ok(self.machine.release()?)
    }
}

/// How far an arrival has come.
#[derive(Debug, Default)]
enum Stage {
    #[default]
    Empty,
    /// RAM and KVM objects exist.
    Prepared {
        assembly: Box<Assembly>,
        cpu: CpuModel,
    },
    /// The state is in; the guest waits for the token.
    Restored(Arc<Machine>),
    /// The guest runs here.
    Running,
}

/// What an arrival is to the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// It is the one, and comes from elsewhere.
    Moved,
    /// It is one copy of perhaps many, and has a generation id of its own.
    Copied {
        /// Pages of its memory that are not zero.
        stored_pages: u64,
    },
}

/// Whether who sends a machine may name files of this host, which become its disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Files {
    /// It is trusted, or is on this host.
    Named,
    /// It may be anybody.
    Withheld,
}

/// A machine that may arrive.
pub struct Arrival {
    files: Files,
    passage: Passage,
    wiring: Wiring,
    arrived: Box<dyn FnMut(Arc<Machine>) + Send>,
    stage: Stage,
}

impl fmt::Debug for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrival")
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}

/// The engine called out of order.
#[derive(Debug, thiserror::Error)]
#[error("no machine is prepared to take the state")]
struct OutOfOrder;

impl Arrival {
    /// Waits for a machine to connect by `wiring`; `arrived` is told of it just before it runs.
    #[must_use]
    pub fn new(wiring: Wiring, arrived: impl FnMut(Arc<Machine>) + Send + 'static) -> Self {
        Self {
            files: Files::Named,
            passage: Passage::Moved,
            wiring,
            arrived: Box::new(arrived),
            stage: Stage::Empty,
        }
    }

    /// The same for one that may come from anybody, or not.
    #[must_use]
    pub fn with_files(self, files: Files) -> Self {
        Self { files, ..self }
    }

    /// The same for one that comes by this `passage`.
    #[must_use]
    pub fn by(self, passage: Passage) -> Self {
        Self { passage, ..self }
    }
}

impl DestinationVm for Arrival {
    fn prepare(&mut self, offer: &Offer) -> Result<RamMapping, Refusal> {
        if self.files == Files::Withheld && !understand(offer)?.0.disks.is_empty() {
            return Err(Refusal::Machine(PeerText::from(
                "the VM has disks, and opens no files there as long as anybody may send one: \
                 give --key or --tls at both ends",
            )));
        }
        let (assembly, cpu) = assemble(offer, self.passage, GuestRam::new)?;
        let ram = assembly.ram().mapping();
        self.stage = Stage::Prepared {
            assembly: Box::new(assembly),
            cpu,
        };
        Ok(ram)
    }

    fn restore(&mut self, state: &[u8], memory: ArrivingMemory) -> Result<(), MachineError> {
        let Stage::Prepared { assembly, cpu } = std::mem::take(&mut self.stage) else {
            return Err(OutOfOrder.into());
        };
        let state = MachineState::decode(state)?;
        if self.passage == Passage::Moved {
            assembly.disks().inherit()?;
        }
        let machine = assembly.restore(state, cpu, self.wiring.clone(), Some(memory))?;
        if self.passage != Passage::Moved {
            machine.announce_generation()?;
        }
        self.stage = Stage::Restored(Arc::new(machine));
        Ok(())
    }

    fn resume(&mut self) -> Result<(), MachineError> {
        let Stage::Restored(machine) = std::mem::replace(&mut self.stage, Stage::Running) else {
            return Err(OutOfOrder.into());
        };
        (self.arrived)(Arc::clone(&machine));
        machine.start()?;
        Ok(())
    }
}

/// The refusal that tells of a failure here.
fn machine(error: &(dyn std::error::Error + 'static)) -> Refusal {
    Refusal::Machine(PeerText::chain(error))
}

/// Builds the machine that `offer` asks for, around the RAM that `provide` maps, if this host can.
fn assemble(
    offer: &Offer,
    passage: Passage,
    provide: impl FnOnce(RamLayout) -> Result<GuestRam, MemoryError>,
) -> Result<(Assembly, CpuModel), Refusal> {
    check_memory(offer, passage)?;
    let (blueprint, cpu) = understand(offer)?;
    let disks = open_disks(&blueprint, passage)?;
    let host = HostKvm::open().map_err(|error| machine(&error))?;
    let ram = provide(blueprint.memory).map_err(|error| machine(&error))?;
    let assembly = Assembly::with_ram(Hypervisor::new(host), blueprint, disks, ram)
        .map_err(|error| machine(&error))?;
    let here = assembly.host_cpu().map_err(|error| machine(&error))?;
    check_cpu(&here, &cpu)?;
    Ok((assembly, cpu))
}

/// Opens the disks of a VM. Those of one that is moved are its source's until it is handed over; a copy
/// is another VM, and has them for itself.
fn open_disks(blueprint: &Blueprint, passage: Passage) -> Result<Disks, Refusal> {
    let disks = Disks::of_known_vm(&blueprint.disks).map_err(|error| machine(&error))?;
    match passage {
        Passage::Moved => {}
        Passage::Copied { .. } => disks.claim().map_err(|error| machine(&error))?,
    }
    Ok(disks)
}

/// What `offer` asks for, if it makes sense.
pub(crate) fn understand(offer: &Offer) -> Result<(Blueprint, CpuModel), Refusal> {
    let demands: Demands = postcard::from_bytes(&offer.machine).map_err(|error| machine(&error))?;
    let Demands {
        version,
        cpu,
        balloon,
        disks,
        kernel,
        generation_id,
    } = demands;
    if version != VERSION {
        return Err(Refusal::Machine(PeerText::from(format!(
            "it builds machines of version {VERSION}, the source has one of version {version}"
        ))));
    }
    let memory = RamLayout::new(offer.memory.pages().saturating_mul(PAGE_BYTES))
        .map_err(|error| machine(&error))?;
    let frames = memory::frames_of(memory).map_err(|error| machine(&error))?;
    if frames != offer.memory {
        return Err(Refusal::Machine(PeerText::from(
            "the VM's memory lies at addresses where it cannot lie there",
        )));
    }
    if let Some(disk) = disks.iter().find(|disk| !disk.path.is_absolute()) {
        return Err(Refusal::Machine(PeerText::from(format!(
            "the path of the VM's disk `{}` does not begin with a slash",
            disk.path.display()
        ))));
    }
    let vcpus = VcpuCount::new(offer.vcpus).map_err(|_| Refusal::Vcpus {
        needed: offer.vcpus,
        available: u32::from(crate::boot::VCPUS_MAX),
    })?;
    Ok((
        Blueprint {
            vcpus,
            memory,
            balloon,
            disks,
            kernel,
            generation_id,
        },
        cpu,
    ))
}

/// RAM is not reserved, but a VM that is known not to fit is not taken. Of many copies none touches
/// all of its memory, or there would not be many.
fn check_memory(offer: &Offer, passage: Passage) -> Result<(), Refusal> {
    let needed_pages = match passage {
        Passage::Moved => offer.memory.pages(),
        Passage::Copied { stored_pages } => stored_pages,
    };
    let needed_bytes = needed_pages.saturating_mul(PAGE_BYTES);
    let available_bytes = HostMemory::now().available_bytes;
    if available_bytes < needed_bytes {
        return Err(Refusal::Memory {
            needed_bytes,
            available_bytes,
        });
    }
    Ok(())
}

/// Refuses a guest whose CPU has what `here` lacks.
pub(crate) fn check_cpu(here: &CpuModel, wanted: &CpuModel) -> Result<(), Refusal> {
    if here.kvm != wanted.kvm {
        return Err(kind_mismatch(here.kvm, wanted.kvm));
    }
    let leaves = |model: &CpuModel| {
        CpuId::from_entries(&model.cpuid).map_err(|_| too_many_leaves(model.cpuid.len()))
    };
    let missing = cpuid::superset_missing(&leaves(here)?, &leaves(wanted)?);
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
    Err(Refusal::Machine(PeerText::from(format!(
        "its CPU lacks what the guest was started with: {}",
        names.join(", ")
    ))))
}

fn too_many_leaves(count: usize) -> Refusal {
    Refusal::Machine(PeerText::from(format!(
        "the VM's CPU has {count} CPUID leaves"
    )))
}

fn kind_mismatch(here: KvmKind, wanted: KvmKind) -> Refusal {
    Refusal::Machine(PeerText::from(format!(
        "the VM was started on {wanted}, that host has {here}"
    )))
}
