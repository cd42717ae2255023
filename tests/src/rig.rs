//! The nested rig: runs a program of ours inside an outer VM with emulated AMD-V.
//!
//! QEMU's software emulation (TCG) needs neither /dev/kvm nor privilege and emulates AMD-V with
//! nested paging, so a program in the rig finds a real `kvm_amd` at /dev/kvm, userfaultfd, and the
//! Linux guest images, on any host. Intel VT-x is not emulated by QEMU.
//!
//! ```text
//! host                                        outer VM (QEMU, Debian's cloud kernel)
//!   initrd: rig.cpio + ours (cpio.rs)  ---->    /init, /rig/command, /in, /images
//!   stdout, stderr, files, report      <----    four virtio-serial ports
//!   console log, kept for diagnosis    <----    ttyS0
//! ```
//!
//! Everything that QEMU reads or writes is an anonymous file of this process, and the kernel kills
//! QEMU when this process dies, so nothing is left behind however a run ends.
//!
//! A program inside finds its inputs in the current directory /in, leaves files in /out, and sees
//! `SKIFF_RIG=1`, `REQUIRE_KVM=1` and `SKIFF_GUEST_IMAGES=/images`.

mod command;
mod cpio;
mod error;
mod heartbeat;
mod images;
mod initrd;
mod libraries;
mod outcome;
mod output;
mod qemu;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub use error::RigError;
pub use images::{GUEST_IMAGES_VARIABLE, guest_images};
pub use initrd::Input;
pub use outcome::{RigEnd, RigOutcome};

/// Where a program's output goes while it runs; the outcome holds it in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    /// Its stdout and stderr also come out of ours, as they appear.
    Live,
    /// Nothing is printed.
    Silent,
}

/// An outer VM to be: what goes in, what comes out, how large it is.
#[derive(Debug, Clone)]
pub struct Rig {
    inputs: Vec<Input>,
    environment: Vec<(OsString, OsString)>,
    output_dir: Option<PathBuf>,
    memory_mib: u32,
    cpus: u32,
    timeout: Duration,
    patience: Duration,
    attempts: u32,
    echo: Echo,
}

impl Default for Rig {
    fn default() -> Self {
        Self::new()
    }
}

impl Rig {
    /// A rig of 1 CPU and 2 GiB that gives up after 10 minutes, tries three times if the outer VM
    /// comes to a stand, and prints nothing else.
    pub fn new() -> Self {
        Self {
            inputs: Vec::new(),
            environment: Vec::new(),
            output_dir: None,
            memory_mib: 2048,
            cpus: 1,
            timeout: Duration::from_secs(600),
            patience: Duration::from_secs(90),
            attempts: 3,
            echo: Echo::Silent,
        }
    }

    /// Puts a file of the host into /in; a program brings its shared libraries along.
    #[must_use]
    pub fn input(mut self, input: impl Into<Input>) -> Self {
        self.inputs.push(input.into());
        self
    }

    /// Sets an environment variable for the program.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Unpacks what the program leaves in /out into a directory of the host, made if need be.
    #[must_use]
    pub fn output_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.output_dir = Some(directory.into());
        self
    }

    /// Sets the memory of the outer VM; its file system lives in there as well.
    #[must_use]
    pub fn memory_mib(mut self, memory_mib: u32) -> Self {
        self.memory_mib = memory_mib;
        self
    }

    /// Sets the number of CPUs of the outer VM, each a thread of QEMU. With 2 it is no faster, and
    /// guests in it have stalled and crashed in ways that were never seen with 1.
    #[must_use]
    pub fn cpus(mut self, cpus: u32) -> Self {
        self.cpus = cpus;
        self
    }

    /// Sets how long each outer VM may exist, boot included.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets for how long a CPU of the outer VM may give no sign of life, boot included, before the
    /// outer VM counts as one that stands still.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Sets how many outer VMs are tried, at least one, while each comes to a stand. A program that
    /// fails, or whose time is up in an outer VM that works, is never tried again.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// Chooses what happens to the output while the program runs.
    #[must_use]
    pub fn echo(mut self, echo: Echo) -> Self {
        self.echo = echo;
        self
    }

    /// Boots the outer VM, runs a command in it and waits for its end.
    ///
    /// A first word with a slash names a program of the host, which is put into /in first; another
    /// first word is a command inside: an input, or one of busybox. Rigs of one process take
    /// turns, because each keeps all CPUs busy.
    ///
    /// # Errors
    /// If the rig cannot be set up or its output cannot be taken. A program that fails, a timeout
    /// and an outer VM that dies or stands still are outcomes, not errors.
    pub fn run<S: AsRef<OsStr>>(&self, command: &[S]) -> Result<RigOutcome, RigError> {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

        let images = guest_images()?;
        let mut inputs = self.inputs.clone();
        let words = command::inside(command, &mut inputs)?;
        let script = command::script(&words, &self.environment);
        let initrd = initrd::assemble(&images, &inputs, &script)?;
        let machine = qemu::Machine {
            kernel: images.join("vmlinuz"),
            initrd,
            memory_mib: self.memory_mib,
            cpus: self.cpus,
        };

        let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let mut attempt = 1;
        let run = loop {
            let run = machine.run(self.timeout, self.patience, self.echo)?;
            if run.outcome.end != RigEnd::Stood || attempt == self.attempts {
                break run;
            }
            eprintln!(
                "rig: a CPU of the outer VM has been silent for {:?}: QEMU stands still, with {}\n{}\
                 rig: once more in a new one ({attempt} of {} did so)",
                self.patience,
                last_line(&run.outcome),
                run.outcome.diagnosis,
                self.attempts,
            );
            attempt += 1;
        };
        if let (Some(directory), RigEnd::Exited(_)) = (&self.output_dir, run.outcome.end) {
            unpack(run.files, directory)?;
        }
        Ok(run.outcome)
    }
}

/// What the program was at when its outer VM came to a stand.
fn last_line(outcome: &RigOutcome) -> String {
    let text = outcome.text();
    match text.lines().last() {
        Some(line) => format!("{line:?} as the last line of the program's output"),
        None => "no output of the program yet".to_owned(),
    }
}

/// Unpacks the archive that came out of the outer VM.
fn unpack(archive: File, directory: &Path) -> Result<(), RigError> {
    let failed = |source| RigError::UnpackOutput {
        directory: directory.to_path_buf(),
        source,
    };
    std::fs::create_dir_all(directory).map_err(failed)?;
    let status = Command::new("tar")
        .args(["--extract", "--no-same-owner", "--file=-", "--directory"])
        .arg(directory)
        .stdin(Stdio::from(archive))
        .status()
        .map_err(failed)?;
    if status.success() {
        Ok(())
    } else {
        Err(RigError::OutputArchive {
            directory: directory.to_path_buf(),
            status,
        })
    }
}
