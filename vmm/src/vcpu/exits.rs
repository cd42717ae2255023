//! One run of the guest, and what is done with the exit that ended it.
#![expect(
    unsafe_code,
    reason = "reads the width of a port access from the kvm_run page"
)]

use kvm_ioctls::VcpuExit;

use super::diagnosis::FatalExit;
use super::{Vcpu, VcpuContext};

/// What became of one run.
#[derive(Debug)]
pub(super) enum Handled {
    /// The guest goes on.
    Continue,
    /// A signal or the `immediate_exit` flag ended the run; there may be a command.
    Interrupted,
    /// Nothing can be made of this exit.
    Fatal(FatalExit),
}

/// Runs the guest until its next exit and answers port and MMIO accesses.
pub(super) fn run_once(vcpu: &mut Vcpu, context: &VcpuContext) -> Handled {
    let fatal = match vcpu.fd.run() {
        Ok(VcpuExit::IoOut(port, data)) => {
            let (port, bytes): (u16, *const [u8]) = (port, data);
            return port_write(vcpu, context, port, bytes);
        }
        Ok(VcpuExit::IoIn(port, data)) => {
            let (port, bytes): (u16, *mut [u8]) = (port, data);
            return port_read(vcpu, context, port, bytes);
        }
        Ok(VcpuExit::MmioRead(address, data)) => {
            context.mmio.read(address, data);
            return Handled::Continue;
        }
        Ok(VcpuExit::MmioWrite(address, data)) => {
            context.mmio.write(address, data);
            return Handled::Continue;
        }
        Ok(VcpuExit::Intr | VcpuExit::Hlt) => return Handled::Continue,
        Ok(VcpuExit::Shutdown) => FatalExit::TripleFault,
        Ok(VcpuExit::InternalError) => internal_error(vcpu),
        Ok(VcpuExit::FailEntry(reason, cpu)) => FatalExit::EntryFailed { reason, cpu },
        Ok(VcpuExit::MemoryFault { gpa, size, .. }) => FatalExit::MemoryFault { gpa, size },
        Ok(other) => FatalExit::Unhandled {
            exit: format!("{other:?}"),
        },
        Err(error) => match error.errno() {
            libc::EINTR | libc::EAGAIN => return Handled::Interrupted,
            _ => FatalExit::RunFailed { source: error },
        },
    };
    Handled::Fatal(fatal)
}

/// Bytes per access of the port exit that just happened; a string instruction (`rep outsb`) makes
/// one exit for many accesses to the same port.
fn port_access_bytes(vcpu: &mut Vcpu) -> usize {
    // SAFETY: called right after KVM_EXIT_IO, for which `io` is the valid member of the union.
    let io = unsafe { vcpu.fd.get_kvm_run().__bindgen_anon_1.io };
    usize::from(io.size).max(1)
}

fn port_write(vcpu: &mut Vcpu, context: &VcpuContext, port: u16, data: *const [u8]) -> Handled {
    let width = port_access_bytes(vcpu);
    // SAFETY: the bytes lie in the kvm_run page of this vCPU, which is mapped and which nobody
    // writes until the next KVM_RUN.
    let data = unsafe { &*data };
    for access in data.chunks(width) {
        context.ports.write(u64::from(port), access);
    }
    Handled::Continue
}

fn port_read(vcpu: &mut Vcpu, context: &VcpuContext, port: u16, data: *mut [u8]) -> Handled {
    let width = port_access_bytes(vcpu);
    // SAFETY: as in `port_write`; the borrow that gave the pointer has ended.
    let data = unsafe { &mut *data };
    for access in data.chunks_mut(width) {
        context.ports.read(u64::from(port), access);
    }
    Handled::Continue
}

fn internal_error(vcpu: &mut Vcpu) -> FatalExit {
    // SAFETY: called right after KVM_EXIT_INTERNAL_ERROR, for which `internal` is the valid member.
    let internal = unsafe { vcpu.fd.get_kvm_run().__bindgen_anon_1.internal };
    FatalExit::InternalError {
        suberror: internal.suberror,
    }
}
