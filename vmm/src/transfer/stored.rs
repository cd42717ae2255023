//! A machine in a snapshot: its copy here, with an identity of its own.

use std::path::PathBuf;
use std::sync::Arc;

use devices::blk::Access;
use devices::net::InterfaceName;
use migration::snapshot::{Snapshot, SnapshotError, StoredMemory, fill};
use migration::{Offer, PeerText, Prefetch, Refusal, StoredVm};

use super::{Demands, Passage, assemble};
use crate::config::Attachments;
use crate::machine::{DiskSpec, Machine, MachineError, MachineState, StateError, Wiring, Wish};
use crate::memory::{GuestRam, MemoryError};

/// How memory that is there before the guest runs gets there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// All of it is read.
    Read,
    /// The file is mapped.
    Mapped,
}

/// What makes a copy another machine than its original.
#[derive(Debug, Clone)]
pub struct CloneIdentity {
    /// Its name.
    pub name: String,
    /// Its generation id.
    pub generation_id: [u8; 16],
    /// What its user wants of it; what the original's wanted if it is `None`.
    pub wish: Option<Wish>,
    /// Where its devices are attached.
    pub attachments: Attachments,
}

/// The machine of a snapshot, to be made here once more.
#[derive(Debug)]
pub struct StoredMachine {
    offer: Offer,
    state: Vec<u8>,
    memory: Arc<StoredMemory>,
    attachments: Attachments,
}

/// A machine that cannot be made from a snapshot here.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// The snapshot is of a machine that this host cannot run.
    #[error("this host cannot run the VM of the snapshot")]
    Unfit(#[source] Refusal),
    /// The description of the machine cannot be read.
    #[error("the snapshot does not describe a machine")]
    Demands(#[source] postcard::Error),
    /// The state cannot be read.
    #[error("the state in the snapshot is unusable")]
    State(#[from] StateError),
    /// The memory cannot be read.
    #[error("cannot read the memory of the snapshot")]
    Read(#[from] SnapshotError),
    /// RAM could not be mapped.
    #[error("cannot provide the guest's memory")]
    Memory(#[from] MemoryError),
    /// The machine cannot be built or does not take the state.
    #[error("cannot restore the machine")]
    Machine(#[from] MachineError),
}

/// What only one copy of a machine can have at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exclusive {
    /// A disk that it may write.
    Disk(PathBuf),
    /// The interface of a network card.
    Tap(InterfaceName),
    /// The socket of its socket device.
    Socket(PathBuf),
}

impl Exclusive {
    /// The first of them that the machine of `snapshot` has, if there is one that is not attached elsewhere
    /// in each copy.
    #[must_use]
    pub fn of(snapshot: &Snapshot, attachments: &Attachments) -> Option<Self> {
        let Attachments { taps, socket } = attachments;
        // Another version's demands are left to whoever resumes it, and refuses them.
        let demands: Demands = postcard::from_bytes(&snapshot.offer().machine).ok()?;
        let is_writable = |disk: &DiskSpec| disk.shape.access == Access::ReadWrite;
        let disk = demands.disks.into_iter().find(is_writable);
        let tap = || demands.nets.into_iter().nth(taps.len());
        let vsock = || demands.vsock.filter(|_| socket.is_none());
        disk.map(|disk| Self::Disk(disk.path))
            .or_else(|| tap().map(|net| Self::Tap(net.tap)))
            .or_else(|| vsock().map(|vsock| Self::Socket(vsock.path)))
    }
}

impl StoredMachine {
    /// The machine of `snapshot` as that `copy` of it.
    ///
    /// # Errors
    /// The snapshot is of no machine of this version.
    pub fn new(snapshot: &Snapshot, copy: &CloneIdentity) -> Result<Self, StoredError> {
        let mut offer = snapshot.offer().clone();
        offer.name = PeerText::from(copy.name.as_str());
        // Another version's demands are left as they are: whoever understands them refuses.
        if let Ok(mut demands) = postcard::from_bytes::<Demands>(&offer.machine) {
            demands.generation_id = copy.generation_id;
            offer.machine = postcard::to_stdvec(&demands).map_err(StoredError::Demands)?;
        }
        let state = match copy.wish {
            None => snapshot.state().to_vec(),
            Some(wish) => {
                let mut state = MachineState::decode(snapshot.state())?;
                state.paused_by_user = wish == Wish::Paused;
                state.encode()?
            }
        };
        Ok(Self {
            offer,
            state,
            memory: Arc::clone(snapshot.memory()),
            attachments: copy.attachments.clone(),
        })
    }

    /// The machine as the migration engine resumes it.
    #[must_use]
    pub fn stored(&self, prefetch: Prefetch) -> StoredVm {
        StoredVm {
            offer: self.offer.clone(),
            state: self.state.clone(),
            memory: Arc::clone(&self.memory),
            prefetch,
        }
    }

    /// How it gets here through the engine.
    #[must_use]
    pub fn passage(&self) -> Passage {
        Passage::Copied {
            stored_pages: self.memory.present().count(),
        }
    }

    /// Makes the machine with all of its memory. It does not run yet.
    ///
    /// # Errors
    /// This host cannot run it, or the memory or the state is unusable.
    pub fn build(self, memory: Memory, wiring: Wiring) -> Result<Machine, StoredError> {
        let passage = match memory {
            Memory::Read => self.passage(),
            Memory::Mapped => Passage::Copied { stored_pages: 0 },
        };
        let state = MachineState::decode(&self.state)?;
        let (assembly, cpu) =
            assemble(
                &self.offer,
                passage,
                &self.attachments,
                |layout| match memory {
                    Memory::Read => GuestRam::new(layout),
                    Memory::Mapped => GuestRam::of_snapshot(layout, Arc::clone(&self.memory)),
                },
            )
            .map_err(StoredError::Unfit)?;
        if memory == Memory::Read {
            fill(&self.memory, &assembly.ram().mapping())?;
        }
        let machine = assembly.restore(state, cpu, wiring, None)?;
        machine.announce_generation()?;
        Ok(machine)
    }
}
