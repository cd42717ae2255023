//! The nested rig end to end: exit status, output, files in and out, libraries, AMD-V.

use std::time::Duration;

use kvm_ioctls::Kvm;
use tests::rig::{Input, Rig, RigEnd};

#[test]
fn program_that_fails_gives_its_status_output_and_files() {
    let directory = tempfile::tempdir().unwrap();
    let (sent, taken) = (
        directory.path().join("sent"),
        directory.path().join("taken"),
    );
    // All byte values, and a length that is no multiple of any block size.
    let content: Vec<u8> = (0..=u8::MAX).cycle().take(1_000_003).collect();
    std::fs::write(&sent, &content).unwrap();

    let outcome = Rig::new()
        .input(Input::named(&sent, "some where/it's"))
        .env("GREETING", "it's $HOME")
        .output_dir(&taken)
        .run(&[
            "sh",
            "-c",
            "cp \"$1\" /out/back && echo $GREETING && echo no >&2; exit 3",
            "sh",
            "some where/it's",
        ])
        .unwrap();

    assert_eq!(outcome.end, RigEnd::Exited(3), "{outcome:?}");
    assert_eq!(outcome.text(), "it's $HOME\n");
    assert_eq!(outcome.stderr, b"no\n");
    assert!(
        std::fs::read(taken.join("back")).unwrap() == content,
        "the file changed on its way"
    );
}

/// Runs inside the rig only: [`program_with_libraries_finds_amd_v`] sends this very program there.
#[test]
fn kvm_inside_is_amd_v_with_nested_paging() {
    if std::env::var_os("SKIFF_RIG").is_none() {
        return;
    }
    let nested_paging = std::fs::read_to_string("/sys/module/kvm_amd/parameters/npt").unwrap();
    assert_eq!(nested_paging.trim(), "Y");
    let kvm = Kvm::new().unwrap();
    // KVM_API_VERSION has been 12 since Linux 2.6.22 (Documentation/virt/kvm/api.rst, 4.1).
    assert_eq!(kvm.get_api_version(), 12);
    let vm = kvm.create_vm().unwrap();
    vm.create_irq_chip().unwrap();
    vm.create_vcpu(0).unwrap();
}

#[test]
fn program_with_libraries_finds_amd_v() {
    let this_program = std::env::current_exe().unwrap();
    let this_program = this_program.to_str().unwrap();
    let test = "kvm_inside_is_amd_v_with_nested_paging";
    let outcome = Rig::new().run(&[this_program, "--exact", test]).unwrap();
    outcome.assert_success();
    assert!(outcome.text().contains("1 passed"), "{}", outcome.text());
}

/// To stop all processes is as near as a program gets to a stand of all CPUs.
#[test]
fn outer_vm_that_stands_still_is_told_from_a_program_that_takes_long() {
    let rig = Rig::new().patience(Duration::from_secs(25)).attempts(2);
    let outcome = rig
        .run(&["sh", "-c", "echo here; kill -STOP -1; sleep 600"])
        .unwrap();
    assert_eq!(outcome.end, RigEnd::Stood, "{outcome:?}");

    let outcome = rig.run(&["sh", "-c", "sleep 30; exit 4"]).unwrap();
    assert_eq!(outcome.end, RigEnd::Exited(4), "{outcome:?}");
}

#[test]
fn outer_vm_that_panics_is_told_from_a_program_that_fails() {
    let outcome = Rig::new()
        .run(&["sh", "-c", "echo c >/proc/sysrq-trigger"])
        .unwrap();
    assert_eq!(outcome.end, RigEnd::Died, "{outcome:?}");
    assert!(
        outcome.diagnosis.contains("Kernel panic"),
        "{}",
        outcome.diagnosis
    );
}

#[test]
fn program_that_does_not_end_is_killed_when_the_time_is_up() {
    let outcome = Rig::new()
        .timeout(Duration::from_millis(200))
        .run(&["sleep", "1000"])
        .unwrap();
    assert_eq!(outcome.end, RigEnd::TimedOut, "{outcome:?}");
}
