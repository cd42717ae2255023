//! A machine in the making: KVM objects and RAM are there, nothing has run, no page is touched.

use std::sync::{Arc, Mutex};

use ::balloon::Balloon;
use ::devices::{GuestRequestLine, SerialOutput};
use kvm_bindings::CpuId;
use migration::ArrivingMemory;

use super::custody::{Custody, Wish};
use super::devices::{self, Buses, DeviceSet, DevicesState, InterruptLines, Models};
use super::nets::Backends;
use super::reclaim::RamReclaim;
use super::vsock::VsockPort;
use super::{Blueprint, CpuModel, Disks, Machine, MachineError, MachineState};
use crate::boot::cpuid::{self, GuestClock};
use crate::boot::{self, BootSource, Platform, VcpuIndex};
use crate::config::BalloonMode;
use crate::kvm::{Hypervisor, KvmVm};
use crate::memory::GuestRam;
use crate::vcpu::{FatalSink, Vcpu, VcpuContext, VcpuHandle};

/// How a machine is connected to the process around it.
#[derive(Debug, Clone)]
pub struct Wiring {
    /// Where the guest's serial output goes.
    pub serial: SerialOutput,
    /// Where the guest's wish to power off or reset goes.
    pub requests: GuestRequestLine,
    /// Where a vCPU that cannot go on says so.
    pub fatal: FatalSink,
}

/// A machine without a guest in it.
#[derive(Debug)]
pub struct Assembly {
    vcpus: Vec<Vcpu>,
    lines: InterruptLines,
    vm: Arc<KvmVm>,
    ram: GuestRam,
    backends: Backends,
    blueprint: Blueprint,
}

impl Assembly {
    /// Makes the KVM objects and the RAM of `blueprint`, which tells of these `backends`.
    ///
    /// # Errors
    /// The host lacks something.
    pub fn new(
        hypervisor: Hypervisor,
        blueprint: Blueprint,
        backends: Backends,
    ) -> Result<Self, MachineError> {
        let ram = GuestRam::new(blueprint.memory)?;
        Self::with_ram(hypervisor, blueprint, backends, ram)
    }

    /// The same with RAM that is there already, and is as large as `blueprint` says.
    ///
    /// # Errors
    /// The host lacks something.
    pub fn with_ram(
        hypervisor: Hypervisor,
        blueprint: Blueprint,
        backends: Backends,
        ram: GuestRam,
    ) -> Result<Self, MachineError> {
        let vm = Arc::new(KvmVm::new(hypervisor, &ram)?);
        let lines = InterruptLines::connect(&vm, &blueprint)?;
        let mut vcpus = Vec::with_capacity(usize::from(blueprint.vcpus.get()));
        for VcpuIndex(index) in blueprint.vcpus.indices() {
            let index = u32::from(index);
            vcpus.push(Vcpu {
                index,
                fd: vm.create_vcpu(index)?,
            });
        }
        Ok(Self {
            vcpus,
            lines,
            vm,
            ram,
            backends,
            blueprint,
        })
    }

    /// The RAM, still untouched.
    #[must_use]
    pub fn ram(&self) -> &GuestRam {
        &self.ram
    }

    /// The disks, at rest.
    #[must_use]
    pub fn disks(&self) -> &Disks {
        &self.backends.disks
    }

    /// The CPU that this host can offer to a guest.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn host_cpu(&self) -> Result<CpuModel, MachineError> {
        Ok(CpuModel {
            kvm: self.vm.hypervisor().kind(),
            cpuid: self.guest_cpuid(VcpuIndex(0))?.as_slice().to_vec(),
            tsc_khz: self.tsc_khz(),
        })
    }

    /// Loads a kernel; the vCPUs stand at its entry.
    ///
    /// # Errors
    /// The kernel or what goes with it is unusable, or KVM refuses.
    pub fn boot(self, source: BootSource<'_>, wiring: Wiring) -> Result<Machine, MachineError> {
        let platform = Platform {
            ram: self.blueprint.memory,
            vcpus: self.blueprint.vcpus,
            virtio: devices::windows(&self.blueprint).collect(),
            generation_id: self.blueprint.generation_id,
        };
        let entry = boot::load(self.ram.guest(), source, &platform)?;
        for (vcpu, index) in self.vcpus.iter().zip(self.blueprint.vcpus.indices()) {
            let cpuid = self.guest_cpuid(index)?;
            self.vm.boot_vcpu(vcpu.index, &vcpu.fd, &cpuid, &entry)?;
        }
        let cpu = self.host_cpu()?;
        self.finish(cpu, Wish::Running, wiring, None)
    }

    /// Takes over a guest that ran on `cpu`, and whose memory is `arriving` or there: sets all of its
    /// state, which may touch RAM.
    ///
    /// vCPUs come before the in-kernel devices, so that an interrupt those raise finds its APIC;
    /// our devices come last, because a restored serial port raises its interrupt at once.
    ///
    /// # Errors
    /// The state does not fit this machine or this host.
    pub fn restore(
        self,
        state: MachineState,
        cpu: CpuModel,
        wiring: Wiring,
        arriving: Option<ArrivingMemory>,
    ) -> Result<Machine, MachineError> {
        let MachineState {
            paused_by_user,
            vcpus,
            vm,
            devices,
        } = state;
        if vcpus.len() != self.vcpus.len() {
            return Err(MachineError::Mismatch {
                what: "vcpus",
                found: vcpus.len(),
                expected: self.vcpus.len(),
            });
        }
        for (vcpu, state) in self.vcpus.iter().zip(&vcpus) {
            self.vm.restore_vcpu(vcpu.index, &vcpu.fd, state)?;
        }
        self.vm.restore(&vm)?;
        let wish = if paused_by_user {
            Wish::Paused
        } else {
            Wish::Running
        };
        self.finish(cpu, wish, wiring, Some((devices, arriving)))
    }

    fn finish(
        self,
        cpu: CpuModel,
        wish: Wish,
        wiring: Wiring,
        saved: Option<(DevicesState, Option<ArrivingMemory>)>,
    ) -> Result<Machine, MachineError> {
        let Self {
            vcpus,
            lines,
            vm,
            ram,
            backends: Backends { disks, nets, vsock },
            blueprint,
        } = self;
        let fatal = wiring.fatal.clone();
        let (saved, arriving) = saved.unzip();
        let balloon = || {
            let reclaim = RamReclaim::new(ram.clone(), arriving.flatten());
            Balloon::new(ram.guest().clone(), Box::new(reclaim))
        };
        let balloon = match blueprint.balloon {
            BalloonMode::On | BalloonMode::Auto => Some(balloon()),
            BalloonMode::Plain => Some(balloon().without_reporting().with_hinting()),
            BalloonMode::Off => None,
        };
        let generation = lines.generation()?;
        let models = Models {
            balloon,
            disks: disks.into_devices().collect(),
            nets: nets.into_devices().collect(),
            vsock: vsock.map(VsockPort::into_device).transpose()?,
        };
        let (devices, buses) = DeviceSet::new(&vm, lines, ram.guest(), models, wiring, saved)?;
        let Buses { ports, mmio } = buses;
        let context = Arc::new(VcpuContext {
            vm,
            ram,
            ports,
            mmio,
        });
        let vcpus = vcpus
            .into_iter()
            .map(|vcpu| VcpuHandle::spawn(vcpu, context.clone(), fatal.clone()))
            .collect::<Result<_, _>>()?;
        let custody = Mutex::new(Custody::here(wish));
        Ok(Machine {
            vcpus,
            devices,
            context,
            blueprint,
            cpu,
            generation,
            custody,
        })
    }

    fn guest_cpuid(&self, index: VcpuIndex) -> Result<CpuId, MachineError> {
        let hypervisor = self.vm.hypervisor();
        let host = hypervisor.supported_cpuid()?;
        let clock = GuestClock {
            tsc_khz: self.tsc_khz(),
            tsc_deadline: hypervisor.tsc_deadline(),
        };
        Ok(cpuid::guest_cpuid(
            &host,
            index,
            self.blueprint.vcpus,
            clock,
        ))
    }

    fn tsc_khz(&self) -> Option<u32> {
        self.vcpus
            .first()
            .and_then(|vcpu| vcpu.fd.get_tsc_khz().ok())
    }
}
