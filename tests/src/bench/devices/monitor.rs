//! The probe with a disk, on either monitor.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use crate::bench::BenchError;
use crate::harness::{Host, Process, VmProcess};

const MEMORY: &str = "256M";

const NAME: &str = "bench";

/// A guest that says nothing for so long has ended: it speaks ten times a second.
const SILENCE: Duration = Duration::from_secs(10);

/// Who runs the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Monitor {
    /// We.
    Skiff,
    /// QEMU with the machine `microvm`: its disk on a thread of its own, by `io_uring`.
    Qemu,
}

impl fmt::Display for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Skiff => "skiff",
            Self::Qemu => "QEMU",
        })
    }
}

/// A guest that runs.
#[derive(Debug)]
pub struct Running {
    _host: Host,
    machine: Machine,
}

#[derive(Debug)]
enum Machine {
    Skiff(VmProcess),
    Qemu(Process),
}

impl Monitor {
    /// Starts the probe, which is in the file `probe` too, with a disk that it may read.
    ///
    /// # Errors
    /// The monitor does not start.
    pub fn run(self, probe: &Path, image: &Path, words: &str) -> Result<Running, BenchError> {
        let host = Host::new()?;
        let (probe, image) = (probe.display().to_string(), image.display().to_string());
        let machine = match self {
            Self::Skiff => {
                let disk = format!("{image},ro");
                let options = ["--kernel", &probe, "--memory", MEMORY, "--disk", &disk];
                let words = ["--cmdline", words];
                Machine::Skiff(host.boot(NAME, &[&options[..], &words].concat())?)
            }
            Self::Qemu => {
                let drive =
                    format!("if=none,id=d,file={image},format=raw,read-only=on,aio=io_uring");
                Machine::Qemu(Process::qemu(&[
                    "-M",
                    // Without ACPI it names its devices on the command line.
                    "microvm,accel=kvm,acpi=off",
                    "-m",
                    MEMORY,
                    "-nodefaults",
                    "-no-user-config",
                    "-no-reboot",
                    "-display",
                    "none",
                    "-serial",
                    "stdio",
                    "-global",
                    "virtio-mmio.force-legacy=false",
                    "-object",
                    "iothread,id=io",
                    "-drive",
                    &drive,
                    "-device",
                    "virtio-blk-device,drive=d,iothread=io",
                    "-kernel",
                    &probe,
                    "-append",
                    words,
                ])?)
            }
        };
        Ok(Running {
            _host: host,
            machine,
        })
    }
}

impl Running {
    fn process(&self) -> &Process {
        match &self.machine {
            Machine::Skiff(vm) => &vm.skiff,
            Machine::Qemu(qemu) => qemu,
        }
    }

    /// Waits for the first of the guest's lines of which `find` makes something.
    ///
    /// # Errors
    /// It reports damage, or has ended.
    pub fn wait<T>(&self, find: impl Fn(&str) -> Option<T>) -> Result<T, BenchError> {
        let (output, messages) = (self.process().output(), self.process().messages());
        let mut seen = 0;
        loop {
            let lines = output.all();
            for line in lines.get(seen..).unwrap_or_default() {
                if line.contains("corrupt") {
                    let record = line.clone();
                    return Err(BenchError::Corrupt { record });
                }
                if let Some(found) = find(line) {
                    return Ok(found);
                }
            }
            seen = lines.len();
            let next = output.wait_from(seen, "", SILENCE);
            next.map_err(|_| BenchError::Lacks {
                what: "further record of the guest",
                text: [output.all(), messages.all()].concat().join("\n"),
            })?;
        }
    }
}
