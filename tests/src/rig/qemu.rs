//! The outer VM itself: QEMU with emulated AMD-V, fed from and writing to anonymous files.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::heartbeat::Heartbeat;
use super::outcome::{RigEnd, RigOutcome};
use super::output::{Ports, Report, Stream, diagnosis, path_for_qemu, text};
use super::{Echo, RigError};

/// How often output is passed on while the program runs.
const ECHO_INTERVAL: Duration = Duration::from_millis(50);

/// An outer VM ready to boot.
#[derive(Debug)]
pub struct Machine {
    /// The stock kernel.
    pub kernel: PathBuf,
    /// The assembled initramfs.
    pub initrd: File,
    /// Its memory.
    pub memory_mib: u32,
    /// Its CPUs.
    pub cpus: u32,
}

/// A finished run with the archive of /out, which is empty if the VM died.
#[derive(Debug)]
pub struct Run {
    /// What came of the program.
    pub outcome: RigOutcome,
    /// A tar archive, read from its beginning.
    pub files: File,
}

impl Machine {
    /// Boots the VM and waits until it has ended, or kills it when the time is up or a CPU was
    /// silent for longer than the patience lasts.
    pub fn run(&self, timeout: Duration, patience: Duration, echo: Echo) -> Result<Run, RigError> {
        let start = Instant::now();
        let ports = Ports::new()?;
        let qemu = Qemu::start(&self.command(&ports), &ports)?;
        let mut stdout = Stream::new(&ports.stdout);
        let mut stderr = Stream::new(&ports.stderr);
        let mut heartbeat = Heartbeat::new(self.cpus, start);
        let without_status = loop {
            let remaining = timeout.saturating_sub(start.elapsed());
            let ended = qemu.wait(remaining.min(ECHO_INTERVAL))?;
            stdout.take(echo, &mut io::stdout())?;
            stderr.take(echo, &mut io::stderr())?;
            heartbeat.hear(&text(&ports.report)?, Instant::now());
            if ended {
                break RigEnd::Died;
            } else if remaining.is_zero() {
                break RigEnd::TimedOut;
            } else if heartbeat.silence(Instant::now()) > patience {
                break RigEnd::Stood;
            }
        };
        drop(qemu);

        let report = Report::parse(&text(&ports.report)?);
        let end = report.status.map_or(without_status, RigEnd::Exited);
        let outcome = RigOutcome {
            end,
            stdout: stdout.bytes,
            stderr: stderr.bytes,
            diagnosis: diagnosis(&text(&ports.messages)?, &text(&ports.console)?),
            elapsed: start.elapsed(),
            boot: report.boot,
        };
        Ok(Run {
            outcome,
            files: ports.files,
        })
    }

    /// The words that start QEMU. The kernel kills it when the thread that started it ends.
    fn command(&self, ports: &Ports) -> Vec<OsString> {
        let mut words: Vec<OsString> = [
            "setpriv --pdeathsig KILL qemu-system-x86_64",
            "-M q35 -accel tcg,thread=multi -cpu EPYC,+svm,+npt,-xsave,-avx,-avx2,-f16c",
            "-nodefaults -no-user-config -display none -no-reboot",
            "-device virtio-serial-pci,max_ports=5",
        ]
        .iter()
        .flat_map(|words| words.split(' ').map(OsString::from))
        .collect();
        let mut option = |name: &str, value: OsString| words.extend([name.into(), value]);
        option("-smp", self.cpus.to_string().into());
        option("-m", self.memory_mib.to_string().into());
        option("-kernel", self.kernel.clone().into());
        option("-initrd", path_for_qemu(&self.initrd).into());
        // A periodic tick, because QEMU 7.2 now and then loses that an interrupt is pending while a
        // guest's guest is entered or left: a tick that comes once would be the last one, the CPU
        // halted and its vector in the APIC's IRR. The next interrupt makes up for one that is lost.
        let tick = "nohz=off highres=off";
        let append = format!("console=ttyS0 quiet panic=-1 mitigations=off nokaslr {tick}");
        option("-append", append.into());
        option(
            "-serial",
            format!("file:{}", path_for_qemu(&ports.console)).into(),
        );
        let files = [&ports.stdout, &ports.stderr, &ports.files, &ports.report];
        for (number, file) in (1..).zip(files) {
            let path = path_for_qemu(file);
            option(
                "-chardev",
                format!("file,id=port{number},path={path}").into(),
            );
            option(
                "-device",
                format!("virtserialport,nr={number},chardev=port{number}").into(),
            );
        }
        words
    }
}

/// A running QEMU, killed and reaped when dropped.
#[derive(Debug)]
struct Qemu(Child);

impl Qemu {
    fn start(words: &[OsString], ports: &Ports) -> Result<Self, RigError> {
        let [program, arguments @ ..] = words else {
            return Err(RigError::NoProgram);
        };
        let start = |source| RigError::StartQemu {
            program: program.clone(),
            source,
        };
        let messages = ports.messages.try_clone().map_err(start)?;
        Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(messages.try_clone().map_err(start)?)
            .stderr(messages)
            .spawn()
            .map(Self)
            .map_err(start)
    }

    /// Waits for the end, at most this long; tells whether it came.
    fn wait(&self, at_most: Duration) -> Result<bool, RigError> {
        let failed = |errno: rustix::io::Errno| RigError::WaitQemu(errno.into());
        let process = pidfd_open(Pid::from_child(&self.0), PidfdFlags::empty()).map_err(failed)?;
        let timeout = Timespec::try_from(at_most).expect("the interval is short");
        match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&timeout)) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(errno) => Err(failed(errno)),
        }
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        // Both fail only if it is gone already, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
