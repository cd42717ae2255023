//! The whole suite once more, under emulated AMD-V.

use std::time::Duration;

use tests::harness::skiff_binary;
use tests::rig::Rig;

use crate::ground::is_rig;

#[test]
fn suite_in_the_rig_passes_under_amd_v() {
    if is_rig() {
        return; // one level is enough
    }
    let suite = std::env::current_exe().unwrap();
    let outcome = Rig::new()
        .input(skiff_binary().unwrap())
        .memory_mib(4096)
        .timeout(Duration::from_secs(35 * 60))
        .run(&[suite.to_str().unwrap(), "--test-threads=1", "--nocapture"])
        .unwrap();
    outcome.assert_success();
    println!("{}", outcome.text());
}
