//! Why a VM cannot run on this host.

use std::borrow::Cow;
use std::io;

/// The version of KVM's interface, the only one there has been since Linux 2.6.22 (`KVM_API_VERSION`).
pub(super) const KVM_API_VERSION: i32 = 12;

/// Something a VM needs that the host does not give.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// There is no `/dev/kvm`.
    #[error("this host has no KVM: /dev/kvm is missing")]
    KvmMissing {
        /// The failed system call.
        #[source]
        source: io::Error,
    },
    /// `/dev/kvm` belongs to others.
    #[error("this user may not use KVM: /dev/kvm cannot be opened")]
    KvmPermission {
        /// The failed system call.
        #[source]
        source: io::Error,
    },
    /// `/dev/kvm` is there and does not work.
    #[error("/dev/kvm cannot be opened")]
    KvmOpen {
        /// The failed system call.
        #[source]
        source: io::Error,
    },
    /// `/dev/kvm` speaks another language.
    #[error("/dev/kvm has API version {version}, and {KVM_API_VERSION} is needed")]
    KvmApiVersion {
        /// The version it has.
        version: i32,
    },
}

impl HostError {
    /// What the user can do about it.
    pub fn remedy(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::KvmMissing { .. } => {
                "load the module (modprobe kvm_intel or kvm_amd); if that fails, switch on VT-x or AMD-V \
                 in the firmware, or nested virtualization if this host is itself a VM"
                    .into()
            }
            Self::KvmPermission { .. } => {
                "join the group of /dev/kvm (sudo usermod -aG kvm $USER) and log in again".into()
            }
            Self::KvmOpen { .. } => "look for KVM's reason in dmesg".into(),
            Self::KvmApiVersion { .. } => "boot a current Linux kernel".into(),
        })
    }
}
