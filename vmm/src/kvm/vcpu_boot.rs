//! The state in which a vCPU of a new guest begins.

use std::ffi::c_char;

use kvm_bindings::{CpuId, kvm_lapic_state};
use kvm_ioctls::VcpuFd;

use super::vcpu_state::{MsrValue, write_msrs};
use super::{KvmError, KvmVm};
use crate::boot::{BootRegisters, Entry, INITIAL_MSRS};

/// Local vector table entries of the APIC's pins, and their delivery modes
/// (Intel SDM vol. 3, table 11-1 and figure 11-8).
const LVT_LINT0: usize = 0x350;
const LVT_LINT1: usize = 0x360;
const DELIVERY_EXTINT: u32 = 0b111 << 8;
const DELIVERY_NMI: u32 = 0b100 << 8;

impl KvmVm {
    /// Gives vCPU `index` the CPUID leaves `cpuid` and what firmware would have set up: memory
    /// types, and the APIC's pins in virtual wire mode for kernels that use the PIC. The boot
    /// processor stands at `entry`; the others wait for their SIPI.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn boot_vcpu(
        &self,
        index: u32,
        fd: &VcpuFd,
        cpuid: &CpuId,
        entry: &Entry,
    ) -> Result<(), KvmError> {
        let failed = |ioctl| KvmError::vcpu(ioctl, index);
        fd.set_cpuid2(cpuid).map_err(failed("KVM_SET_CPUID2"))?;
        write_msrs(
            index,
            fd,
            &INITIAL_MSRS.map(|(index, value)| MsrValue { index, value }),
        )?;
        let mut lapic = fd.get_lapic().map_err(failed("KVM_GET_LAPIC"))?;
        write_lapic(&mut lapic, LVT_LINT0, DELIVERY_EXTINT);
        write_lapic(&mut lapic, LVT_LINT1, DELIVERY_NMI);
        fd.set_lapic(&lapic).map_err(failed("KVM_SET_LAPIC"))?;
        if index != 0 {
            return Ok(());
        }
        let created = fd.get_sregs().map_err(failed("KVM_GET_SREGS"))?;
        let BootRegisters {
            general,
            special,
            fpu,
        } = entry.registers(created);
        fd.set_sregs(&special).map_err(failed("KVM_SET_SREGS"))?;
        fd.set_regs(&general).map_err(failed("KVM_SET_REGS"))?;
        fd.set_fpu(&fpu).map_err(failed("KVM_SET_FPU"))
    }
}

fn write_lapic(lapic: &mut kvm_lapic_state, register: usize, value: u32) {
    let bytes = value
        .to_le_bytes()
        .map(|byte| c_char::from_ne_bytes([byte]));
    lapic.regs[register..register + bytes.len()].copy_from_slice(&bytes);
}
