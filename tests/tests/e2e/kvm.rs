//! What is checked on every KVM: the host's own, and AMD-V in the nested rig.

use std::path::Path;

use kvm_ioctls::Kvm;

/// Opens the host's KVM. Without one a test cannot run, which `REQUIRE_KVM=1` makes a failure.
fn kvm() -> Option<Kvm> {
    match Kvm::new() {
        Ok(kvm) => Some(kvm),
        Err(error) if std::env::var_os("REQUIRE_KVM").is_some_and(|value| value == "1") => {
            panic!("/dev/kvm cannot be used: {error}")
        }
        Err(error) => {
            eprintln!("not run here, only in the rig: /dev/kvm cannot be used: {error}");
            None
        }
    }
}

#[test]
fn kvm_of_any_kind_speaks_version_12_and_makes_a_vcpu() {
    let Some(kvm) = kvm() else { return };
    // KVM_API_VERSION has been 12 since Linux 2.6.22 (Documentation/virt/kvm/api.rst, 4.1).
    assert_eq!(kvm.get_api_version(), 12);
    let vm = kvm.create_vm().unwrap();
    vm.create_irq_chip().unwrap();
    vm.create_vcpu(0).unwrap();
}

#[test]
fn kvm_in_the_rig_is_amd_v_with_nested_paging() {
    if std::env::var_os("SKIFF_RIG").is_none() {
        return; // says something about the rig only
    }
    let nested_paging = Path::new("/sys/module/kvm_amd/parameters/npt");
    assert_eq!(std::fs::read_to_string(nested_paging).unwrap().trim(), "Y");
}
