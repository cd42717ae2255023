//! Failures of KVM calls, named by the ioctl of `Documentation/virt/kvm/api.rst`.

use kvm_ioctls::Error as Errno;

/// A KVM operation that failed.
#[derive(Debug, thiserror::Error)]
pub enum KvmError {
    /// An ioctl returned an error.
    #[error("{ioctl} failed")]
    Ioctl {
        /// Name of the ioctl.
        ioctl: &'static str,
        /// What the kernel said.
        #[source]
        source: Errno,
    },
    /// An ioctl on one vCPU returned an error.
    #[error("{ioctl} of vcpu {vcpu} failed")]
    VcpuIoctl {
        /// Name of the ioctl.
        ioctl: &'static str,
        /// Index of the vCPU.
        vcpu: u32,
        /// What the kernel said.
        #[source]
        source: Errno,
    },
    /// `KVM_SET_MSRS` stopped early: the kernel refused this register.
    #[error("vcpu {vcpu}: the kernel refused MSR {index:#x} = {value:#x}")]
    MsrRefused {
        /// Index of the vCPU.
        vcpu: u32,
        /// MSR number.
        index: u32,
        /// The value that was to be written.
        value: u64,
    },
    /// A list is longer than the fixed arrays of the KVM interface.
    #[error("{what}: {count} entries are more than kvm takes")]
    TooMany {
        /// Kind of list.
        what: &'static str,
        /// Its length.
        count: usize,
    },
    /// An extended state area of another size than this host's.
    #[error("vcpu {vcpu}: xsave area of {found_bytes} bytes, this host's has {expected_bytes}")]
    XsaveSize {
        /// Index of the vCPU.
        vcpu: u32,
        /// Size in the saved state.
        found_bytes: usize,
        /// Size on this host (`KVM_CAP_XSAVE2`).
        expected_bytes: usize,
    },
    /// The guest's clock runs at another rate than this host can offer.
    #[error(
        "the guest's TSC runs at {guest_khz} kHz, this host's at {host_khz} kHz and cannot be scaled"
    )]
    TscRate {
        /// Rate the guest was started with.
        guest_khz: u32,
        /// Rate of this host.
        host_khz: u32,
    },
}

impl KvmError {
    /// Turns an errno of the named ioctl into an error, for `map_err`.
    pub(crate) fn ioctl(ioctl: &'static str) -> impl FnOnce(Errno) -> Self {
        move |source| Self::Ioctl { ioctl, source }
    }

    /// The same for an ioctl on a vCPU.
    pub(crate) fn vcpu(ioctl: &'static str, vcpu: u32) -> impl FnOnce(Errno) -> Self {
        move |source| Self::VcpuIoctl {
            ioctl,
            vcpu,
            source,
        }
    }
}
