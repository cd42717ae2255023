//! The nested rig end to end: exit status, output, files in and out, and the KVM tests inside.

use std::time::Duration;

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

#[test]
fn kvm_tests_pass_under_amd_v() {
    let this_program = std::env::current_exe().unwrap();
    let command = [
        this_program.as_os_str(),
        "kvm::".as_ref(),
        "--test-threads=1".as_ref(),
    ];
    let outcome = Rig::new().run(&command).unwrap();
    outcome.assert_success();
    println!("{}", outcome.text());
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
