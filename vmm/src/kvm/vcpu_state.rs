//! State of one vCPU: read in one order, written in another, both explained where they stand.
#![expect(
    unsafe_code,
    reason = "the extended state area has a size that only the host knows"
)]

use kvm_bindings::{
    CpuId, Msrs, Xsave, kvm_cpuid_entry2, kvm_debugregs, kvm_lapic_state, kvm_mp_state,
    kvm_msr_entry, kvm_regs, kvm_sregs, kvm_vcpu_events, kvm_xcrs, kvm_xsave,
};
use kvm_ioctls::{Cap, VcpuFd};
use serde::{Deserialize, Serialize};

use super::{KvmError, KvmVm};
use crate::bounded::at_most;

/// IA32_TIME_STAMP_COUNTER (Intel SDM vol. 4, table 2-2).
const MSR_TSC: u32 = 0x10;
/// How far from the guest's own TSC another one is. Our choice: years, at any rate.
const FAR_TSC: u64 = 1 << 60;
/// IA32_TSC_DEADLINE (Intel SDM vol. 4, table 2-2).
const MSR_TSC_DEADLINE: u32 = 0x6e0;
/// Entries per KVM_GET_MSRS or KVM_SET_MSRS call (`MAX_IO_MSRS` of the kernel).
const MSRS_PER_CALL: usize = 256;
/// Entries per KVM_SET_CPUID2 call (`KVM_MAX_CPUID_ENTRIES` of the kernel).
const CPUID_ENTRIES: usize = 256;
/// Most words of extended state. Our choice: 64 KiB; all of today's features take some 11 KiB.
const XSAVE_WORDS: usize = 16 << 10;
/// Most model-specific registers. Our choice: KVM lists some hundreds.
const MSRS: usize = 4096;

/// One model-specific register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MsrValue {
    /// Its number.
    pub index: u32,
    /// Its content.
    pub value: u64,
}

/// Everything a vCPU needs to go on elsewhere. The kernel validates it on restore.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VcpuState {
    mp_state: kvm_mp_state,
    regs: kvm_regs,
    sregs: kvm_sregs,
    #[serde(deserialize_with = "at_most::<XSAVE_WORDS, _, _>")]
    xsave: Vec<u32>,
    /// None on a host without XSAVE, whose guests have none either.
    xcrs: Option<kvm_xcrs>,
    debug_regs: kvm_debugregs,
    lapic: kvm_lapic_state,
    #[serde(deserialize_with = "at_most::<CPUID_ENTRIES, _, _>")]
    cpuid: Vec<kvm_cpuid_entry2>,
    tsc_khz: Option<u32>,
    #[serde(deserialize_with = "at_most::<MSRS, _, _>")]
    msrs: Vec<MsrValue>,
    events: kvm_vcpu_events,
}

impl VcpuState {
    /// The general and the special registers.
    #[must_use]
    pub fn registers(&self) -> (&kvm_regs, &kvm_sregs) {
        (&self.regs, &self.sregs)
    }

    /// The extended state (floating point, vectors), in the layout of KVM_GET_XSAVE2.
    #[must_use]
    pub fn extended(&self) -> &[u32] {
        &self.xsave
    }
}

impl KvmVm {
    /// Reads the state of vCPU `index`, which must have left `KVM_RUN` with `immediate_exit` set,
    /// so that no port or MMIO access is half done.
    ///
    /// The multiprocessing state comes first because reading it lets the kernel apply pending INIT
    /// and SIPI, which change registers; the events come last because the other reads may settle
    /// a pending exception.
    ///
    /// # Errors
    /// An ioctl fails.
    pub fn save_vcpu(&self, index: u32, fd: &VcpuFd) -> Result<VcpuState, KvmError> {
        let failed = |ioctl| KvmError::vcpu(ioctl, index);
        Ok(VcpuState {
            mp_state: fd.get_mp_state().map_err(failed("KVM_GET_MP_STATE"))?,
            regs: fd.get_regs().map_err(failed("KVM_GET_REGS"))?,
            sregs: fd.get_sregs().map_err(failed("KVM_GET_SREGS"))?,
            xsave: self.read_xsave(index, fd)?,
            xcrs: self.read_xcrs(index, fd)?,
            debug_regs: fd.get_debug_regs().map_err(failed("KVM_GET_DEBUGREGS"))?,
            lapic: fd.get_lapic().map_err(failed("KVM_GET_LAPIC"))?,
            cpuid: fd
                .get_cpuid2(CPUID_ENTRIES)
                .map_err(failed("KVM_GET_CPUID2"))?
                .as_slice()
                .to_vec(),
            tsc_khz: fd.get_tsc_khz().ok(),
            msrs: read_msrs(index, fd, self.msr_indices())?,
            events: fd
                .get_vcpu_events()
                .map_err(failed("KVM_GET_VCPU_EVENTS"))?,
        })
    }

    /// Writes `state` into the fresh vCPU `index`.
    ///
    /// CPUID comes first, because what the other registers may hold depends on it; the APIC base
    /// in the special registers before the APIC; the APIC before the MSRs, because the kernel
    /// takes a TSC deadline only in the APIC's deadline mode; events last, because earlier writes
    /// clear them. vCPU 0 must be the first one.
    ///
    /// # Errors
    /// The kernel refuses a part of the state, the extended state has another size than this
    /// host's, or the guest's TSC rate cannot be had.
    pub fn restore_vcpu(&self, index: u32, fd: &VcpuFd, state: &VcpuState) -> Result<(), KvmError> {
        let failed = |ioctl| KvmError::vcpu(ioctl, index);
        let VcpuState {
            mp_state,
            regs,
            sregs,
            xsave,
            xcrs,
            debug_regs,
            lapic,
            cpuid,
            tsc_khz,
            msrs,
            events,
        } = state;
        let cpuid = CpuId::from_entries(cpuid).map_err(|_| KvmError::TooMany {
            what: "cpuid",
            count: cpuid.len(),
        })?;
        fd.set_cpuid2(&cpuid).map_err(failed("KVM_SET_CPUID2"))?;
        if let Some(khz) = tsc_khz {
            self.set_tsc_rate(fd, *khz)?;
        }
        fd.set_mp_state(*mp_state)
            .map_err(failed("KVM_SET_MP_STATE"))?;
        fd.set_regs(regs).map_err(failed("KVM_SET_REGS"))?;
        fd.set_sregs(sregs).map_err(failed("KVM_SET_SREGS"))?;
        self.write_xsave(index, fd, xsave)?;
        if let Some(xcrs) = xcrs {
            fd.set_xcrs(xcrs).map_err(failed("KVM_SET_XCRS"))?;
        }
        fd.set_debug_regs(debug_regs)
            .map_err(failed("KVM_SET_DEBUGREGS"))?;
        fd.set_lapic(lapic).map_err(failed("KVM_SET_LAPIC"))?;
        if index == 0 {
            write_msrs(index, fd, &far_from(msrs))?;
        }
        write_msrs(index, fd, &in_restore_order(msrs))?;
        fd.set_vcpu_events(events)
            .map_err(failed("KVM_SET_VCPU_EVENTS"))?;
        match fd.kvmclock_ctrl() {
            // EINVAL: the guest has not set up the paravirtual clock.
            Err(error) if error.errno() != libc::EINVAL => Err(failed("KVM_KVMCLOCK_CTRL")(error)),
            _ => Ok(()),
        }
    }

    fn read_xcrs(&self, index: u32, fd: &VcpuFd) -> Result<Option<kvm_xcrs>, KvmError> {
        if !self.hypervisor().has(Cap::Xcrs) {
            return Ok(None);
        }
        fd.get_xcrs()
            .map(Some)
            .map_err(KvmError::vcpu("KVM_GET_XCRS", index))
    }

    fn read_xsave(&self, index: u32, fd: &VcpuFd) -> Result<Vec<u32>, KvmError> {
        let mut xsave = self.empty_xsave(index)?;
        // SAFETY: the area has the size of KVM_CAP_XSAVE2, and this process enables no further
        // state component after the machine was created.
        unsafe { fd.get_xsave2(&mut xsave) }.map_err(KvmError::vcpu("KVM_GET_XSAVE2", index))?;
        let mut words = xsave.as_fam_struct_ref().xsave.region.to_vec();
        words.extend_from_slice(xsave.as_slice());
        Ok(words)
    }

    fn write_xsave(&self, index: u32, fd: &VcpuFd, words: &[u32]) -> Result<(), KvmError> {
        let mut xsave = self.empty_xsave(index)?;
        let head_words = size_of::<kvm_xsave>() / size_of::<u32>();
        let expected_words = head_words + xsave.as_slice().len();
        if words.len() != expected_words {
            return Err(KvmError::XsaveSize {
                vcpu: index,
                found_bytes: size_of_val(words),
                expected_bytes: self.xsave_bytes(),
            });
        }
        let (head, extra) = words.split_at(head_words);
        xsave.as_mut_slice().copy_from_slice(extra);
        // SAFETY: only the fixed head is written; the length of the flexible part stays.
        unsafe { xsave.as_mut_fam_struct() }
            .xsave
            .region
            .copy_from_slice(head);
        // SAFETY: the area has the size of KVM_CAP_XSAVE2.
        unsafe { fd.set_xsave2(&xsave) }.map_err(KvmError::vcpu("KVM_SET_XSAVE", index))
    }

    fn empty_xsave(&self, index: u32) -> Result<Xsave, KvmError> {
        let extra_bytes = self.xsave_bytes().saturating_sub(size_of::<kvm_xsave>());
        Xsave::new(extra_bytes.div_ceil(size_of::<u32>())).map_err(|_| KvmError::XsaveSize {
            vcpu: index,
            found_bytes: self.xsave_bytes(),
            expected_bytes: size_of::<kvm_xsave>(),
        })
    }
}

/// Reads those of `indices` that this host lets us read; the others are no state of this guest.
fn read_msrs(vcpu: u32, fd: &VcpuFd, indices: &[u32]) -> Result<Vec<MsrValue>, KvmError> {
    let mut values = Vec::with_capacity(indices.len());
    let mut rest = indices;
    while !rest.is_empty() {
        let batch = &rest[..rest.len().min(MSRS_PER_CALL)];
        let entries: Vec<kvm_msr_entry> = batch
            .iter()
            .map(|&index| kvm_msr_entry {
                index,
                ..kvm_msr_entry::default()
            })
            .collect();
        let mut msrs = msr_list(&entries)?;
        let read = fd
            .get_msrs(&mut msrs)
            .map_err(KvmError::vcpu("KVM_GET_MSRS", vcpu))?;
        values.extend(msrs.as_slice()[..read].iter().map(|entry| MsrValue {
            index: entry.index,
            value: entry.data,
        }));
        let refused = usize::from(read < batch.len());
        rest = &rest[read + refused..];
    }
    Ok(values)
}

/// Writes `values`. One that the kernel refuses to write but that already holds the value (a
/// constant of the host, such as IA32_ARCH_CAPABILITIES) is as good as written.
pub(super) fn write_msrs(vcpu: u32, fd: &VcpuFd, values: &[MsrValue]) -> Result<(), KvmError> {
    let mut rest = values;
    while !rest.is_empty() {
        let batch = &rest[..rest.len().min(MSRS_PER_CALL)];
        let entries: Vec<kvm_msr_entry> = batch
            .iter()
            .map(|msr| kvm_msr_entry {
                index: msr.index,
                data: msr.value,
                ..kvm_msr_entry::default()
            })
            .collect();
        let written = fd
            .set_msrs(&msr_list(&entries)?)
            .map_err(KvmError::vcpu("KVM_SET_MSRS", vcpu))?;
        let Some(refused) = batch.get(written) else {
            rest = &rest[batch.len()..];
            continue;
        };
        if read_msrs(vcpu, fd, &[refused.index])? != [*refused] {
            return Err(KvmError::MsrRefused {
                vcpu,
                index: refused.index,
                value: refused.value,
            });
        }
        rest = &rest[written + 1..];
    }
    Ok(())
}

fn msr_list(entries: &[kvm_msr_entry]) -> Result<Msrs, KvmError> {
    Msrs::from_entries(entries).map_err(|_| KvmError::TooMany {
        what: "msrs",
        count: entries.len(),
    })
}

/// A TSC that no guest has, for the first vCPU to hold before its own.
///
/// A kernel before 6.8 takes a TSC within a second of what it expects for an attempt to synchronize
/// vCPUs, and keeps what it expects: the age of this VM instead of that of a guest which is as
/// young. It expects what was written last to go on (Linux, arch/x86/kvm/x86.c,
/// `kvm_synchronize_tsc`).
fn far_from(saved: &[MsrValue]) -> Vec<MsrValue> {
    let tsc = saved.iter().find(|msr| msr.index == MSR_TSC);
    let far = |msr: &MsrValue| MsrValue {
        value: msr.value ^ FAR_TSC,
        ..*msr
    };
    tsc.map(far).into_iter().collect()
}

/// The TSC first and its deadline last, because the kernel compares the one with the other.
///
/// A deadline of 0 means that the timer is disarmed or has just fired. It is replaced by the
/// current count, which fires at once: an interrupt too many is harmless, a lost one stops a guest.
fn in_restore_order(saved: &[MsrValue]) -> Vec<MsrValue> {
    let tsc = saved
        .iter()
        .find(|msr| msr.index == MSR_TSC)
        .map_or(0, |msr| msr.value);
    let rank = |msr: &MsrValue| match msr.index {
        MSR_TSC => 0,
        MSR_TSC_DEADLINE => 2,
        _ => 1,
    };
    let mut ordered: Vec<MsrValue> = saved
        .iter()
        .map(|&msr| match msr {
            MsrValue {
                index: MSR_TSC_DEADLINE,
                value: 0,
            } => MsrValue { value: tsc, ..msr },
            other => other,
        })
        .collect();
    ordered.sort_by_key(rank);
    ordered
}

#[cfg(test)]
mod tests {
    use super::{FAR_TSC, MSR_TSC, MSR_TSC_DEADLINE, MsrValue, far_from, in_restore_order};

    fn msr(index: u32, value: u64) -> MsrValue {
        MsrValue { index, value }
    }

    #[test]
    fn restore_order_tsc_first_deadline_last() {
        let saved = [
            msr(MSR_TSC_DEADLINE, 9),
            msr(0x174, 1),
            msr(MSR_TSC, 7),
            msr(0x175, 2),
        ];
        let expected = [
            msr(MSR_TSC, 7),
            msr(0x174, 1),
            msr(0x175, 2),
            msr(MSR_TSC_DEADLINE, 9),
        ];
        assert_eq!(in_restore_order(&saved), expected);
    }

    #[test]
    fn first_vcpu_holds_another_tsc_before_its_own_if_there_is_one() {
        let saved = [msr(0x174, 1), msr(MSR_TSC, 7)];
        assert_eq!(far_from(&saved), [msr(MSR_TSC, 7 + FAR_TSC)]);
        assert_eq!(far_from(&saved[..1]), []);
    }

    #[test]
    fn restore_order_zero_deadline_becomes_the_tsc() {
        let saved = [msr(MSR_TSC_DEADLINE, 0), msr(MSR_TSC, 7)];
        assert_eq!(
            in_restore_order(&saved),
            [msr(MSR_TSC, 7), msr(MSR_TSC_DEADLINE, 7)]
        );
    }
}
