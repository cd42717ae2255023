//! Getting a vCPU out of `KVM_RUN`: a flag the kernel looks at on entry, and a signal.
//!
//! The flag alone would not end a run that is under way, the signal alone would be lost between
//! two runs (`Documentation/virt/kvm/api.rst`, `immediate_exit`).
#![expect(
    unsafe_code,
    reason = "shares one byte of the kvm_run page between two threads"
)]

use std::ffi::{c_int, c_void};
use std::os::unix::thread::JoinHandleExt;
use std::sync::Once;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::JoinHandle;

use kvm_ioctls::VcpuFd;
use vmm_sys_util::signal::{SIGRTMIN, register_signal_handler};

/// The `immediate_exit` byte of one vCPU's `kvm_run` page.
///
/// Valid until the vCPU's thread is joined, because the thread gives the vCPU back when it ends;
/// [`super::VcpuHandle`], which holds this, joins it last of all.
#[derive(Debug, Clone, Copy)]
pub(super) struct ImmediateExit(*const AtomicU8);

// SAFETY: the pointer is only dereferenced as an atomic byte, which the kernel reads too, while
// the owner keeps the page mapped (see the type).
unsafe impl Send for ImmediateExit {}
// SAFETY: as above.
unsafe impl Sync for ImmediateExit {}

impl ImmediateExit {
    pub(super) fn of(vcpu: &mut VcpuFd) -> Self {
        let byte: *mut u8 = &raw mut vcpu.get_kvm_run().immediate_exit;
        Self(byte.cast_const().cast::<AtomicU8>())
    }

    pub(super) fn set(self) {
        self.store(1);
    }

    pub(super) fn clear(self) {
        self.store(0);
    }

    fn store(self, value: u8) {
        // SAFETY: the page is mapped until the vCPU's thread is joined, and AtomicU8 has the size and
        // alignment of the byte.
        unsafe { &*self.0 }.store(value, Ordering::SeqCst);
    }
}

/// The signal that interrupts `KVM_RUN`: the first real-time signal, which nothing else here uses.
fn kick_signal() -> c_int {
    SIGRTMIN()
}

extern "C" fn on_kick(_: c_int, _: *mut libc::siginfo_t, _: *mut c_void) {}

/// Installs the handler, which does nothing: that a signal was delivered is all that is needed.
pub(super) fn install_handler() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        register_signal_handler(kick_signal(), on_kick).expect("SIGRTMIN may be handled");
    });
}

/// Interrupts the thread if it is in `KVM_RUN` or any other system call.
pub(super) fn interrupt<T>(thread: &JoinHandle<T>) {
    // SAFETY: the handle is not joined, so the thread id is valid; the handler is installed before
    // the first thread.
    let sent = unsafe { libc::pthread_kill(thread.as_pthread_t(), kick_signal()) };
    debug_assert!(
        sent == 0 || sent == libc::ESRCH,
        "a joinable thread takes signals"
    );
}
