//! What this machine can run, and what several cases do on it.

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tests::harness::{Network, VmProcess, write_key};
use vmm::host::HostKvm;

/// Longest that a monitor may take to end whose VM has moved away.
const MOVED: Duration = Duration::from_secs(120);

/// Whether the caller may go on: `false`, with the reason printed, if there is no KVM at all.
///
/// # Panics
/// There is no KVM and `REQUIRE_KVM=1`.
pub fn has_kvm(case: &str) -> bool {
    let Err(error) = HostKvm::open() else {
        return true;
    };
    assert_ne!(
        env::var("REQUIRE_KVM").as_deref(),
        Ok("1"),
        "{case}: {error}"
    );
    println!("{case}: not run here ({error}); it runs in the nested rig");
    false
}

/// The same for a guest that needs hardware virtualization.
pub fn has_hardware(case: &str) -> bool {
    let kind = HostKvm::open().map(|host| host.kind);
    if kind.as_ref().is_ok_and(|kind| kind.runs_stock_kernels()) {
        return true;
    }
    let found = kind.map_or_else(|error| error.to_string(), |kind| kind.to_string());
    println!("{case}: not run here, a stock kernel does not boot ({found}); it runs in the rig");
    false
}

/// Whether the caller may make a network: `false`, with the reason printed, if not.
pub fn has_network(case: &str) -> bool {
    let obstacle = Network::obstacle();
    if let Some(obstacle) = &obstacle {
        println!("{case}: not run here, there can be no network of TAP interfaces: {obstacle}");
    }
    obstacle.is_none()
}

/// A number for this machine: the first on real hardware, the second in the nested rig, where
/// everything takes longer.
pub fn scaled<T>(native: T, emulated: T) -> T {
    if is_rig() { emulated } else { native }
}

/// Whether this is the inside of the nested rig.
pub fn is_rig() -> bool {
    env::var_os("SKIFF_RIG").is_some()
}

/// Writes a key file that only its owner can read.
pub fn key(directory: &Path, name: &str, content: &str) -> String {
    let path = directory.join(name);
    write_key(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A program of the host that is not in every user's path.
pub fn system_program(name: &str) -> PathBuf {
    let found = ["/usr/sbin", "/sbin"].map(|place| Path::new(place).join(name));
    let found = found.into_iter().find(|path| path.exists());
    found.unwrap_or_else(|| name.into())
}

/// Moves a VM in every mode, each time to a monitor that `receive` starts; `go_on` comes back when the guest
/// has worked enough before the next move, and after the last.
pub fn move_in_every_mode(
    mut here: VmProcess,
    key: &str,
    receive: impl Fn(usize) -> (VmProcess, String),
    mut go_on: impl FnMut(&VmProcess),
) {
    for (number, mode) in (1..).zip(["post-copy", "pre-copy", "hybrid", "stop-and-copy"]) {
        go_on(&here);
        let (there, address) = receive(number);
        let report = here
            .migrate(&address, &["--mode", mode, "--verify", "--key", key])
            .unwrap();
        assert_eq!(report["outcome"], "completed", "{report}");
        here.skiff.succeed(MOVED).unwrap();
        here = there;
    }
    go_on(&here);
    here.tell("stop").unwrap();
}
