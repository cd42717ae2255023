//! What this machine can run.

use std::env;
use std::path::PathBuf;

use vmm::host::KvmKind;

/// Whether the caller may go on: `false`, with the reason printed, if there is no KVM at all.
///
/// # Panics
/// There is no KVM and `REQUIRE_KVM=1`.
pub fn has_kvm(case: &str) -> bool {
    let kind = KvmKind::detect();
    if kind.is_present() {
        return true;
    }
    assert_ne!(env::var("REQUIRE_KVM").as_deref(), Ok("1"), "{case}: no KVM here: {kind}");
    println!("{case}: not run here, no KVM ({kind}); it runs in the nested rig");
    false
}

/// The same for a guest that needs hardware virtualization.
pub fn has_hardware(case: &str) -> bool {
    let kind = KvmKind::detect();
    if kind.boots_stock_kernels() {
        return true;
    }
    println!("{case}: not run here, stock kernels do not boot on {kind}; it runs in the nested rig");
    false
}

/// Whether this is the inside of the nested rig, where everything takes longer.
pub fn is_rig() -> bool {
    env::var_os("SKIFF_RIG").is_some()
}

/// A number for this machine: the first on real hardware, the second under emulation.
pub fn scaled<T>(native: T, emulated: T) -> T {
    if is_rig() { emulated } else { native }
}

/// Directory with the Linux guest: kernel and initramfs.
pub fn guest_images() -> PathBuf {
    env::var_os("SKIFF_GUEST_IMAGES").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/guest-images"),
        PathBuf::from,
    )
}
