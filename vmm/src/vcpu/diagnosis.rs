//! What is said when a vCPU cannot go on: what happened, where, on which KVM, what to do.

use std::fmt;

use kvm_ioctls::Error as Errno;
use vm_memory::{Bytes, GuestAddress};

use super::{Vcpu, VcpuContext};
use crate::host::KvmKind;

/// Longest x86 instruction (Intel SDM vol. 2, section 2.3.11).
const INSTRUCTION_BYTES: usize = 15;
/// `KVM_INTERNAL_ERROR_EMULATION` of the KVM API.
const SUBERROR_EMULATION: u32 = 1;

/// An exit that ends the VM.
#[derive(Debug, thiserror::Error)]
pub enum FatalExit {
    /// The guest faulted while it handled a fault while it handled a fault.
    #[error("triple fault")]
    TripleFault,
    /// KVM met something it cannot do.
    #[error("kvm internal error, suberror {suberror}{}", suberror_name(*suberror))]
    InternalError {
        /// `suberror` of the KVM API.
        suberror: u32,
    },
    /// The processor refused to enter the guest.
    #[error("entry to the guest failed on host cpu {cpu}, hardware reason {reason:#x}")]
    EntryFailed {
        /// Vendor-specific reason.
        reason: u64,
        /// Host CPU.
        cpu: u32,
    },
    /// The guest touched memory the host cannot provide.
    #[error("no host memory behind guest address {gpa:#x} ({size} bytes)")]
    MemoryFault {
        /// Guest-physical address.
        gpa: u64,
        /// Length of the access range.
        size: u64,
    },
    /// `KVM_RUN` itself failed.
    #[error("KVM_RUN failed")]
    RunFailed {
        /// What the kernel said.
        #[source]
        source: Errno,
    },
    /// An exit reason this monitor has no use for.
    #[error("exit nobody handles: {exit}")]
    Unhandled {
        /// The exit as KVM named it.
        exit: String,
    },
}

fn suberror_name(suberror: u32) -> &'static str {
    match suberror {
        SUBERROR_EMULATION => " (an instruction kvm cannot emulate)",
        2 => " (exits in the middle of event delivery)",
        3 => " (unexpected exit reason)",
        _ => "",
    }
}

/// A fatal exit with the place where it happened.
#[derive(Debug, thiserror::Error)]
pub struct Diagnosis {
    vcpu: u32,
    place: Option<Place>,
    kvm: KvmKind,
    #[source]
    exit: FatalExit,
}

/// Where the guest was.
#[derive(Debug, Clone, Copy)]
struct Place {
    rip: u64,
    cpl: u8,
    cr3: u64,
    instruction: Option<[u8; INSTRUCTION_BYTES]>,
}

impl Diagnosis {
    /// Looks at the vCPU and at the guest's memory while both stand still.
    pub(super) fn of(vcpu: &Vcpu, context: &VcpuContext, exit: FatalExit) -> Self {
        Self {
            vcpu: vcpu.index,
            place: place(vcpu, context),
            kvm: context.vm.hypervisor().kind(),
            exit,
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        match (&self.exit, self.kvm) {
            (
                FatalExit::InternalError {
                    suberror: SUBERROR_EMULATION,
                },
                KvmKind::Pvm,
            ) => Some(
                "kvm_pvm emulates the guest's kernel mode; run this guest on a host with VT-x or \
                 AMD-V, or inside the nested rig (see README)",
            ),
            (FatalExit::TripleFault, _) => Some(
                "a guest that reboots by triple fault wants `reboot=k` on its command line; any \
                 other one has crashed: look at its last serial lines",
            ),
            _ => None,
        }
    }
}

fn place(vcpu: &Vcpu, context: &VcpuContext) -> Option<Place> {
    let regs = vcpu.fd.get_regs().ok()?;
    let sregs = vcpu.fd.get_sregs().ok()?;
    let linear = regs.rip.wrapping_add(sregs.cs.base);
    let instruction = vcpu
        .fd
        .translate_gva(linear)
        .ok()
        .filter(|translation| translation.valid != 0)
        .and_then(|translation| {
            let mut bytes = [0; INSTRUCTION_BYTES];
            let address = GuestAddress(translation.physical_address);
            context.ram.guest().read_slice(&mut bytes, address).ok()?;
            Some(bytes)
        });
    Some(Place {
        rip: regs.rip,
        cpl: sregs.ss.dpl,
        cr3: sregs.cr3,
        instruction,
    })
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "vcpu {} of this {} host cannot go on",
            self.vcpu, self.kvm
        )?;
        let Some(Place {
            rip,
            cpl,
            cr3,
            instruction,
        }) = &self.place
        else {
            return Ok(());
        };
        write!(f, " at rip {rip:#x}, cpl {cpl}, cr3 {cr3:#x}")?;
        if let Some(bytes) = instruction {
            write!(f, ", instruction bytes")?;
            for byte in bytes {
                write!(f, " {byte:02x}")?;
            }
        }
        Ok(())
    }
}
