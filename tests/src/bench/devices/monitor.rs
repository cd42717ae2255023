//! The probe with a disk, on either monitor.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::bench::BenchError;
use crate::count::to_f64;
use crate::harness::{Host, Process, VmProcess, field};

const MEMORY: &str = "256M";

const NAME: &str = "bench";

/// Longest that a guest may take to do what it is there for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A guest that says nothing for so long has ended: it speaks ten times a second.
const SILENCE: Duration = Duration::from_secs(10);

/// Who runs the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Monitor {
    /// We.
    Skiff,
    /// QEMU with the machine `microvm`: a disk on a thread of its own, by `io_uring`; a network card on its
    /// main thread, in its own process as ours.
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
    /// Starts the probe, which is in the file `probe` too, with a device.
    ///
    /// # Errors
    /// The monitor does not start.
    pub fn run(
        self,
        probe: &Path,
        equipment: Equipment<'_>,
        words: &str,
    ) -> Result<Running, BenchError> {
        let host = Host::new()?;
        let probe = probe.display().to_string();
        let machine = match self {
            Self::Skiff => {
                let options = ["--kernel", &probe, "--memory", MEMORY, "--cmdline", words];
                let device = equipment.for_skiff();
                Machine::Skiff(host.boot(NAME, &[&options[..], &words_of(&device)].concat())?)
            }
            Self::Qemu => {
                let [backend, front] = equipment.for_qemu();
                let guest = ["-m", MEMORY, "-kernel", &probe, "-append", words];
                let options = [&guest[..], QEMU, &words_of(&backend), &words_of(&front)];
                Machine::Qemu(Process::microvm(&options.concat())?)
            }
        };
        Ok(Running {
            _host: host,
            machine,
        })
    }
}

/// What QEMU is told whatever the device.
const QEMU: &[&str] = &[
    "-global",
    "virtio-mmio.force-legacy=false",
    "-object",
    "iothread,id=io",
];

/// What a guest has beside the serial line.
#[derive(Debug, Clone, Copy)]
pub enum Equipment<'a> {
    /// A disk that it may read.
    Disk(&'a Path),
    /// A network card whose cable ends in this TAP interface.
    Card(&'a str),
}

impl Equipment<'_> {
    /// An option and its value.
    fn for_skiff(self) -> [String; 2] {
        match self {
            Self::Disk(image) => ["--disk".to_owned(), format!("{},ro", image.display())],
            Self::Card(tap) => ["--net".to_owned(), format!("tap={tap}")],
        }
    }

    /// An option and its value for what is behind the device, and the device.
    fn for_qemu(self) -> [[String; 2]; 2] {
        let [backend, front] = match self {
            Self::Disk(image) => {
                let image = image.display();
                let drive =
                    format!("if=none,id=d,file={image},format=raw,read-only=on,aio=io_uring");
                [
                    ["-drive", &drive],
                    ["-device", "virtio-blk-device,drive=d,iothread=io"],
                ]
                .map(|option| option.map(str::to_owned))
            }
            Self::Card(tap) => {
                let netdev = format!("tap,id=n,ifname={tap},script=no,downscript=no");
                [
                    ["-netdev", &netdev],
                    ["-device", "virtio-net-device,netdev=n"],
                ]
                .map(|option| option.map(str::to_owned))
            }
        };
        [backend, front]
    }
}

fn words_of(option: &[String; 2]) -> [&str; 2] {
    option.each_ref().map(String::as_str)
}

impl Running {
    fn process(&self) -> &Process {
        match &self.machine {
            Machine::Skiff(vm) => &vm.skiff,
            Machine::Qemu(qemu) => qemu,
        }
    }

    /// How many `pages` a second the guest does by its own count, once it does some.
    ///
    /// # Errors
    /// As for [`Self::wait`].
    pub fn rate(&self, warm_up: Duration, measured: Duration) -> Result<f64, BenchError> {
        let after = |from_ms: u64, time: Duration| {
            move |line: &str| {
                let t_ms: u64 = field(line, "t_ms").ok()?;
                let pages: u64 = field(line, "pages").ok()?;
                let is_late = u128::from(t_ms.saturating_sub(from_ms)) >= time.as_millis();
                (pages > 0 && is_late).then_some((t_ms, pages))
            }
        };
        let began = self.wait(after(0, Duration::ZERO))?;
        let first = self.wait(after(began.0, warm_up))?;
        let last = self.wait(after(first.0, measured))?;
        Ok(to_f64(last.1 - first.1) * 1e3 / to_f64(last.0 - first.0))
    }

    /// Waits for the first of the guest's lines of which `find` makes something.
    ///
    /// # Errors
    /// It reports damage, has ended, or does nothing of that kind for a minute.
    pub fn wait<T>(&self, find: impl Fn(&str) -> Option<T>) -> Result<T, BenchError> {
        let (output, messages) = (self.process().output(), self.process().messages());
        let (mut seen, began) = (0, Instant::now());
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
            let next = output.wait_from(seen, "", SILENCE).ok();
            next.filter(|_| began.elapsed() < PATIENCE)
                .ok_or_else(|| BenchError::Lacks {
                    what: "progress of the guest",
                    text: [output.all(), messages.all()].concat().join("\n"),
                })?;
        }
    }
}
