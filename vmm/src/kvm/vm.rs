//! The virtual machine as a KVM object: interrupt lines, doorbells, vCPUs.

use devices::Interrupt;
use kvm_bindings::{KVM_PIT_SPEAKER_DUMMY, kvm_pit_config};
use kvm_ioctls::{Cap, IoEventAddress, VcpuFd, VmFd};
use vmm_sys_util::eventfd::EventFd;

use super::{Hypervisor, KvmError};
use crate::boot::layout::{self, Gsi};
use crate::memory::GuestRam;

/// Rate difference that guests tolerate without TSC scaling, in parts per million: what the
/// kernel itself takes for equal (`tsc_tolerance_ppm` of the kvm module).
const TSC_TOLERANCE_PPM: u64 = 250;

/// One KVM virtual machine with its in-kernel interrupt controllers and timer.
#[derive(Debug)]
pub struct KvmVm {
    hypervisor: Hypervisor,
    fd: VmFd,
    msr_indices: Vec<u32>,
    xsave_bytes: usize,
}

impl KvmVm {
    /// Creates the machine, gives it `ram`, and makes its PIC, IOAPIC and PIT.
    ///
    /// RAM comes first because each change of memory slots waits for the readers of the machine's
    /// tables, of which there are none yet: 0.1 ms instead of the 4 ms measured after the PIT. The
    /// rest of the order is the kernel's: the addresses of the task-state segment and of the
    /// identity map before the first vCPU (they are needed on Intel hosts without unrestricted
    /// guest mode), the interrupt controllers before the timer and before the first vCPU.
    ///
    /// # Errors
    /// Any of the ioctls fails.
    pub fn new(hypervisor: Hypervisor, ram: &GuestRam) -> Result<Self, KvmError> {
        let fd = hypervisor.create_vm()?;
        let msr_indices = hypervisor.msr_indices()?;
        // KVM_CAP_XSAVE2 says how large the area is; 0 means the classic 4096 bytes.
        let xsave_bytes = usize::try_from(fd.check_extension_int(Cap::Xsave2)).unwrap_or(0);
        let vm = Self {
            hypervisor,
            fd,
            msr_indices,
            xsave_bytes: xsave_bytes.max(4096),
        };
        vm.set_slots(ram, 0)?;
        vm.fd
            .set_identity_map_address(layout::KVM_IDENTITY_MAP.0)
            .map_err(KvmError::ioctl("KVM_SET_IDENTITY_MAP_ADDR"))?;
        let tss = usize::try_from(layout::KVM_TSS.0).expect("below 4 GiB");
        vm.fd
            .set_tss_address(tss)
            .map_err(KvmError::ioctl("KVM_SET_TSS_ADDR"))?;
        vm.fd
            .create_irq_chip()
            .map_err(KvmError::ioctl("KVM_CREATE_IRQCHIP"))?;
        let pit = kvm_pit_config {
            flags: KVM_PIT_SPEAKER_DUMMY,
            ..kvm_pit_config::default()
        };
        vm.fd
            .create_pit2(pit)
            .map_err(KvmError::ioctl("KVM_CREATE_PIT2"))?;
        Ok(vm)
    }

    /// Creates vCPU `index`; its APIC id is the index.
    ///
    /// # Errors
    /// The kernel refuses, for example because of its limit of vCPUs.
    pub fn create_vcpu(&self, index: u32) -> Result<VcpuFd, KvmError> {
        self.fd
            .create_vcpu(u64::from(index))
            .map_err(KvmError::vcpu("KVM_CREATE_VCPU", index))
    }

    /// The host's KVM.
    #[must_use]
    pub fn hypervisor(&self) -> &Hypervisor {
        &self.hypervisor
    }

    /// Connects `interrupt` to the interrupt line `gsi`, edge-triggered, without a system call of
    /// ours per interrupt.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn connect_interrupt(&self, interrupt: &Interrupt, gsi: Gsi) -> Result<(), KvmError> {
        self.fd
            .register_irqfd(interrupt.event(), gsi.0)
            .map_err(KvmError::ioctl("KVM_IRQFD"))
    }

    /// Lets a guest's 32-bit write of `value` to the MMIO address `address` signal `doorbell`
    /// without leaving the kernel.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn connect_doorbell(
        &self,
        doorbell: &EventFd,
        address: u64,
        value: u32,
    ) -> Result<(), KvmError> {
        self.fd
            .register_ioevent(doorbell, &IoEventAddress::Mmio(address), value)
            .map_err(KvmError::ioctl("KVM_IOEVENTFD"))
    }

    /// Makes `vcpu` run its time-stamp counter at `guest_khz`.
    ///
    /// # Errors
    /// The rates differ by more than guests tolerate and this host cannot scale.
    pub fn set_tsc_rate(&self, vcpu: &VcpuFd, guest_khz: u32) -> Result<(), KvmError> {
        let Ok(host_khz) = vcpu.get_tsc_khz() else {
            return Ok(());
        };
        let difference = u64::from(host_khz.abs_diff(guest_khz));
        if difference * 1_000_000 <= u64::from(host_khz) * TSC_TOLERANCE_PPM {
            return Ok(());
        }
        if !self.hypervisor.has(Cap::TscControl) {
            return Err(KvmError::TscRate {
                guest_khz,
                host_khz,
            });
        }
        vcpu.set_tsc_khz(guest_khz)
            .map_err(KvmError::ioctl("KVM_SET_TSC_KHZ"))
    }

    /// The MSRs that make up a vCPU's state on this host (`KVM_GET_MSR_INDEX_LIST`).
    #[must_use]
    pub fn msr_indices(&self) -> &[u32] {
        &self.msr_indices
    }

    /// Size of a vCPU's extended state area on this host.
    #[must_use]
    pub fn xsave_bytes(&self) -> usize {
        self.xsave_bytes
    }

    pub(super) fn fd(&self) -> &VmFd {
        &self.fd
    }
}
