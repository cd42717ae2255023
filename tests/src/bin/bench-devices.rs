//! `bench-devices`: what a guest gets out of its disk and its network card, next to QEMU.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use ::tests::bench::devices::{self, Monitor, disk, net};
use ::tests::bench::results;
use ::tests::harness::{Network, exit_code, qemu_version, remove_on_signal};
use argh::FromArgs;
use serde_json::json;

/// Says how much a guest reads of its disk and how many frames go through its network card, next to the same
/// guest on QEMU and to the host itself.
#[derive(FromArgs)]
#[argh(note = "\
The guest is the probe, the image 512 MiB under TMPDIR, in the host's page cache. QEMU is the one that
the search path has; without it there is nothing to compare with. Network cards take root. Without options it takes some minutes.")]
struct Args {
    /// rounds (default 5)
    #[argh(option, default = "5")]
    rounds: usize,

    /// disk or net; may be repeated (default: both)
    #[argh(option)]
    device: Vec<Device>,

    /// also write everything to this file, as JSON
    #[argh(option)]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Device {
    Disk,
    Net,
}

impl FromStr for Device {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "disk" => Ok(Self::Disk),
            "net" => Ok(Self::Net),
            _ => Err(format!("no device `{word}`; there are disk and net")),
        }
    }
}

fn main() -> ExitCode {
    exit_code("bench-devices", run(&argh::from_env()))
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    remove_on_signal()?;
    let version = qemu_version();
    match &version {
        Some(version) => println!("to compare with: {version}"),
        None => println!("there is no qemu-system-x86_64 to compare with"),
    }
    let peer = version.as_ref().map(|_| Monitor::Qemu);
    let rounds = args.rounds.max(1);
    let is_wanted = |device| args.device.is_empty() || args.device.contains(&device);
    let (mut disk, mut net) = (Vec::new(), Vec::new());
    if is_wanted(Device::Disk) {
        disk = disk::measure(rounds, peer)?;
        devices::print(disk::TITLE, &disk);
    }
    if is_wanted(Device::Net) {
        match Network::obstacle() {
            None => net = net::measure(rounds, peer)?,
            Some(obstacle) => println!("\nno network card is measured: {obstacle}"),
        }
        devices::print(net::TITLE, &net);
    }
    if let Some(path) = &args.out {
        let mut results = results::header("devices");
        results["qemu"] = json!(version);
        results["disk"] = json!(disk);
        results["net"] = json!(net);
        results::write(path, &results)?;
    }
    Ok(())
}
