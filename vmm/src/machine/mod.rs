//! A virtual machine: built from a blueprint, then booted or restored, then paused, resumed and
//! saved.
//!
//! | call | when | promise |
//! |---|---|---|
//! | [`Assembly::new`] | first | KVM objects and RAM exist; no page of RAM is touched |
//! | [`Assembly::boot`] | a new guest | kernel loaded, vCPUs at its entry, paused |
//! | [`Assembly::restore`] | a guest that comes from elsewhere | all state set, vCPUs paused; may touch RAM |
//! | [`Machine::start`] | once, after one of them | the guest runs unless its user had paused it |
//! | [`Machine::hold`] | migration, snapshot | vCPUs out of the guest, queues at rest |
//! | [`Machine::save`] | while held | the state, of a guest that cannot change it |
//! | [`Machine::release`] | the guest stays here | undoes `hold` |
//!
//! Any thread may call them; they exclude each other.

mod assembly;
mod blueprint;
mod custody;
mod devices;
mod disks;
mod nets;
mod reclaim;
mod state;
mod vsock;

pub use assembly::{Assembly, Wiring};
pub use blueprint::{Blueprint, CpuModel, Passage};
pub use custody::{Refused, Wish};
pub use devices::{DeviceSet, DevicesState, SharedTransport};
pub use disks::{DiskMismatch, DiskSpec, Disks, leave_disks, own_disks};
pub use nets::{Backends, NetMismatch, NetSpec, Nets};
pub use state::{MachineState, StateError};
pub use vsock::{VsockPort, VsockSpec};

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::devices::Interrupt;
use migration::{FrozenRam, Hints, PageBitmap, Pfn};

use crate::boot;
use crate::kvm;
use crate::memory::{self, GuestRam};
use crate::vcpu::{self, VcpuContext, VcpuHandle};
use custody::{Change, Custody};

/// An operation on a machine that failed.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// RAM could not be mapped.
    #[error("cannot provide the guest's memory")]
    Memory(#[from] memory::MemoryError),
    /// A KVM call failed.
    #[error("kvm does not do what the machine needs")]
    Kvm(#[from] kvm::KvmError),
    /// A device could not be made, stopped or restored.
    #[error("a device failed")]
    Device(#[from] ::devices::DeviceError),
    /// A disk is in use, or its storage failed.
    #[error("a disk cannot be used")]
    Disk(#[from] ::devices::blk::DiskError),
    /// The kernel could not be loaded.
    #[error("cannot boot the guest")]
    Boot(#[from] boot::BootError),
    /// A vCPU thread did not do as told.
    #[error("a vcpu failed")]
    Vcpu(#[from] vcpu::VcpuError),
    /// The guest is not here to be commanded.
    #[error(transparent)]
    Custody(#[from] Refused),
    /// The state cannot be read or written.
    #[error("the machine's state is unusable")]
    State(#[from] StateError),
    /// The state is of a machine with another number of parts.
    #[error("the state has {found} {what}, the machine {expected}")]
    Mismatch {
        /// The kind of part.
        what: &'static str,
        /// How many the state has.
        found: usize,
        /// How many the machine has.
        expected: usize,
    },
}

/// Whether a path is the same wherever it is opened, and fit to be shown.
fn is_plain(path: &Path) -> bool {
    let is_printable = |path: &str| !path.chars().any(char::is_control);
    path.is_absolute() && path.to_str().is_some_and(is_printable)
}

/// A guest and all it consists of. Dropping it ends the vCPU threads.
#[derive(Debug)]
pub struct Machine {
    // Declared in the order in which they go: threads, devices, KVM objects, RAM.
    vcpus: Vec<VcpuHandle>,
    devices: DeviceSet,
    context: Arc<VcpuContext>,
    blueprint: Blueprint,
    cpu: CpuModel,
    /// Tells the guest that its generation id has changed.
    generation: Interrupt,
    custody: Mutex<Custody>,
}

impl Machine {
    /// Runs the guest for the first time, unless its user had paused it elsewhere; programs of this host
    /// find it in either case.
    ///
    /// # Errors
    /// A device or vCPU does not start.
    pub fn start(&self) -> Result<(), MachineError> {
        let custody = self.lock();
        self.devices.settle_in();
        if custody.runs() {
            self.apply(Change::Start)
        } else {
            Ok(())
        }
    }

    /// Pauses or resumes the guest for its user.
    ///
    /// # Errors
    /// The guest is being moved, or a part of it does not obey.
    pub fn ask(&self, wish: Wish) -> Result<(), MachineError> {
        let mut custody = self.lock();
        let change = custody.ask(wish)?;
        self.apply(change)
    }

    /// What the user wants of the guest.
    #[must_use]
    pub fn wish(&self) -> Wish {
        self.lock().wish()
    }

    /// Stops the guest for a migration or snapshot: when it returns, no vCPU runs and no queue is
    /// worked on.
    ///
    /// # Errors
    /// Another one holds the guest, or a part of it does not obey; then the guest runs on.
    pub fn hold(&self) -> Result<FrozenRam, MachineError> {
        let mut custody = self.lock();
        let change = custody.hold()?;
        if let Err(error) = self.apply(change) {
            let change = custody.release();
            self.apply(change)?;
            return Err(error);
        }
        #[expect(
            unsafe_code,
            reason = "the one place where a guest is known to stand still"
        )]
        // SAFETY: no vCPU runs and no queue is served until a held machine is released, which takes
        // the value; to save it only reads its memory. A snapshot that is mapped is never written: a
        // newer one is another file.
        let frozen = unsafe { FrozenRam::new(self.ram().mapping()) };
        Ok(frozen)
    }

    /// Lets a held guest, whose memory is no longer lent, go on here.
    ///
    /// # Errors
    /// A part of it does not obey.
    pub fn release(&self, ram: FrozenRam) -> Result<(), MachineError> {
        drop(ram);
        let mut custody = self.lock();
        let change = custody.release();
        self.apply(change)
    }

    /// Reads the state of a held guest.
    ///
    /// # Errors
    /// A part of it cannot be read.
    pub fn save(&self) -> Result<MachineState, MachineError> {
        let custody = self.lock();
        let asked: Vec<_> = self.vcpus.iter().map(VcpuHandle::save).collect();
        let mut vcpus = Vec::with_capacity(asked.len());
        for answer in asked {
            vcpus.push(answer.wait()??);
        }
        Ok(MachineState {
            paused_by_user: custody.wish() == Wish::Paused,
            vcpus,
            vm: self.context.vm.save()?,
            devices: self.devices.save()?,
        })
    }

    /// Begins to note the pages that the guest and its devices write.
    ///
    /// # Errors
    /// KVM cannot do that.
    pub fn start_tracking(&self) -> Result<(), MachineError> {
        self.context.vm.start_dirty_log(self.ram())?;
        // What devices wrote before is of no interest.
        let mut before = PageBitmap::empty(self.ram().layout().pages());
        self.ram().take_written_by_devices(&mut before);
        Ok(())
    }

    /// Adds to `dirty` the pages that were written since the last call; their next write will be
    /// noted again.
    ///
    /// # Errors
    /// KVM refuses.
    pub fn take_dirty(&self, dirty: &mut PageBitmap) -> Result<(), MachineError> {
        self.context.vm.take_dirty_log(self.ram(), dirty)?;
        self.ram().take_written_by_devices(dirty);
        Ok(())
    }

    /// Ends what [`start_tracking`](Self::start_tracking) began.
    ///
    /// # Errors
    /// KVM refuses.
    pub fn stop_tracking(&self) -> Result<(), MachineError> {
        Ok(self.context.vm.stop_dirty_log(self.ram())?)
    }

    /// Asks the guest to name free pages, if it has a balloon through which it can.
    pub fn start_hinting(&self) {
        if let Some(balloon) = self.devices.balloon() {
            balloon.ask_for_hints();
        }
    }

    /// Adds to `free` the pages that the guest has named since the last call; says whether to expect
    /// more.
    pub fn take_hints(&self, free: &mut PageBitmap) -> Hints {
        let Some(balloon) = self.devices.balloon() else {
            return Hints::Complete;
        };
        let hints = balloon.take_hints();
        for named in hints.pages {
            for range in self.ram().pages_of(Pfn::new(named.start.0), named.pages) {
                free.insert_range(range);
            }
        }
        if hints.is_complete {
            Hints::Complete
        } else {
            Hints::Expected
        }
    }

    /// Takes no more of them. The guest keeps what it has named.
    pub fn stop_hinting(&self) {
        if let Some(balloon) = self.devices.balloon() {
            balloon.stop_hints();
        }
    }

    /// Lets the guest use again what it has named.
    pub fn release_hints(&self) {
        if let Some(balloon) = self.devices.balloon() {
            balloon.release_hints();
        }
    }

    /// Tells a guest that has not run here yet that it is a copy: the generation id of its blueprint
    /// is put where the guest looks, and an interrupt says so. May wait for that page to arrive.
    ///
    /// # Errors
    /// There is no memory at that place.
    pub fn announce_generation(&self) -> Result<(), MachineError> {
        boot::write_generation_id(self.ram().guest(), self.blueprint.generation_id)?;
        self.generation.trigger();
        Ok(())
    }

    /// What the machine is made of.
    #[must_use]
    pub fn blueprint(&self) -> &Blueprint {
        &self.blueprint
    }

    /// The CPU the guest was started on.
    #[must_use]
    pub fn cpu(&self) -> &CpuModel {
        &self.cpu
    }

    /// The guest's RAM.
    #[must_use]
    pub fn ram(&self) -> &GuestRam {
        &self.context.ram
    }

    /// The guest's devices.
    #[must_use]
    pub fn devices(&self) -> &DeviceSet {
        &self.devices
    }

    fn apply(&self, change: Change) -> Result<(), MachineError> {
        match change {
            Change::None => Ok(()),
            Change::Start => {
                self.devices.start();
                self.run_vcpus()
            }
            Change::Stop => {
                let asked: Vec<_> = self.vcpus.iter().map(VcpuHandle::pause).collect();
                for answer in asked {
                    answer.wait()?;
                }
                self.devices.stop();
                Ok(())
            }
        }
    }

    fn run_vcpus(&self) -> Result<(), MachineError> {
        let asked: Vec<_> = self.vcpus.iter().map(VcpuHandle::resume).collect();
        for answer in asked {
            answer.wait()?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Custody> {
        self.custody.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
