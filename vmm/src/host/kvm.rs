//! `/dev/kvm`: which implementation of KVM this is, and what it can do.

use std::fmt;
use std::io;
use std::path::Path;

use kvm_ioctls::{Cap, Kvm};
use serde::{Deserialize, Serialize};

use super::HostError;
use super::error::KVM_API_VERSION;

/// How this host's KVM runs guest code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KvmKind {
    /// Hardware virtualization of Intel processors.
    VtX,
    /// Hardware virtualization of AMD processors.
    AmdV,
    /// Without hardware virtualization: shadow page tables, and emulation of a guest's kernel that does not know it.
    Pvm,
    /// A KVM that works and whose module is none of these.
    Unknown,
}

impl KvmKind {
    /// The kind and the module it was told by.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VtX => "VT-x (kvm_intel)",
            Self::AmdV => "AMD-V (kvm_amd)",
            Self::Pvm => "PVM (kvm_pvm)",
            Self::Unknown => "unknown",
        }
    }

    /// Whether an unmodified kernel, such as a distribution's, boots in reasonable time.
    pub fn runs_stock_kernels(self) -> bool {
        self != Self::Pvm
    }

    /// Looks which module this host's KVM is; takes microseconds. It says nothing about whether KVM works.
    pub fn detect() -> Self {
        Self::of_modules(Path::new("/sys/module"), processor_has_vmx)
    }

    /// Tells the kind by the directory of loaded modules. A module that is built in shows there even if the
    /// processor lacks what it needs, so the processor has the last word.
    fn of_modules(modules: &Path, has_vmx: impl FnOnce() -> bool) -> Self {
        let loaded = |name: &str| modules.join(name).exists();
        if loaded("kvm_pvm") {
            return Self::Pvm;
        }
        match (loaded("kvm_intel"), loaded("kvm_amd")) {
            (true, false) => Self::VtX,
            (false, true) => Self::AmdV,
            (true, true) => {
                if has_vmx() {
                    Self::VtX
                } else {
                    Self::AmdV
                }
            }
            (false, false) => Self::Unknown,
        }
    }
}

impl fmt::Display for KvmKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Intel SDM volume 2, CPUID: leaf 1, ECX bit 5.
fn processor_has_vmx() -> bool {
    std::arch::x86_64::__cpuid(1).ecx & 1 << 5 != 0
}

/// An open `/dev/kvm` that speaks the version we know.
#[derive(Debug)]
pub struct HostKvm {
    /// The open device.
    pub kvm: Kvm,
    /// How it runs guest code.
    pub kind: KvmKind,
}

impl HostKvm {
    /// Opens `/dev/kvm`; takes microseconds.
    ///
    /// # Errors
    /// If it is missing, belongs to others, does not work, or has another version.
    pub fn open() -> Result<Self, HostError> {
        let kvm = Kvm::new().map_err(|errno| {
            let source = io::Error::from_raw_os_error(errno.errno());
            match source.raw_os_error() {
                Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => HostError::KvmMissing { source },
                Some(libc::EACCES | libc::EPERM) => HostError::KvmPermission { source },
                _ => HostError::KvmOpen { source },
            }
        })?;
        let version = kvm.get_api_version();
        if version != KVM_API_VERSION {
            return Err(HostError::KvmApiVersion { version });
        }
        Ok(Self {
            kvm,
            kind: KvmKind::detect(),
        })
    }

    /// The capabilities that matter to us, present or not.
    pub fn capabilities(&self) -> Vec<Capability> {
        CAPABILITIES
            .iter()
            .map(|&(name, cap, need)| Capability {
                name,
                present: self.kvm.check_extension(cap),
                need,
            })
            .collect()
    }
}

/// How much we need a capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// No VM runs without.
    Run,
    /// A VM runs without and cannot move.
    Move,
    /// It is used where it is present.
    Improve,
}

/// A capability of KVM by its name in the kernel's API documentation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Capability {
    /// The name without `KVM_CAP_`.
    pub name: &'static str,
    /// Whether this host has it.
    pub present: bool,
    /// How much we need it.
    pub need: Need,
}

/// Names and numbers of Documentation/virt/kvm/api.rst; needs are our own.
const CAPABILITIES: &[(&str, Cap, Need)] = &[
    ("USER_MEMORY", Cap::UserMemory, Need::Run),
    ("IRQCHIP", Cap::Irqchip, Need::Run),
    ("PIT2", Cap::Pit2, Need::Run),
    ("IRQFD", Cap::Irqfd, Need::Run),
    ("IOEVENTFD", Cap::Ioeventfd, Need::Run),
    ("IMMEDIATE_EXIT", Cap::ImmediateExit, Need::Run),
    ("EXT_CPUID", Cap::ExtCpuid, Need::Run),
    ("SET_TSS_ADDR", Cap::SetTssAddr, Need::Run),
    ("MP_STATE", Cap::MpState, Need::Move),
    ("VCPU_EVENTS", Cap::VcpuEvents, Need::Move),
    ("XSAVE", Cap::Xsave, Need::Move),
    ("XCRS", Cap::Xcrs, Need::Move),
    ("ADJUST_CLOCK", Cap::AdjustClock, Need::Move),
    ("XSAVE2", Cap::Xsave2, Need::Improve),
    ("DEBUGREGS", Cap::Debugregs, Need::Move),
    ("PIT_STATE2", Cap::PitState2, Need::Move),
    ("TSC_DEADLINE_TIMER", Cap::TscDeadlineTimer, Need::Improve),
    ("KVMCLOCK_CTRL", Cap::KvmclockCtrl, Need::Improve),
    ("GET_TSC_KHZ", Cap::GetTscKhz, Need::Improve),
    ("TSC_CONTROL", Cap::TscControl, Need::Improve),
];

#[cfg(test)]
mod tests {
    use std::fs::create_dir;

    use super::*;

    fn detect(modules: &[&str], has_vmx: bool) -> KvmKind {
        let directory = tempfile::tempdir().unwrap();
        for module in modules {
            create_dir(directory.path().join(module)).unwrap();
        }
        KvmKind::of_modules(directory.path(), || has_vmx)
    }

    #[test]
    fn kind_is_told_by_the_loaded_module() {
        assert_eq!(detect(&["kvm", "kvm_intel"], true), KvmKind::VtX);
        assert_eq!(detect(&["kvm", "kvm_amd"], false), KvmKind::AmdV);
        assert_eq!(detect(&["kvm", "kvm_pvm"], true), KvmKind::Pvm);
        assert_eq!(detect(&["kvm"], true), KvmKind::Unknown);
    }

    #[test]
    fn kind_of_built_in_modules_is_told_by_the_processor() {
        assert_eq!(detect(&["kvm_intel", "kvm_amd"], true), KvmKind::VtX);
        assert_eq!(detect(&["kvm_intel", "kvm_amd"], false), KvmKind::AmdV);
    }
}
