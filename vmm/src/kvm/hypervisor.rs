//! The host's KVM: what it offers before any machine exists.

use kvm_bindings::{CpuId, KVM_MAX_CPUID_ENTRIES};
use kvm_ioctls::{Cap, Kvm, VmFd};

use super::KvmError;
use crate::boot::cpuid::TscDeadline;
use crate::host::{HostKvm, KvmKind};

/// The host's KVM, open.
#[derive(Debug)]
pub struct Hypervisor {
    kvm: Kvm,
    kind: KvmKind,
}

impl Hypervisor {
    /// Takes over an open `/dev/kvm`.
    #[must_use]
    pub fn new(host: HostKvm) -> Self {
        let HostKvm { kvm, kind } = host;
        Self { kvm, kind }
    }

    /// How it runs guests.
    #[must_use]
    pub fn kind(&self) -> KvmKind {
        self.kind
    }

    /// What KVM can show to a guest on this host.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn supported_cpuid(&self) -> Result<CpuId, KvmError> {
        self.kvm
            .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
            .map_err(KvmError::ioctl("KVM_GET_SUPPORTED_CPUID"))
    }

    /// Whether this host has a capability.
    #[must_use]
    pub fn has(&self, capability: Cap) -> bool {
        self.kvm.check_extension(capability)
    }

    /// Whether the in-kernel APIC's timer can fire at a value of the TSC.
    #[must_use]
    pub fn tsc_deadline(&self) -> TscDeadline {
        if self.has(Cap::TscDeadlineTimer) {
            TscDeadline::Supported
        } else {
            TscDeadline::Unsupported
        }
    }

    /// The MSRs that make up a vCPU's state on this host.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(super) fn msr_indices(&self) -> Result<Vec<u32>, KvmError> {
        let list = self
            .kvm
            .get_msr_index_list()
            .map_err(KvmError::ioctl("KVM_GET_MSR_INDEX_LIST"))?;
        Ok(list.as_slice().to_vec())
    }

    /// A signal may interrupt the creation on a busy host; then it is repeated.
    pub(super) fn create_vm(&self) -> Result<VmFd, KvmError> {
        loop {
            match self.kvm.create_vm() {
                Err(error) if error.errno() == libc::EINTR => {}
                created => return created.map_err(KvmError::ioctl("KVM_CREATE_VM")),
            }
        }
    }
}
