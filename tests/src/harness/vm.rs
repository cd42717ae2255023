//! VMs as a test sees them: on a host, booted or received, moved, asked.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::process::{self, Process};
use super::{HarnessError, leavings};
use crate::rig::guest_images;

/// Long enough for anything that works, even under emulation.
const PATIENCE: Duration = Duration::from_secs(60);

/// A place with control sockets of its own: to skiff, another host.
#[derive(Debug)]
pub struct Host {
    runtime: TempDir,
    place: Place,
}

/// Where the monitors of a host run.
#[derive(Debug, Clone, Copy)]
enum Place {
    Here,
    /// In the network namespace of a process.
    Beside(u32),
    /// Each in a session of its own.
    Session,
}

/// A monitor process and the name of the VM in it.
#[derive(Debug)]
pub struct VmProcess {
    /// The process.
    pub skiff: Process,
    name: String,
    runtime: PathBuf,
}

impl Host {
    /// A host with nothing on it.
    ///
    /// # Errors
    /// No temporary directory can be made.
    pub fn new() -> Result<Self, HarnessError> {
        let runtime = tempfile::Builder::new()
            .prefix("skiff-")
            .tempdir()
            .map_err(HarnessError::process("make a directory for sockets"))?;
        leavings::add_path(runtime.path());
        Ok(Self {
            runtime,
            place: Place::Here,
        })
    }

    /// A host whose network is that of a process.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn beside(neighbour: u32) -> Result<Self, HarnessError> {
        let mut host = Self::new()?;
        host.place = Place::Beside(neighbour);
        Ok(host)
    }

    /// A host on which each monitor leads a session: the scheduler gives all threads of a session as much of
    /// a processor as those of another (autogroups, sched(7)).
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of_sessions() -> Result<Self, HarnessError> {
        let mut host = Self::new()?;
        host.place = Place::Session;
        Ok(host)
    }

    /// Directory of its control sockets.
    #[must_use]
    pub fn runtime(&self) -> &Path {
        self.runtime.path()
    }

    /// Boots a VM: `skiff run --name NAME OPTIONS`.
    ///
    /// # Errors
    /// skiff does not start.
    pub fn boot(&self, name: &str, options: &[&str]) -> Result<VmProcess, HarnessError> {
        self.start(name, &[&["run", "--name", name], options].concat())
    }

    /// Boots the probe guest.
    ///
    /// # Errors
    /// skiff does not start.
    pub fn boot_probe(
        &self,
        name: &str,
        memory: &str,
        words: &str,
    ) -> Result<VmProcess, HarnessError> {
        self.boot(
            name,
            &["--kernel", "probe", "--memory", memory, "--cmdline", words],
        )
    }

    /// Boots a stock Debian Linux of 512 MiB.
    ///
    /// # Errors
    /// There is no image of it and none can be made, or skiff does not start.
    pub fn boot_linux(
        &self,
        name: &str,
        cpus: &str,
        words: &str,
    ) -> Result<VmProcess, HarnessError> {
        self.boot_linux_with(name, &["--memory", "512M", "--cpus", cpus], words)
    }

    /// The same with options of the caller's choice.
    ///
    /// # Errors
    /// There is no image of it and none can be made, or skiff does not start.
    pub fn boot_linux_with(
        &self,
        name: &str,
        options: &[&str],
        words: &str,
    ) -> Result<VmProcess, HarnessError> {
        let images = guest_images()?;
        let file = |name: &str| images.join(name).to_string_lossy().into_owned();
        let (kernel, initrd) = (file("vmlinuz"), file("initramfs.cpio.lz4"));
        let cmdline = format!("console=ttyS0 panic=-1 {words}");
        let guest = [
            "--kernel",
            &kernel,
            "--initrd",
            &initrd,
            "--cmdline",
            &cmdline,
        ];
        self.boot(name, &[options, &guest[..]].concat())
    }

    /// Starts a monitor that waits for a VM, and returns the address it listens on.
    ///
    /// # Errors
    /// skiff does not start or does not listen.
    pub fn receive(&self, name: &str) -> Result<(VmProcess, String), HarnessError> {
        self.receive_with(name, &[])
    }

    /// The same with further options.
    ///
    /// # Errors
    /// skiff does not start or does not listen.
    pub fn receive_with(
        &self,
        name: &str,
        options: &[&str],
    ) -> Result<(VmProcess, String), HarnessError> {
        self.receive_at(name, "127.0.0.1:0", options)
    }

    /// The same at an address of the caller's choice.
    ///
    /// # Errors
    /// skiff does not start or does not listen.
    pub fn receive_at(
        &self,
        name: &str,
        address: &str,
        options: &[&str],
    ) -> Result<(VmProcess, String), HarnessError> {
        let words = ["receive", "--listen", address, "--name", name];
        let receiver = self.start(name, &[&words, options].concat())?;
        let line = receiver.skiff.messages().wait("listening on ", PATIENCE)?;
        let address = line
            .split("listening on ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next());
        let address = address.map(|word| word.trim_end_matches(',').to_owned());
        let unexpected = || HarnessError::Unexpected {
            what: "address",
            text: line.clone(),
        };
        Ok((receiver, address.ok_or_else(unexpected)?))
    }

    /// Resumes a VM: `skiff restore DIR --name NAME OPTIONS`, and waits until it is ready.
    ///
    /// # Errors
    /// skiff does not start or does not get ready.
    pub fn restore(
        &self,
        name: &str,
        directory: &Path,
        options: &[&str],
    ) -> Result<VmProcess, HarnessError> {
        let directory = directory.to_string_lossy();
        let words = ["restore", &directory, "--name", name];
        let mut vm = self.start(name, &[&words, options].concat())?;
        match vm.skiff.output().wait(" is ready: ", PATIENCE) {
            Ok(_) => Ok(vm),
            // Why it ended says more than that it is not ready.
            Err(error) => match vm.skiff.wait(Duration::from_secs(1)) {
                Ok(status) => Err(vm.skiff.failure(status)),
                Err(_) => Err(error),
            },
        }
    }

    /// Runs any skiff command to its end and returns what it printed.
    ///
    /// # Errors
    /// It fails.
    pub fn command(&self, arguments: &[&str]) -> Result<String, HarnessError> {
        process::run(self.runtime(), arguments)
    }

    fn start(&self, name: &str, arguments: &[&str]) -> Result<VmProcess, HarnessError> {
        let skiff = match self.place {
            Place::Here => Process::skiff(self.runtime(), arguments),
            Place::Beside(process) => {
                let mut program = Command::new("nsenter");
                program.args(["-t", &process.to_string(), "-n"]);
                Process::skiff_by(program, self.runtime(), arguments)
            }
            Place::Session => Process::skiff_by(Command::new("setsid"), self.runtime(), arguments),
        }?;
        Ok(VmProcess {
            skiff,
            name: name.to_owned(),
            runtime: self.runtime().to_owned(),
        })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        leavings::forget_path(self.runtime());
    }
}

impl VmProcess {
    /// Name of the VM.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Moves the VM to the monitor that listens on `address`, and returns the report.
    ///
    /// # Errors
    /// The move fails, or the report is no JSON.
    pub fn migrate(&self, address: &str, options: &[&str]) -> Result<Value, HarnessError> {
        let words = ["migrate", &self.name, "--to", address, "--report", "-"];
        let printed = process::run(&self.runtime, &[&words, options].concat())?;
        parse_report(&printed)
    }

    /// Writes a snapshot of the VM, and returns the report.
    ///
    /// # Errors
    /// There is none, or the report is no JSON.
    pub fn snapshot(&self, directory: &Path, options: &[&str]) -> Result<Value, HarnessError> {
        let directory = directory.to_string_lossy();
        let words = ["snapshot", &self.name, "--to", &directory, "--report", "-"];
        let printed = process::run(&self.runtime, &[&words, options].concat())?;
        parse_report(&printed)
    }

    /// What `skiff info --json` says.
    ///
    /// # Errors
    /// The VM does not answer.
    pub fn info(&self) -> Result<Value, HarnessError> {
        let printed = process::run(&self.runtime, &["info", &self.name, "--json"])?;
        serde_json::from_str(&printed).map_err(|_| HarnessError::Unexpected {
            what: "info",
            text: printed.clone(),
        })
    }

    /// Runs `skiff VERB NAME`.
    ///
    /// # Errors
    /// The command fails.
    pub fn tell(&self, verb: &str) -> Result<(), HarnessError> {
        process::run(&self.runtime, &[verb, &self.name]).map(drop)
    }

    /// Waits for a line of the guest.
    ///
    /// # Errors
    /// It does not come within a minute.
    pub fn wait_output(&self, text: &str) -> Result<String, HarnessError> {
        self.skiff.output().wait(text, PATIENCE)
    }

    /// Waits for a line that the guest has not printed yet.
    ///
    /// # Errors
    /// It does not come within a minute.
    pub fn wait_fresh_output(&self, text: &str) -> Result<String, HarnessError> {
        let output = self.skiff.output();
        output.wait_from(output.count(), text, PATIENCE)
    }
}

/// The JSON report in what a command with `--report -` printed.
fn parse_report(printed: &str) -> Result<Value, HarnessError> {
    printed
        .find('{')
        .and_then(|start| serde_json::from_str(&printed[start..]).ok())
        .ok_or_else(|| HarnessError::Unexpected {
            what: "report",
            text: printed.to_owned(),
        })
}

/// The number after `key=` in a record the probe guest printed.
///
/// # Errors
/// There is none.
pub fn field(line: &str, key: &str) -> Result<u64, HarnessError> {
    line.split_whitespace()
        .find_map(|word| word.strip_prefix(key)?.strip_prefix('=')?.parse().ok())
        .ok_or_else(|| HarnessError::Unexpected {
            what: "record",
            text: line.to_owned(),
        })
}
