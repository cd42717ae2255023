//! A machine as the migration engine wants it: the only place that knows both.
//!
//! At the source a [`Machine`] is held, saved and, if it stays, released. At the destination an
//! offer becomes an [`Assembly`], whose RAM the engine fills while the state turns it into a
//! [`Machine`].

mod demands;
mod stored;

use std::fmt;
use std::sync::Arc;

use devices::blk::DiskError;
use migration::{
    ArrivingMemory, DestinationVm, FrozenRam, Hints, MachineError, Offer, PageBitmap, PeerText,
    RamMapping, Refusal, SourceVm,
};

use crate::config::Attachments;
pub use crate::machine::Passage;
use crate::machine::{Assembly, CpuModel, Machine, MachineState, Wiring};
use crate::memory::{self, GuestRam};

use demands::assemble;
#[cfg(fuzzing)]
pub(crate) use demands::check_cpu;
pub(crate) use demands::{Demands, understand};
pub use stored::{CloneIdentity, Exclusive, Memory, StoredError, StoredMachine};

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

    /// Brings what the guest has written so far to stable storage.
    fn sync_disks(&self) -> Result<(), DiskError> {
        let mut disks = self.machine.devices().disks().iter();
        disks.try_for_each(|disk| disk.image().sync())
    }
}

impl SourceVm for Departure {
    fn offer(&self) -> Result<Offer, MachineError> {
        // Much of what has to be on stable storage at the hand-over gets there while the guest runs.
        self.sync_disks()?;
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

    fn pause(&self) -> Result<FrozenRam, MachineError> {
        Ok(self.machine.hold()?)
    }

    fn save(&self) -> Result<Vec<u8>, MachineError> {
        let state = self.machine.save()?.encode()?;
        // Who goes on from this state may do so on another host.
        self.sync_disks()?;
        Ok(state)
    }

    fn resume(&self, ram: Option<FrozenRam>) -> Result<(), MachineError> {
        match ram {
            Some(ram) => self.machine.release(ram)?,
            // It could not be held.
            None => self.machine.start()?,
        }
        Ok(())
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

/// Whether who sends a machine may name files and interfaces of this host, which become its disks,
/// network cards and socket device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Files {
    /// It is trusted.
    Named,
    /// It may be anybody.
    Withheld,
}

/// A machine that may arrive.
pub struct Arrival {
    files: Files,
    attachments: Attachments,
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
            attachments: Attachments::default(),
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

    /// The same for one whose devices are attached there.
    #[must_use]
    pub fn with_attachments(self, attachments: Attachments) -> Self {
        Self {
            attachments,
            ..self
        }
    }

    /// The same for one that comes by this `passage`.
    #[must_use]
    pub fn by(self, passage: Passage) -> Self {
        Self { passage, ..self }
    }
}

impl DestinationVm for Arrival {
    fn prepare(&mut self, offer: &Offer) -> Result<RamMapping, Refusal> {
        if self.files == Files::Withheld {
            let (blueprint, _) = understand(offer)?;
            // What `--net` and `--vsock` name here is not the sender's choice.
            let Attachments { taps, socket } = &self.attachments;
            let names_taps = blueprint.nets.len() > taps.len();
            let names_socket = blueprint.vsock.is_some() && socket.is_none();
            if names_taps || names_socket || !blueprint.disks.is_empty() {
                return Err(Refusal::Machine(PeerText::from(
                    "the VM has disks, network cards or a socket device, and opens no files or interfaces \
                     there as long as anybody may send one: give --key or --tls at both ends",
                )));
            }
        }
        let (assembly, cpu) = assemble(offer, self.passage, &self.attachments, GuestRam::new)?;
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
