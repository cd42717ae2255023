//! The whole suite once more, under emulated AMD-V.

use std::time::Duration;

use tests::harness::skiff_binary;
use tests::rig::Rig;

use crate::ground::{is_rig, system_program};

#[test]
fn suite_in_the_rig_passes_under_amd_v() {
    if is_rig() {
        return; // one level is enough
    }
    let suite = std::env::current_exe().unwrap();
    let mut rig = Rig::new().input(skiff_binary().unwrap());
    for program in ["mke2fs", "e2fsck"] {
        rig = rig.input(system_program(program));
    }
    let outcome = rig
        .memory_mib(4096)
        .timeout(Duration::from_secs(45 * 60))
        .run(&[suite.to_str().unwrap(), "--test-threads=1", "--nocapture"])
        .unwrap();
    outcome.assert_success();
    println!("{}", outcome.text());
}
